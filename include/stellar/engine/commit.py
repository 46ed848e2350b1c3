"""Committing: a staged plan becomes a candidate snapshot, in one transaction."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from stellar import store
from stellar.engine import columns, events, margins
from stellar.engine.build import expected_in, read_note
from stellar.engine.context import Context
from stellar.engine.keys import content_hash
from stellar.engine.outside import look_outside
from stellar.engine.plan import (
    PartitionPlan,
    Plan,
    begin_snapshots,
    companion_key,
    identity,
    is_whole,
    key_of,
    snapshot_folder,
    staging,
)
from stellar.engine.step import Accounting, Partition, Step
from stellar.errors import IntegrityError, LedgerError
from stellar.json_files import write_json
from stellar.lake.hats import MarginInfo, finish_catalog, finish_plain, partition_file
from stellar.lake.read import Catalog
from stellar.ledger import history, snapshots
from stellar.ledger import margins as ledger_margins
from stellar.ledger.partitions import StoredPartition, partition_hashes, stored_partitions
from stellar.settings import Settings
from stellar.sky.healpix import Cell

MANIFEST = "manifest.json"
_REFUSED_SCHEMA = pa.schema([("reason", pa.string()), ("batch_id", pa.string())])


@dataclass(frozen=True)
class Made:
    """A partition that is ready to be put into a snapshot: where its file lies now and what it will be called."""

    name: str
    key: str
    source: Path
    file: str | None
    rows: int
    bytes: int
    sha256: str
    accounting: dict[str, Any] | None = None
    reads: dict[str, dict[str, str]] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "key": self.key,
            "file": self.file,
            "rows": self.rows,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "accounting": self.accounting,
            "reads": self.reads,
        }


def commit(ctx: Context, step: Step, plan: Plan) -> str:
    """Commit a built plan and return the snapshot's key; done before, it only returns the key.

    The folder is put together aside and renamed into place, then the ledger's transaction ends: a crash before that
    leaves the dataset as it was, and a later attempt starts from the staged files. Attempts at once take turns.

    Raises
    ------
    LedgerError
        When a partition is not built, or the rows do not add up.
    IntegrityError
        When the same step on the same inputs gave other content than before.
    """
    if not plan.found and key_of(step, plan.inputs) != plan.key:
        raise LedgerError(f"{step.dataset}: this is not the step that {plan.key[:16]} was planned with; plan it again")
    with events.telling_failure(ctx, step, plan.key):
        return _commit(ctx, step, plan)


def _commit(ctx: Context, step: Step, plan: Plan) -> str:
    _check_outside(ctx.settings, step, plan)
    outputs = [step.dataset, *([step.quarantine] if step.quarantine else [])]
    with ctx.engine.begin() as connection:
        snapshots.lock_datasets(connection, outputs)
        row = snapshots.find(connection, plan.key)
        if row and is_whole(ctx.settings, connection, row):
            return plan.key
        begin_snapshots(connection, step, plan.key, ctx.run_id)
        made, refused = _collect(connection, ctx.settings, plan, bool(step.margin_arcsec))
        totals = _add_up(step, plan, made, refused)
        about, told = _about(step, plan), []
        if step.quarantine:
            count = sum(one.rows for one in refused)
            key, counted = companion_key(plan.key), Accounting(count, count)
            beside = {**about, "companion_of": plan.key}
            told.append(_store(ctx, connection, key, step.quarantine, refused, counted, beside, plan))
        told.insert(0, _store(ctx, connection, plan.key, step.dataset, made, totals, about, plan, step))
        events.committed(ctx, connection, step, plan.key, plan.inputs, told, totals.to_dict())
    # a candidate that no gate has seen must not be taken for the current one when the ledger is made again
    new = [dataset for dataset in outputs if not history.history_file(ctx.settings.lake, dataset).exists()]
    history.write_datasets(ctx.engine, ctx.settings.lake, new)
    shutil.rmtree(staging(ctx.settings, plan.key), ignore_errors=True)
    return plan.key


def _check_outside(settings: Settings, step: Step, plan: Plan) -> None:
    """Nobody holds a catalogue outside the lake still: what was read must be what was planned with."""
    for role, one in step.inputs.items():
        if one.folder is None or plan.found:
            continue
        if look_outside(settings, Path(one.folder)).content_hash != plan.inputs[role].content_hash:
            shutil.rmtree(staging(settings, plan.key), ignore_errors=True)
            raise IntegrityError(f"{one.folder}: changed while {step.dataset} was made of it; make it again")


def _collect(
    connection: sa.Connection, settings: Settings, plan: Plan, keeps_margins: bool
) -> tuple[list[Made], list[Made]]:
    """Every planned partition as it was staged or as an earlier snapshot holds it, and what was quarantined."""
    keys = [one.key for one in plan.partitions]
    stored = stored_partitions(connection, [*keys, *(companion_key(key) for key in keys)])
    files = store.Files(settings.lake)
    made, refused = [], []
    for number, one in enumerate(plan.partitions):
        bucket = Partition.of_bucket(number, len(plan.partitions)).name
        note = read_note(settings, plan.key, one.partition)
        if note is not None:
            folder = staging(settings, plan.key)
            made.append(_from_note(one, folder, note, keeps_margins))
            if note["quarantine"]:
                refused.append(_refused(bucket, companion_key(one.key), folder, note["quarantine"]))
            continue
        if one.key not in stored:
            raise LedgerError(
                f"{plan.dataset}: partition {one.partition.name} is not built; build it before the commit"
            )
        old = stored[one.key]
        made.append(_from_store(files, one.partition.name, old, keeps_margins, one.reads))
        if (old.accounting or {}).get("quarantined"):
            refused.append(_from_store(files, bucket, stored[companion_key(one.key)]))
    return made, refused


def _file(name: str, rows: int, keeps_margins: bool = False) -> str | None:
    """Path of a partition below the snapshot's folder; one without rows has no file."""
    return partition_file(Partition(name).cell or name, margins=keeps_margins) if rows else None


