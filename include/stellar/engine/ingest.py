"""From fetched work units to raw snapshots."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from stellar import store
from stellar.engine import events
from stellar.engine.commit import Made, record_snapshot, store_snapshot, told_of
from stellar.engine.context import Context
from stellar.engine.keys import content_hash, digest
from stellar.engine.plan import is_whole, staging
from stellar.engine.rows import rows_hash
from stellar.engine.step import Accounting
from stellar.errors import InputError, ServiceError
from stellar.lake.write import canonical, file_sha256, write_partition
from stellar.ledger import batches, history, openlineage, snapshots

if TYPE_CHECKING:
    from stellar.surveys.base import Fetched, WorkUnit

STEP, VERSION = "sync", 1


@dataclass(frozen=True)
class RawCommit:
    """A raw snapshot's key and whether its content differs from the current one's."""

    key: str
    changed: bool


def raw_dataset(subject: str) -> str:
    """`raw.<subject>` for a survey's own name of its dataset; a full name stays as it is."""
    return subject if "." in subject else f"raw.{subject}"


def _row(unit: WorkUnit) -> dict[str, Any]:
    return {**asdict(unit), "dataset": raw_dataset(unit.dataset)}


def done_signs(ctx: Context, survey: str) -> dict[tuple[str, str], str]:
    """(dataset, unit) -> sign of the units that are done, in the survey's own names: what `Survey.plan` takes."""
    found = batches.done_signs(ctx.engine, survey)
    return {(dataset.removeprefix("raw."), unit): sign for (dataset, unit), sign in found.items()}


def plan_units(ctx: Context, survey: str, units: Iterable[WorkUnit]) -> list[WorkUnit]:
    """Record units as planned and return those not done under the same sign."""
    units = list(units)
    for unit in units:
        if unit.survey != survey:
            raise InputError(f"unit {unit.unit} of {unit.dataset} is of survey {unit.survey}, not of {survey}")
    batches.plan_units(ctx.engine, [_row(unit) for unit in units])
    asked = {(raw_dataset(unit.dataset), unit.release, unit.unit) for unit in units}
    still = {(one["dataset"], one["release"], one["unit"]) for one in batches.open_units(ctx.engine, survey)}
    return [unit for unit in units if (raw_dataset(unit.dataset), unit.release, unit.unit) in asked & still]


def pending_units(ctx: Context, survey: str) -> list[WorkUnit]:
    """Units planned or failed and not yet done: what a new run resumes with."""
    from stellar.surveys.base import WorkUnit

    rows = batches.open_units(ctx.engine, survey)
    return [WorkUnit(**{**one, "dataset": one["dataset"].removeprefix("raw.")}) for one in rows]


def fail_unit(ctx: Context, unit: WorkUnit, error: str) -> None:
    """Note that a unit failed and why."""
    batches.fail_unit(ctx.engine, _row(unit), error)


def batch_id_of(unit: WorkUnit, table: pa.Table) -> str:
    """Id of a batch: hash of survey, dataset, release, unit and canonical rows (without their order as it came)."""
    return digest([unit.survey, raw_dataset(unit.dataset), unit.release, unit.unit, rows_hash(table)])


def record_batch(ctx: Context, unit: WorkUnit, fetched: Fetched) -> str:
    """Keep what a unit brought; returns the batch id.

    The file is there before the one transaction that records the batch, supersedes the unit's former one and marks
    the unit done; a crash in between leaves a file that the next attempt uses. Same content twice is the same batch.
    When it comes too late, after the unit was planned anew under another sign, the ledger stays as it is. Where the
    batch came from is noted beside its file too.

    Raises
    ------
    ServiceError
        When there are no rows where the service counted some.
    """
    if unit.expected_rows and not fetched.table.num_rows:
        raise ServiceError(fetched.service, unit.unit, f"0 rows where {unit.expected_rows} were expected")
    # a constant id column sorts the rows by all their columns, so their order as they came makes no difference
    blank = pa.array([""] * fetched.table.num_rows, pa.string())
    rows = fetched.table.drop_columns(["batch_id"]) if "batch_id" in fetched.table.column_names else fetched.table
    rows = canonical(rows.append_column("batch_id", blank), id_column="batch_id", sky=False)
    batch_id = batch_id_of(unit, rows.drop_columns(["batch_id"]))
    dataset = raw_dataset(unit.dataset)
    path = f"{dataset.replace('.', '/', 1)}/batches/{batch_id}.parquet"
    final = ctx.settings.lake / path
    if not final.exists():
        place = rows.column_names.index("batch_id")
        named = rows.set_column(place, "batch_id", pa.array([batch_id] * rows.num_rows, pa.string()))
        with store.writing(final, ctx.settings.workspace / ".staging") as file:
            write_partition(named, file, id_column="batch_id", sky=False)
    batches.record(
        ctx.engine,
        _row(unit),
        {
            "batch_id": batch_id,
            "service": fetched.service,
            "query": fetched.query,
            "params": fetched.params,
            "response_sha256": fetched.response_sha256,
            "row_count": rows.num_rows,
            "quarantined": 0,
            "path": path,
            "bytes": final.stat().st_size,
            "file_sha256": file_sha256(final),
            "run_id": ctx.run_id,
        },
    )
    history.write_batches(ctx.engine, ctx.settings.lake, [batch_id])
    return batch_id


