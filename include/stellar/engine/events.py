"""What the engine tells in events of OpenLineage: each snapshot built, gated and promoted, each failure.

An event is kept in the transaction of what it tells of, so that neither is there without the other; telling never makes
the work fail (`stellar.ledger.openlineage.quietly`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa

from stellar.engine.columns import Sources
from stellar.engine.context import Context
from stellar.engine.step import Step
from stellar.ledger import openlineage as ol
from stellar.ledger.openlineage import Event, Facets, dataset, facet
from stellar.ledger.snapshots import Snapshot
from stellar.notify.message import blotted

if TYPE_CHECKING:
    from stellar.engine.inputs import InputPlan

_BATCHES = sa.text("""
    SELECT service, survey, release, dataset, count(*) AS batches, sum(row_count)::bigint AS rows,
           sum(bytes)::bigint AS bytes
      FROM ingest.batch WHERE batch_id = ANY(:ids) GROUP BY service, survey, release, dataset ORDER BY 1, 2, 3, 4
     LIMIT 500""")
_MODELS = sa.text("SELECT key, model FROM registry.version WHERE key = ANY(:keys) ORDER BY model")


def job_of(dataset_name: str, what: str = "build") -> str:
    """Name of the job that builds, gates or promotes a dataset."""
    return f"{what}/{dataset_name}"


def facets_of(ctx: Context, **more: Any) -> Facets:
    """Facets of a run: Airflow's run that it is part of, and what is only ours."""
    found = ol.parent_facet(ctx.run_id, ctx.ol_parent)
    if more:
        found["stellar"] = ol.own_facet("RunFacet", **more)
    return found


def tell(
    ctx: Context,
    connection: sa.Connection,
    kind: str,
    job: str,
    key: str | None,
    make: Callable[[str, str], Event],
) -> None:
    """Keep what `make(kind, run)` gives, and the START before it where none is open."""
    with ol.quietly(connection):
        run = ol.open_run(connection, key, job) if key else None
        events = [make("START", ol.new_run())] if kind == "START" and run is None else []
        if kind != "START":
            events = ol.start_and_end(kind, make, run)
        ol.keep(connection, events, run_id=ctx.run_id, key=key)


def started(ctx: Context, connection: sa.Connection, step: Step, key: str, inputs: Mapping[str, InputPlan]) -> None:
    """A snapshot begins to be built; planned again before it ended, it is the same run."""
    _built(ctx, connection, "START", step, key, inputs)


def committed(
    ctx: Context,
    connection: sa.Connection,
    step: Step,
    key: str,
    inputs: Mapping[str, InputPlan],
    outputs: Sequence[dict[str, Any]],
    accounting: Mapping[str, Any],
) -> None:
    """A snapshot was committed, with what else was made with it; in the commit's transaction."""
    _built(ctx, connection, "COMPLETE", step, key, inputs, outputs=outputs, accounting=dict(accounting))


def failed(ctx: Context, step: Step, key: str, error: BaseException) -> None:
    """A step failed on a snapshot; in a transaction of its own, since the work's is undone."""
    with told_after_failure(ctx) as connection:
        _built(ctx, connection, "FAIL", step, key, {}, error=said_of(ctx, error))


def said_of(ctx: Context, error: BaseException) -> str:
    """What an error says, without secrets: events are kept for ever, shown to all users and sent to others."""
    return blotted(ctx.settings, str(error) or type(error).__name__)


@contextmanager
def told_after_failure(ctx: Context) -> Iterator[sa.Connection]:
    """A connection to tell of a failure; that the ledger cannot be reached must not hide the failure itself."""
    try:
        with ctx.engine.begin() as connection:
            yield connection
    except sa.exc.SQLAlchemyError:
        ol.LOG.warning("a failure was not told as an event of OpenLineage", exc_info=True)


@contextmanager
def telling_failure(ctx: Context, step: Step, key: str) -> Iterator[None]:
    """What fails within is told as a failure of the step, and raised."""
    try:
        yield
    except Exception as error:
        failed(ctx, step, key, error)
        raise