def _from_note(one: PartitionPlan, folder: Path, note: Mapping[str, Any], keeps_margins: bool) -> Made:
    name, rows = one.partition.name, note["rows"]
    file, source = _file(name, rows, keeps_margins), folder / note["file"]
    return Made(name, one.key, source, file, rows, note["bytes"], note["sha256"], note["accounting"], one.reads)


def _refused(name: str, key: str, folder: Path, note: Mapping[str, Any]) -> Made:
    rows = note["rows"]
    return Made(name, key, folder / note["file"], _file(name, rows), rows, note["bytes"], note["sha256"])


def _from_store(
    files: store.Files,
    name: str,
    old: StoredPartition,
    keeps_margins: bool = False,
    reads: dict[str, dict[str, str]] | None = None,
) -> Made:
    root = files.lake / old.snapshot_path
    source = root / old.path if old.path else Catalog(root).common_metadata
    if not (files.has(f"{old.snapshot_path}/{old.path}", old.bytes) if old.path else source.exists()):
        raise IntegrityError(f"{source}: missing or damaged, so it cannot be carried over; run `stellar verify`")
    file = _file(name, old.rows, keeps_margins)
    return Made(name, old.key, source, file, old.rows, old.bytes, old.file_sha256, old.accounting, reads)


def _add_up(step: Step, plan: Plan, made: Sequence[Made], refused: Sequence[Made]) -> Accounting:
    """Accounting of the whole snapshot: the partitions' sums, which must be the input's and the files' rows."""
    totals = Accounting(0, 0)
    for one in made:
        totals = totals + Accounting(**(one.accounting or {}))
    checks = [
        ("rows out", totals.rows_out, sum(one.rows for one in made)),
        ("rows quarantined", totals.quarantined, sum(one.rows for one in refused)),
    ]
    if step.primary:
        primary = plan.inputs[step.primary]
        expected = expected_in(step, totals.rows_in, primary.rows)
        checks.append((f"rows in, of {primary.dataset}", totals.rows_in, expected))
    wrong = [f"{what}: accounted {said}, there are {found}" for what, said, found in checks if said != found]
    if totals.gap:
        wrong.append(f"{totals.gap} of {totals.rows_in} rows in are accounted nowhere")
    if wrong:
        raise LedgerError(f"{step.dataset} is not committed, its rows do not add up: {'; '.join(wrong)}")
    return totals


def _about(step: Step, plan: Plan) -> dict[str, Any]:
    return {
        "step": step.name,
        "version": step.version,
        "params": step.params,
        "models": step.models,
        "inputs": {
            role: {
                "dataset": one.dataset,
                "snapshot": one.snapshot,
                "content_hash": one.content_hash,
                "folder": step.inputs[role].folder,
                "margin_arcsec": step.inputs[role].margin_arcsec,
            }
            for role, one in plan.inputs.items()
        },
        "identity": identity(step),
        "batches": sorted({batch for one in step.inputs.values() for batch in one.batches or ()}),
        "id_columns": list(step.id_columns),
        "position": list(step.position),
        "margin_arcsec": step.margin_arcsec,
    }


def _store(
    ctx: Context,
    connection: sa.Connection,
    key: str,
    dataset: str,
    made: Sequence[Made],
    totals: Accounting,
    about: Mapping[str, Any],
    plan: Plan,
    step: Step | None = None,
) -> dict[str, Any]:
    """Files in place, then their rows in the ledger, of one output, `step` where it has columns to tell of."""
    before = snapshots.find(connection, key)
    aside = staging(ctx.settings, plan.key)
    edges = _margins(ctx, connection, step, made, aside) if step and step.margin_arcsec else None
    position = step.position if step else ("ra", "dec")
    schema = _schema(made)
    sources = columns.sources_of(step, schema.names) if step else {}
    about = {**about, "columns": sources} if sources else about
    found = store_snapshot(
        ctx.settings, key, dataset, made, totals, about, aside, schema, position=position, edges=edges
    )
    if before is not None and before.content_hash not in (None, found):
        raise IntegrityError(
            f"{dataset}: made again from the same inputs, {key[:16]} has other content than before, so step "
            f"{about['step']} v{about['version']} is not a pure function of its inputs; mend it and raise its version"
        )
    parents = [(one.snapshot, "snapshot", role) for role, one in plan.inputs.items() if one.snapshot]
    parents += [(version, "version", role) for role, version in about["models"].items()]
    if step:
        parents += [(batch, "batch", role) for role, one in step.inputs.items() for batch in one.batches or ()]
    record_snapshot(connection, key, dataset, made, totals, found, str(about["step"]), parents)
    if edges is not None and step:
        ledger_margins.record(connection, key, step.margin_arcsec, [one.to_dict() for one in edges])
    columns.record(connection, key, sources)
    return told_of(key, dataset, made, schema, sources)


