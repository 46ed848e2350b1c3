"""Syncs: name the missing work units of a survey, fetch them in batches, commit the raw datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.exc import OperationalError

from stellar.engine import ingest
from stellar.engine.context import Context
from stellar.errors import ServiceError, StellarError
from stellar.flow.steps import profile_of
from stellar.ledger import batches
from stellar.surveys.base import Scope, Survey, open_survey

#: Cursor of a survey that is set anew whenever a sync of it came to its end.
SYNCED = "synced"


def survey_of(ctx: Context, name: str) -> Survey:
    """The survey with this home's profile."""
    return open_survey(name, ctx.settings, profile_of(ctx).model_dump())


def sync_plan(
    ctx: Context, survey: str, params: Mapping[str, Any] | None = None, *, dry_run: bool = False
) -> list[dict[str, Any]]:
    """Record the survey's missing units and deal them out to at most two tasks a core.

    Parameters
    ----------
    params
        Scope of a manual run (regions, cells, release, magnitude_limit, row_cap); the profile's scope where empty.
    dry_run
        Only name them; nothing is recorded.

    Raises
    ------
    StellarError
        When the survey names no unit at all although none was ever fetched: rows were expected.
    """
    source = survey_of(ctx, survey)
    given = {key: value for key, value in (params or {}).items() if value not in (None, [], {}, "")}
    scope = Scope.from_dict({**_default_scope(ctx, survey), **given})
    done = ingest.done_signs(ctx, survey)
    units = source.plan(scope, done)
    if not dry_run:
        units = ingest.plan_units(ctx, survey, units)
    if not units and not done:
        raise StellarError(
            f"{survey}: the service names nothing to fetch in this scope, and nothing was ever fetched; "
            "check the regions and limits of the run, or `stellar doctor` for the service"
        )
    return dealt(ctx, survey, [(unit.dataset, unit.unit, unit.expected_rows) for unit in units])


def dealt(ctx: Context, survey: str, units: Sequence[tuple[str, str, int | None]]) -> list[dict[str, Any]]:
    """Units (dataset, name, rows expected) as at most two batches a core: ``survey, units`` and ``rows`` by unit."""
    count = min(len(units), 2 * ctx.settings.workers)
    return [
        {
            "survey": survey,
            "units": [[dataset, unit] for dataset, unit, _ in units[start::count]],
            "rows": {f"{dataset}/{unit}": rows for dataset, unit, rows in units[start::count]},
        }
        for start in range(count)
    ]


def _default_scope(ctx: Context, survey: str) -> dict[str, Any]:
    """The profile's scope; where that names no place, `STELLAR_REGIONS` (of services: files lie here already)."""
    scope = dict(profile_of(ctx).scope)
    if survey != "files" and not scope.get("regions") and not scope.get("cells"):
        scope["regions"] = ctx.settings.regions
    return scope


def sync_fetch(ctx: Context, batch: Mapping[str, Any]) -> dict[str, int]:
    """Fetch and record the units of one batch; one bad unit does not keep the others from being recorded.

    Raises
    ------
    StellarError
        At the end, naming each unit that failed; a later run brings those and only those.
    """
    survey = batch["survey"]
    wanted = {(dataset, unit) for dataset, unit in batch["units"]}
    source = survey_of(ctx, survey)
    if batch.get("again") and hasattr(source, "transport"):
        source.transport.cache = None  # an answer from the cache would be the same as before
    counts, failures = {"units": 0, "rows": 0}, []
    for unit in ingest.pending_units(ctx, survey):
        if (unit.dataset, unit.unit) not in wanted:
            continue
        try:
            fetched = source.fetch(unit)
            if unit.expected_rows and fetched.table.num_rows == 0:
                raise ServiceError(fetched.service, unit.unit, f"0 rows where {unit.expected_rows} were expected")
            ingest.record_batch(ctx, unit, fetched)
        except OperationalError:
            raise  # the ledger is away: nothing can be noted, and the task's next try finds the unit open
        except Exception as error:  # whatever is wrong with one answer, the other units are to be fetched
            said = str(error) if isinstance(error, StellarError) else f"{unit.unit}: {type(error).__name__}: {error}"
            ingest.fail_unit(ctx, unit, said)
            failures.append(said)
            continue
        counts["units"] += 1
        counts["rows"] += fetched.table.num_rows
    if failures:
        shown = "\n".join(failures[:10])
        raise StellarError(f"{survey}: {len(failures)} of {len(wanted)} units failed; run it again to resume:\n{shown}")
    return counts


def sync_commit(ctx: Context, survey: str) -> list[dict[str, Any]]:
    """Candidate snapshots of the survey's raw datasets; `changed` says whether content differs from the current one.

    It is called when all that was asked for was fetched, so the time is noted: `stellar.flow.lateness` looks at it.
    """
    committed = []
    for dataset in survey_of(ctx, survey).datasets:
        result = ingest.commit_raw(ctx, f"raw.{dataset}")
        if result is not None:
            committed.append({"dataset": f"raw.{dataset}", "key": result.key, "changed": result.changed})
    batches.set_cursor(ctx.engine, survey, SYNCED, {"run": ctx.run_id})
    return committed
