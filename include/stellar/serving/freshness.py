"""How fresh everything is, by the one definition that the ledger holds (`quality.freshness`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from stellar.serving.plain import plain

if TYPE_CHECKING:
    from stellar.settings import Settings

_FRESHNESS = sa.text("""
    SELECT kind, name, state, at, waiting_since, limit_hours,
           round(extract(epoch FROM now() - CASE kind WHEN 'sync' THEN at ELSE waiting_since END) / 3600.0, 1)::float8
               AS hours
      FROM quality.freshness ORDER BY kind DESC, name""")


def freshness(settings: Settings, engine: sa.Engine) -> list[dict[str, Any]]:
    """State of each survey's sync and of the scores.

    Returns
    -------
    list of dict
        ``kind`` (``sync`` or ``scores``), ``name``, ``state`` (``fresh``, ``late`` or ``never``), ``at`` (last sync;
        since when the scores are current), ``waiting_since`` (of scores: when what they do not follow yet became
        current), ``hours`` since the sync, or since the scores wait, and ``limit_hours``.
    """
    from stellar.profile import load_profile

    with engine.connect() as connection:
        found = [plain(dict(row)) for row in connection.execute(_FRESHNESS).mappings()]
    known = {one["name"] for one in found if one["kind"] == "sync"}
    never = {"kind": "sync", "state": "never", "at": None, "waiting_since": None, "hours": None, "limit_hours": 192}
    return [{**never, "name": one} for one in load_profile(settings.profile).surveys if one not in known] + found
