"""Building: run a step on one batch of planned partitions and stage the files."""

from __future__ import annotations

import json
import uuid
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from stellar.engine import events
from stellar.engine.context import Context
from stellar.engine.inputs import Reader
from stellar.engine.margins import edge_file, keep_edge
from stellar.engine.plan import PartitionPlan, Plan, key_of, staging
from stellar.engine.step import Partition, Step, StepResult
from stellar.errors import InputError, LedgerError
from stellar.json_files import write_json
from stellar.lake.write import PartitionFile, sync, with_index, write_partition
from stellar.settings import Settings
from stellar.sky.healpix import INDEX_COLUMN

#: Quarantined and raw rows may have bad ids and positions; their batch is the one column that is never null.
REFUSED_ID = "batch_id"


def build(ctx: Context, step: Step, plan: Plan, batch_no: int) -> None:
    """Make the partitions of ``plan.batches[batch_no]``; those that an earlier attempt has staged are left alone.

    Any number of attempts, also at once, come to the same: a file is staged under the hash of its content, and a
    partition counts as staged only once its note is there.

    Raises
    ------
    LedgerError
        When the step is not the planned one, or its rows do not add up; names partition and numbers.
    """
    if not plan.found:
        with events.telling_failure(ctx, step, plan.key):
            build_batch(ctx.settings, step, plan, batch_no)


def build_batch(settings: Settings, step: Step, plan: Plan, batch_no: int) -> None:
    """`build` without a ledger: all that it needs is in the plan, so any process can do it."""
    if key_of(step, plan.inputs) != plan.key:
        raise LedgerError(f"{step.dataset}: this is not the step that {plan.key[:16]} was planned with; plan it again")
    reader = Reader(settings, step, plan.inputs)
    with ThreadPoolExecutor(1, "stellar-disk") as disk:  # a partition reaches the disk while the next is built
        under_way: deque[Future[None]] = deque()
        for number in plan.batches[batch_no]:
            one = plan.partitions[number]
            if read_note(settings, plan.key, one.partition) is None:
                built = build_one(settings, step, plan, one, reader)
                under_way.append(disk.submit(_keep, settings, plan.key, one.partition, built))
            while under_way and under_way[0].done():  # a full disk is told of before more is built
                under_way.popleft().result()
        for last in under_way:
            last.result()


