"""What is late: surveys that no sync came to an end of, and scores that do not follow from what was synced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from stellar.engine.context import Context
from stellar.flow.staleness import stale
from stellar.flow.steps import profile_of
from stellar.flow.sync import SYNCED
from stellar.ledger import batches
from stellar.notify.message import Message

#: Syncs are weekly: a day more, and one was missed.
SYNC_DAYS = 8
SCORE_HOURS = 24
#: Whose outputs have to follow from a sync. Training may have too few examples, which is no lateness.
_FOLLOWS = ("build_catalog", "extract_features", "score_catalog")

_RAW = sa.text("""
    SELECT max(promoted_at) AS at FROM lake.promotion WHERE dataset LIKE 'raw.%'""")
_FETCHED = sa.text("SELECT survey, max(fetched_at) AS at FROM ingest.batch GROUP BY survey")
_BEGUN = sa.text("SELECT min(created_at) FROM lake.dataset")


def late(ctx: Context, now: datetime | None = None) -> list[dict[str, Any]]:
    """Surveys whose last sync ended more than `SYNC_DAYS` ago, and stages `SCORE_HOURS` behind the last sync.

    Returns
    -------
    list of dict
        ``id`` (the same while the same thing is late), ``title``, ``text``, ``todo``, ``dag``; empty in a home that
        nothing was ever synced into, since nobody waits for it.
    """
    now = now or datetime.now(UTC)
    with ctx.engine.connect() as connection:
        begun = connection.scalar(_BEGUN)
        raw = connection.scalar(_RAW)
        fetched = {row.survey: row.at for row in connection.execute(_FETCHED)}
    if begun is None:
        return []
    synced = fetched | batches.synced_at(ctx.engine, SYNCED)
    return [*_syncs(ctx, now, synced, begun), *_stages(ctx, now, raw)]


def _syncs(ctx: Context, now: datetime, synced: Mapping[str, datetime], begun: datetime) -> list[dict[str, Any]]:
    found = []
    for survey in profile_of(ctx).surveys:
        last = synced.get(survey)
        if now - (last or begun) <= timedelta(days=SYNC_DAYS):
            continue
        when = f"ended {last:%Y-%m-%d %H:%M} UTC, {(now - last).days} days ago" if last else "never ended"
        found.append(
            {
                "id": f"late-sync-{survey}",
                "title": f"{survey} was not synced for {SYNC_DAYS} days",
                "text": f"The last sync of {survey} {when}; it is due every week.",
                "todo": f"Is sync_{survey} paused, or does it fail? Trigger it, or run `stellar sync {survey}`.",
                "dag": f"sync_{survey}",
            }
        )
    return found


def _stages(ctx: Context, now: datetime, raw: datetime | None) -> list[dict[str, Any]]:
    """The first DAG whose outputs are behind; what follows it is judged on inputs that it will change."""
    if raw is None or now - raw <= timedelta(hours=SCORE_HOURS):
        return []
    behind = next((dag for dag in _FOLLOWS if stale(ctx, only=dag)), None)
    if behind is None:
        return []
    hours = int((now - raw).total_seconds() // 3600)
    return [
        {
            "id": f"late-scores-{raw:%Y%m%d%H%M%S}",
            "title": f"scores are {hours} h behind the last sync",
            "text": f"New rows became current {raw:%Y-%m-%d %H:%M} UTC, and {behind} has not followed.",
            "todo": f"Look for a failed run of {behind} (a gate?), mend the cause and trigger it.",
            "dag": behind,
        }
    ]


def messages(late_ones: Sequence[Mapping[str, Any]], url: str) -> list[Message]:
    """What is late as messages for the operator; `url` is the address of Airflow's UI."""
    return [
        Message(
            one["id"],
            "late",
            one["title"],
            one["text"],
            one["todo"],
            {"dag": f"{url.rstrip('/')}/dags/{one['dag']}"},
            {"dag": one["dag"]},
        )
        for one in late_ones
    ]