def raw_key(ctx: Context, dataset: str) -> RawCommit | None:
    """Key of the snapshot of a raw dataset's active batches and whether its content is new; None without batches."""
    with ctx.engine.connect() as connection:
        active = batches.active(connection, dataset)
    if not active:
        return None
    current = snapshots.current(ctx.engine, dataset)
    found = content_hash((one.batch_id, one.file_sha256) for one in active)
    return RawCommit(_key(dataset, active), current is None or current.content_hash != found)


def _key(dataset: str, active: Sequence[batches.ActiveBatch]) -> str:
    return digest({"dataset": dataset, "step": STEP, "version": VERSION, "batches": [one.batch_id for one in active]})


def commit_raw(ctx: Context, dataset: str) -> RawCommit | None:
    """Snapshot of a raw dataset's active batches, state candidate; gate and promote it like any other.

    None when nothing was ever fetched. Committed before, it is only named.

    Raises
    ------
    InputError
        When batches have columns of types that do not go together; names the batch.
    """
    about = {"step": STEP, "version": VERSION, "params": {}, "models": {}, "inputs": {}}
    with ctx.engine.begin() as connection:
        snapshots.lock_datasets(connection, [dataset])
        active = batches.active(connection, dataset)
        if not active:
            return None
        key = _key(dataset, active)
        row = snapshots.find(connection, key)
        if not (row and is_whole(ctx.settings, connection, row)):
            snapshots.declare_dataset(connection, dataset, None)
            snapshots.begin(connection, key, dataset, STEP, VERSION, {}, run_id=ctx.run_id)
            made = [_made(ctx.settings.lake, dataset, one) for one in active]
            schema = _common_schema(dataset, made)
            rows = sum(one.rows for one in made)
            totals = Accounting(rows, rows)
            aside = staging(ctx.settings, f"{key}-{uuid.uuid4().hex}")
            found = store_snapshot(ctx.settings, key, dataset, made, totals, about, aside, schema)
            aside.rmdir()
            parents = [(one.batch_id, "batch", "batch") for one in active]
            record_snapshot(connection, key, dataset, made, totals, found, STEP, parents)
            _tell(ctx, connection, key, [one.batch_id for one in active], told_of(key, dataset, made, schema))
    changed = raw_key(ctx, dataset)
    return RawCommit(key, changed is None or changed.changed)


def _tell(ctx: Context, connection: sa.Connection, key: str, ids: Sequence[str], output: dict[str, Any]) -> None:
    """Tell of a raw snapshot: the services that its batches came from, and what they came to."""
    job = events.job_of(output["name"])

    def make(kind: str, run: str) -> dict[str, Any]:
        about = events.facets_of(ctx, snapshot=key, step=STEP, stepVersion=VERSION)
        outputs = [output if kind == "COMPLETE" else openlineage.dataset(output["name"], key)]
        return openlineage.event(kind, run, job, job_type="SYNC", run_facets=about, inputs=inputs, outputs=outputs)

    with openlineage.quietly(connection):
        inputs = events.batch_inputs(connection, ids)
        events.tell(ctx, connection, "COMPLETE", job, key, make)


def _made(lake: Path, dataset: str, one: batches.ActiveBatch) -> Made:
    key = digest({"dataset": dataset, "batch": one.batch_id})
    accounting = Accounting(one.row_count, one.row_count).to_dict()
    file = f"dataset/{one.batch_id}.parquet" if one.row_count else None
    return Made(one.batch_id, key, lake / one.path, file, one.row_count, one.bytes, one.file_sha256, accounting)


def _common_schema(dataset: str, made: Sequence[Made]) -> pa.Schema:
    schema: pa.Schema | None = None
    for one in made:
        own = pq.read_schema(one.source)
        try:
            schema = own if schema is None else pa.unify_schemas([schema, own], promote_options="permissive")
        except pa.ArrowException as error:
            raise InputError(
                f"{dataset}: batch {one.name[:16]} ({one.source}) has columns that do not go with the batches before "
                f"it: {error}; fetch its unit again with one release"
            ) from error
    return schema if schema is not None else pa.schema([("batch_id", pa.string())])