def read_note(settings: Settings, key: str, partition: Partition) -> dict[str, Any] | None:
    """What was staged for a partition: file, rows, bytes, sha256, accounting, quarantine; None when nothing was."""
    try:
        return json.loads(_note(settings, key, partition).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _note(settings: Settings, key: str, partition: Partition) -> Path:
    return staging(settings, key) / f"{partition.file_name}.json"


class Built(NamedTuple):
    """A partition whose files are written under names of their own: what its note will say, and their names then."""

    note: dict[str, Any]
    files: dict[Path, Path]


def build_one(settings: Settings, step: Step, plan: Plan, one: PartitionPlan, reader: Reader) -> Built:
    """Build one partition into the plan's staging folder, whatever lies there; it does not count as staged yet."""
    inputs = {role: reader.read(role, one.partition, one.reads[role]) for role in step.inputs}
    given = inputs[step.primary].rows.num_rows if step.primary else None
    result = step.run(one.partition, inputs, step.params_of(one.partition))
    del inputs
    table = _checked(step, one.partition, result, given)
    folder = staging(settings, plan.key)
    stem = one.partition.file_name
    files: dict[Path, Path] = {}
    note = _stage(table, folder, stem, step, files)
    note |= {"key": one.key, "accounting": result.accounting.to_dict(), "quarantine": None}
    cell = one.partition.cell
    if step.margin_arcsec and cell is not None and table.num_rows:
        keep_edge(table, cell, step.margin_arcsec, edge_file(settings.cache, note["sha256"], step.margin_arcsec))
    if result.quarantine is not None and result.quarantine.num_rows:
        note["quarantine"] = _stage(result.quarantine, folder, f"{stem}.quarantine", None, files)
    return Built(note, files)


def _keep(settings: Settings, key: str, partition: Partition, built: Built) -> None:
    """Have a partition's files on the disk, then under their names, and then its note, with which it is staged."""
    for own, named in built.files.items():
        sync(own)
        own.replace(named)
    write_json(_note(settings, key, partition), built.note)


def _stage(table: pa.Table, folder: Path, stem: str, step: Step | None, files: dict[Path, Path]) -> dict[str, Any]:
    """Write a partition of a step's output, or of what it refused (None), into the staging folder."""
    # each attempt writes a file of its own, and its name is its hash: no other attempt's content can come under it
    own = folder / f".{stem}.{uuid.uuid4().hex}.parquet"
    made: PartitionFile
    if step is None:
        made = write_partition(table, own, id_column=REFUSED_ID, sky=False, synced=False)
    else:
        made = write_partition(
            table,
            own,
            id_column=step.id_column,
            sky=step.layout != "plain",
            position=step.position,
            keep_index=True,
            synced=False,
        )
    named = folder / f"{stem}.{made.sha256[:16]}.parquet"
    files[own] = named
    return {"file": named.name, "rows": made.rows, "bytes": made.bytes, "sha256": made.sha256}


def _checked(step: Step, partition: Partition, result: StepResult, given: int | None) -> pa.Table:
    """The result's table, once its rows add up and lie where they should."""
    where = f"{step.dataset}, step {step.name} v{step.version}, partition {partition.name}"
    count = result.accounting
    refused = result.quarantine.num_rows if result.quarantine is not None else 0
    # A step without a primary input may hand rows to a neighbouring partition (a source whose object lies over the
    # edge): there only the whole snapshot adds up, which the commit checks.
    if (count.gap and step.primary) or min(
        count.rows_in, count.rows_out, count.merged, count.quarantined, *count.filtered.values()
    ) < 0:
        raise LedgerError(
            f"{where}: {count.rows_in} rows in are not {count.rows_out} out + {count.merged} merged + "
            f"{count.filtered_total} filtered + {count.quarantined} quarantined"
        )
    for what, said, found in (
        ("rows in", count.rows_in, expected_in(step, count.rows_in, given)),
        ("rows out", count.rows_out, result.table.num_rows),
        ("quarantined rows", count.quarantined, refused),
    ):
        if said != found:
            raise LedgerError(f"{where}: its accounting says {said} {what}, there are {found}")
    if refused and result.quarantine is not None:
        _check_quarantine(step, where, result.quarantine)
    return _check_place(step, where, partition, result.table)


def expected_in(step: Step, said: int, given: int | None) -> int:
    """How many rows a step has to account for: the primary input's, and those that it adds."""
    return said if given is None or (step.adds_rows and said >= given) else given


def _check_quarantine(step: Step, where: str, table: pa.Table) -> None:
    if step.quarantine is None:
        raise LedgerError(f"{where}: it quarantines rows, but declares no quarantine dataset")
    for column in ("reason", "batch_id"):
        if column not in table.column_names or table[column].null_count:
            raise LedgerError(f"{where}: quarantined rows need a {column} each")


def _check_place(step: Step, where: str, partition: Partition, table: pa.Table) -> pa.Table:
    if step.layout == "plain":
        return table
    if not (step.keeps_index and INDEX_COLUMN in table.column_names):
        try:
            table = with_index(table, position=step.position)
        except InputError as error:
            raise LedgerError(f"{where}: {error}") from error
    cell = partition.cell
    if cell is None and table.num_rows:
        raise LedgerError(f"{where}: {table.num_rows} rows without a position came out; filter or quarantine them")
    if cell is not None:
        outside = ~cell.contains(table[INDEX_COLUMN].to_numpy())
        if outside.any():
            row = table.slice(int(outside.argmax()), 1).select([*step.id_columns, *step.position]).to_pylist()[0]
            raise LedgerError(f"{where}: {int(outside.sum())} rows lie outside the cell, the first is {row}")
    return table