def told_of(
    key: str, dataset: str, made: Sequence[Made], schema: pa.Schema, sources: columns.Sources | None = None
) -> dict[str, Any]:
    """A stored snapshot as an event tells it."""
    files = [one.bytes for one in made if one.file]
    rows = sum(one.rows for one in made)
    return events.output_of(dataset, key, schema, rows=rows, size=sum(files), files=len(files), sources=sources)


def _margins(
    ctx: Context, connection: sa.Connection, step: Step, made: Sequence[Made], aside: Path
) -> list[margins.Margin]:
    """Margins of all partitions on the sky, made now or carried over."""
    parts = margins.parts_of(made)
    wanted = margins.keys(parts, step.margin_arcsec, step.id_columns)
    stored = ledger_margins.stored(connection, [key for key, _ in wanted.values()])
    return margins.make_margins(
        parts,
        step.margin_arcsec,
        step.id_columns,
        stored,
        wanted,
        ctx.settings.lake,
        aside,
        ctx.settings.cache,
        ctx.settings.workers,
    )


def store_snapshot(
    settings: Settings,
    key: str,
    dataset: str,
    made: Sequence[Made],
    totals: Accounting,
    about: Mapping[str, Any],
    aside: Path,
    schema: pa.Schema | None = None,
    position: tuple[str, str] = ("ra", "dec"),
    edges: Sequence[margins.Margin] | None = None,
) -> str:
    """Put a snapshot's folder together aside and rename it into place; returns its content hash.

    The caller holds the dataset's lock, and the ledger does not name the folder yet, so what a crashed attempt left
    in its place is replaced.
    """
    draft = store.Draft(aside)
    for one in (*made, *(edges or ())):
        if one.source and one.file:
            draft.add(one.source, one.file)
    schema = schema or _schema(made)
    cells = {Cell.parse(one.name): one.rows for one in made if Partition(one.name).cell}
    if cells:
        size = sum(one.bytes for one in made if one.file)
        finish_catalog(draft.folder, dataset, cells, schema, position=position, margin=_info(about, edges), size=size)
    else:
        finish_plain(draft.folder, schema)
    found = content_hash((one.name, one.sha256) for one in made)
    manifest = {
        **about,
        "key": key,
        "dataset": dataset,
        "rows": sum(one.rows for one in made),
        "content_hash": found,
        "accounting": totals.to_dict(),
        "partitions": [one.to_dict() for one in sorted(made, key=lambda one: one.name)],
        "margins": [one.to_dict() for one in sorted(edges or (), key=lambda one: one.name)],
    }
    write_json(draft.folder / MANIFEST, manifest)
    draft.publish(settings.lake / snapshot_folder(dataset, key), last=MANIFEST)
    return found


def _info(about: Mapping[str, Any], edges: Sequence[margins.Margin] | None) -> MarginInfo | None:
    if edges is None:
        return None
    rows = {Cell.parse(one.name): one.rows for one in edges}
    return MarginInfo(about["margin_arcsec"], rows, sum(one.bytes for one in edges))


def record_snapshot(
    connection: sa.Connection,
    key: str,
    dataset: str,
    made: Sequence[Made],
    totals: Accounting,
    found: str,
    step: str,
    parents: Sequence[tuple[str, str, str]],
) -> None:
    """A stored snapshot's rows in the ledger: it becomes a candidate."""
    _check_same_content(connection, dataset, made)
    snapshots.complete(
        connection,
        key,
        rows=sum(one.rows for one in made),
        size=sum(one.bytes for one in made if one.file),
        path=snapshot_folder(dataset, key),
        content_hash=found,
        step=step,
        accounting=totals.to_dict(),
        partitions=[one.to_dict() for one in made],
    )
    snapshots.add_edges(connection, key, "snapshot", parents)


def _check_same_content(connection: sa.Connection, dataset: str, made: Sequence[Made]) -> None:
    """A partition's key stands for one content; two of them mean that the step is not a pure function."""
    known = partition_hashes(connection, [one.key for one in made])
    for one in made:
        if known.get(one.key, one.sha256) != one.sha256:
            raise IntegrityError(
                f"{dataset}: partition {one.name}, made again from the same inputs, has other content than before, so "
                "its step is not a pure function of its inputs; mend it and raise its version"
            )


def _schema(made: Sequence[Made]) -> pa.Schema:
    """The columns, from a partition with rows where there is one."""
    if not made:
        return _REFUSED_SCHEMA
    return pq.read_schema(max(made, key=lambda one: one.rows > 0).source)