def _built(
    ctx: Context,
    connection: sa.Connection,
    kind: str,
    step: Step,
    key: str,
    inputs: Mapping[str, InputPlan],
    *,
    outputs: Sequence[dict[str, Any]] | None = None,
    accounting: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> None:
    job = job_of(step.dataset)

    def make(which: str, run: str) -> Event:
        ends = which == kind
        more = {"accounting": dict(accounting)} if accounting and ends else {}
        about = {"snapshot": key, "step": step.name, "stepVersion": step.version, "models": dict(step.models), **more}
        return ol.event(
            which,
            run,
            job,
            job_type="STEP",
            description=step.description,
            run_facets=facets_of(ctx, **about),
            inputs=given,
            outputs=list(outputs or ()) if ends and outputs else [dataset(step.dataset, key)],
            error=error if ends else None,
        )

    with ol.quietly(connection):
        given = _inputs(connection, step, inputs)
        tell(ctx, connection, kind, job, key, make)


def _inputs(connection: sa.Connection, step: Step, inputs: Mapping[str, InputPlan]) -> list[dict[str, Any]]:
    found = []
    for role, one in step.inputs.items():
        planned = inputs.get(role)
        if one.batches is not None:
            found += batch_inputs(connection, one.batches)
        elif one.folder is not None:
            found.append({"namespace": "file", "name": one.folder, "facets": {}})
        elif planned is not None and planned.snapshot:
            found.append(dataset(one.dataset, planned.snapshot))
    for row in connection.execute(_MODELS, {"keys": list(step.models.values())}) if step.models else ():
        found.append(dataset(ol.model_name(row.model), row.key))
    return list({(one["namespace"], one["name"]): one for one in found}.values())


def batch_inputs(connection: sa.Connection, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Batches as datasets of the services that they came from: one a service and survey's dataset, counted."""
    return [
        {
            "namespace": row.service,
            "name": f"{row.survey} {row.release} {row.dataset}",
            "facets": {},
            "inputFacets": {
                "inputStatistics": facet(
                    "InputStatisticsInputDatasetFacet", rowCount=row.rows, size=row.bytes, fileCount=row.batches
                )
            },
        }
        for row in connection.execute(_BATCHES, {"ids": list(ids)})
    ]


def output_of(
    name: str, key: str, schema: pa.Schema, *, rows: int, size: int, files: int, sources: Sources | None = None
) -> dict[str, Any]:
    """A committed output: its columns, what they came from, its rows, bytes and files."""
    fields = [(one.name, str(one.type), (one.metadata or {}).get(b"description", b"").decode()) for one in schema]
    facets = {"schema": ol.schema_facet(fields)}
    if sources:
        facets["columnLineage"] = ol.columns_facet(sources)
    counted = facet("OutputStatisticsOutputDatasetFacet", rowCount=rows, size=size, fileCount=files)
    return dataset(name, key, facets, outputFacets={"outputStatistics": counted})


def gated(
    ctx: Context,
    connection: sa.Connection,
    row: Snapshot,
    passed: bool,
    rows: int,
    expectations: Iterable[Mapping[str, Any]],
    reasons: Sequence[str],
) -> None:
    """A gate looked at a snapshot; refused, its reasons are the error."""

    def make(kind: str, run: str) -> Event:
        checked = {
            "dataQualityAssertions": ol.assertions_facet(told),
            "dataQualityMetrics": facet("DataQualityMetricsInputDatasetFacet", rowCount=rows, columnMetrics={}),
        }
        ends = kind != "START"
        given = dataset(row.dataset, row.key, inputFacets=checked) if ends else dataset(row.dataset, row.key)
        error = ("; ".join(reasons) or "the gate did not pass") if kind == "FAIL" else None
        return ol.event(
            kind,
            run,
            job,
            job_type="GATE",
            run_facets=facets_of(ctx, snapshot=row.key),
            inputs=[given],
            error=error,
        )

    told, job = list(expectations), job_of(row.dataset, "gate")
    tell(ctx, connection, "COMPLETE" if passed else "FAIL", job, row.key, make)


def promoted(ctx: Context, connection: sa.Connection, row: Snapshot, *, who: str, reason: str) -> None:
    """A snapshot became current."""

    def make(kind: str, run: str) -> Event:
        change = facet("LifecycleStateChangeDatasetFacet", lifecycleStateChange="OVERWRITE")
        return ol.event(
            kind,
            run,
            job,
            job_type="PROMOTION",
            run_facets=facets_of(ctx, snapshot=row.key, who=who, reason=reason),
            outputs=[dataset(row.dataset, row.key, {"lifecycleStateChange": change})],
        )

    job = job_of(row.dataset, "promote")
    tell(ctx, connection, "COMPLETE", job, row.key, make)


def training(
    ctx: Context,
    kind: str,
    run: str,
    model: str,
    snapshots: Mapping[str, str],
    *,
    key: str | None = None,
    description: str = "",
    figures: Mapping[str, float] | None = None,
    promoted: bool | None = None,
    error: str | None = None,
    rows: int | None = None,
) -> None:
    """A model's training began (START), ended with a version (COMPLETE) or failed (FAIL).

    Parameters
    ----------
    snapshots : mapping
        Dataset -> snapshot key of what it learned from.
    figures : mapping, optional
        Of the test part.
    """
    known = {
        name: one for name, one in {"version": key, "promoted": promoted, "figures": figures}.items() if one is not None
    }
    outputs = [dataset(ol.model_name(model), key)] if key else []
    with told_after_failure(ctx) as connection, ol.quietly(connection):
        inputs = [dataset(name, one) for name, one in sorted(snapshots.items())]
        if rows is not None and inputs:
            known["trainingRows"] = rows
        told = ol.event(
            kind,
            run,
            f"train/{model}",
            job_type="TRAINING",
            description=description,
            run_facets=facets_of(ctx, model=model, **known),
            inputs=inputs,
            outputs=outputs,
            error=error,
        )
        ol.keep(connection, [told], run_id=ctx.run_id, key=key)
