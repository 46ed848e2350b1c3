"""Planning: which snapshot a step would make, which partitions it has, and which of them are already there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from stellar import store
from stellar.engine import events
from stellar.engine.batches import deal
from stellar.engine.context import Context
from stellar.engine.inputs import MARGIN, UNPLACED, InputPlan, Reader, resolve_inputs, round_bytes
from stellar.engine.keys import digest
from stellar.engine.outside import look_outside
from stellar.engine.step import Partition, Step
from stellar.errors import InputError, LedgerError
from stellar.json_files import write_json
from stellar.lake.layout import LAYOUT, THRESHOLD_BYTES, cells_beyond, layout
from stellar.lake.write import WRITER
from stellar.ledger import margins, snapshots
from stellar.ledger.partitions import StoredPartition, partitions_of, stored_partitions
from stellar.settings import Settings
from stellar.sky.healpix import Cell

ENGINE = 4  # raise it when the engine's own part in a snapshot's content changes
_MOST_BUCKETS = 256


@dataclass(frozen=True)
class PartitionPlan:
    """One partition of the snapshot to be. `carried`: a file of this key is linked from an earlier snapshot.

    `reads` has, per input, the partitions that it is made from and the SHA-256 of each one's content.
    """

    partition: Partition
    key: str
    carried: bool
    reads: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What is to be done for one snapshot; `found` means nothing: a committed snapshot of this key exists.

    `batches` holds lists of places in `partitions`, of those that are not carried.
    """

    key: str
    dataset: str
    found: bool
    partitions: list[PartitionPlan]
    batches: list[list[int]]
    inputs: dict[str, InputPlan] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "dataset": self.dataset,
            "inputs": {role: one.to_dict() for role, one in self.inputs.items()},
            "batches": self.batches,
            "partitions": [
                {
                    "name": one.partition.name,
                    "buckets": one.partition.buckets,
                    "key": one.key,
                    "carried": one.carried,
                    "reads": one.reads,
                }
                for one in self.partitions
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        partitions = [
            PartitionPlan(Partition(one["name"], one["buckets"]), one["key"], one["carried"], one["reads"])
            for one in data["partitions"]
        ]
        inputs = {role: InputPlan(**one) for role, one in data["inputs"].items()}
        return cls(data["key"], data["dataset"], False, partitions, data["batches"], inputs)


def staging(settings: Settings, key: str) -> Path:
    """Folder where a snapshot is put together before its commit."""
    return settings.workspace / ".staging" / key


def snapshot_folder(dataset: str, key: str) -> str:
    """Folder of a committed snapshot, below the lake's."""
    return f"{dataset.replace('.', '/', 1)}/{key[:16]}"


def identity(step: Step) -> dict[str, Any]:
    """What decides a step's output beside its inputs' content."""
    return {
        "engine": ENGINE,
        "dataset": step.dataset,
        "step": step.name,
        "version": step.version,
        "params": step.params,
        "models": step.models,
        "layout": [step.layout, step.primary, LAYOUT],
        "id_column": list(step.id_columns),
        "position": list(step.position),
        "margin_arcsec": step.margin_arcsec,
        "quarantine": step.quarantine,
        "reads": {
            role: [one.dataset, one.margin_arcsec, list(one.columns) if one.columns is not None else None]
            for role, one in step.inputs.items()
        },
        "writer": WRITER,
    }


def key_of(step: Step, inputs: Mapping[str, InputPlan]) -> str:
    """Key of the snapshot that a step makes of these inputs."""
    return digest({**identity(step), "inputs": {role: one.content_hash for role, one in inputs.items()}})


def companion_key(key: str) -> str:
    """Key of the quarantine snapshot that is made with a snapshot."""
    return digest({"quarantine_of": key})


def snapshot_key(ctx: Context, step: Step, snapshots: Mapping[str, str] | None = None) -> str:
    """Key of the snapshot that a step would make now; reads the ledger only."""
    return key_of(step, resolve_inputs(ctx, step, snapshots))


def plan(ctx: Context, step: Step, snapshots: Mapping[str, str] | None = None) -> Plan:
    """Plan a step on the current snapshots of its inputs, or on `snapshots` (dataset -> key) where given.

    The plan is kept in the staging folder. Planned again before its commit, the same plan is found there, so that
    batches keep their numbers.
    """
    inputs = resolve_inputs(ctx, step, snapshots)
    key = key_of(step, inputs)
    if (found := _found(ctx, key, step.dataset, inputs)) is not None:
        return found
    _begin(ctx, step, key, inputs)
    if (staged := _staged(ctx, key)) is not None and staged.inputs == inputs:
        return staged
    shutil.rmtree(staging(ctx.settings, key), ignore_errors=True)
    made = plan_afresh(ctx, step, key, inputs)
    write_json(staging(ctx.settings, key) / "plan.json", made.to_dict())
    return made


def draft(ctx: Context, step: Step, snapshots: Mapping[str, str] | None = None) -> Plan:
    """What `plan` would give, noted nowhere: to say what would be done without beginning it."""
    inputs = resolve_inputs(ctx, step, snapshots)
    key = key_of(step, inputs)
    return _found(ctx, key, step.dataset, inputs) or plan_afresh(ctx, step, key, inputs)


def plan_afresh(ctx: Context, step: Step, key: str, inputs: dict[str, InputPlan]) -> Plan:
    """A plan with what each partition reads, though a snapshot of this key may be there; noted nowhere."""
    reader = Reader(ctx.settings, step, inputs)
    partitions = _partitions(ctx, step, reader)
    return Plan(key, step.dataset, False, partitions, deal(ctx.settings.workers, reader, partitions), inputs)


def load_plan(ctx: Context, key: str) -> Plan:
    """The plan that another process made, from the staging folder; of a committed snapshot, that it is found."""
    if (staged := load_staged(ctx.settings, key)) is not None:
        return staged
    row = snapshots.get(ctx.engine, key)
    if (found := _found(ctx, key, row.dataset, {})) is not None:
        return found
    raise LedgerError(
        f"snapshot {key[:16]} of {row.dataset} has neither files nor a plan in the staging folder; plan it"
    )


def plan_inputs(ctx: Context, key: str) -> dict[str, str]:
    """Dataset -> snapshot key of what a planned or committed snapshot reads."""
    if (staged := load_staged(ctx.settings, key)) is not None:
        return {one.dataset: one.snapshot for one in staged.inputs.values() if one.snapshot}
    with ctx.engine.connect() as connection:
        return snapshots.parents(connection, key)


def _found(ctx: Context, key: str, dataset: str, inputs: dict[str, InputPlan]) -> Plan | None:
    with ctx.engine.connect() as connection:
        row = snapshots.find(connection, key)
        if row is None or not is_whole(ctx.settings, connection, row):
            return None
    stored = partitions_of(ctx.engine, key)
    partitions = [PartitionPlan(Partition(one["name"]), one["key"], True) for one in stored]
    return Plan(key, dataset, True, partitions, [], inputs)


def is_whole(settings: Settings, connection: sa.Connection, row: snapshots.Snapshot) -> bool:
    """Whether a snapshot is committed and all its files, and its quarantine's, lie there in the ledger's sizes.

    Contents are not read: what was changed within its size is found by `stellar verify`.
    """
    members = [row, *snapshots.companions(connection, row.key)]
    if not all(one.committed and (settings.lake / str(one.path) / "manifest.json").exists() for one in members):
        return False
    files = store.Files(settings.lake)
    return all(files.has(path, size) for path, size in snapshots.files_of(connection, row.key).items())


def _begin(ctx: Context, step: Step, key: str, inputs: Mapping[str, InputPlan]) -> None:
    with ctx.engine.begin() as connection:
        begin_snapshots(connection, step, key, ctx.run_id)
        events.started(ctx, connection, step, key, inputs)


def begin_snapshots(connection: Any, step: Step, key: str, run_id: str | None) -> None:
    """Note in the ledger that a step's output, and its quarantine, are being made."""
    snapshots.declare_dataset(connection, step.dataset, step.id_columns[0], step.description)
    snapshots.begin(connection, key, step.dataset, step.name, step.version, step.params, run_id=run_id)
    if step.quarantine:
        snapshots.declare_dataset(connection, step.quarantine, None, f"Rows that {step.dataset} refused, with reasons")
        snapshots.begin(
            connection,
            companion_key(key),
            step.quarantine,
            step.name,
            step.version,
            step.params,
            companion_of=key,
            run_id=run_id,
        )


def load_staged(settings: Settings, key: str) -> Plan | None:
    """The plan in a snapshot's staging folder, None where there is none."""
    try:
        return Plan.from_dict(json.loads((staging(settings, key) / "plan.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return None


def _staged(ctx: Context, key: str) -> Plan | None:
    """An earlier attempt's plan, if all that it carries is still there."""
    staged = load_staged(ctx.settings, key)
    if staged is None:
        return None
    carried = [one.key for one in staged.partitions if one.carried]
    return staged if _carried(ctx, carried) == set(carried) else None


def _partitions(ctx: Context, step: Step, reader: Reader) -> list[PartitionPlan]:
    places = _places(step, reader)
    reader.hashes.update(_hashes(ctx, reader))
    reader.prepare(places)
    whole = digest(identity(step))
    planned = []
    for place in places:
        own = step.params_of(place)
        base = whole if own == step.params else digest({**identity(step), "params": own})
        names = {role: reader.names(role, place) for role in step.inputs}
        reads = {role: dict(reader.content(role, place, names[role])) for role in step.inputs}
        kinds = {role: one.kind for role, one in reader.inputs.items()}
        # staged rows are what they are, whichever file brought them; those without a place are kept with their batch
        content = {
            role: sorted(found.values()) if kinds[role] == "staged" and place.cell else sorted(found.items())
            for role, found in reads.items()
        }
        key = digest(
            {"step": base, "partition": place.name, "buckets": place.buckets, "kinds": kinds, "content": content}
        )
        planned.append((place, key, reads))
    carried = _carried(ctx, [key for _, key, _ in planned])
    return [PartitionPlan(place, key, key in carried, reads) for place, key, reads in planned]


def _hashes(ctx: Context, reader: Reader) -> dict[str, dict[str, str]]:
    """Role -> partition, or margin of one, -> SHA-256 of its file, as the ledger has them."""
    found = {}
    for role, one in reader.inputs.items():
        if one.snapshot:
            parts = partitions_of(ctx.engine, one.snapshot)
            found[role] = {part["name"]: part["sha256"] for part in parts}
            kept = margins.of_snapshot(ctx.engine, one.snapshot)
            found[role] |= {f"{MARGIN}{part['name']}": part["sha256"] for part in kept}
        elif one.path is not None and reader.step.inputs[role].folder is not None:
            found[role] = look_outside(ctx.settings, Path(one.path)).hashes
    return found


def _carried(ctx: Context, keys: list[str]) -> set[str]:
    """Those of some partition keys that a committed snapshot holds on disk, with what they quarantined."""
    with ctx.engine.connect() as connection:
        stored = stored_partitions(connection, [*keys, *map(companion_key, keys)])
    files = store.Files(ctx.settings.lake)
    here = {key for key, one in stored.items() if _is_there(files, one)}
    refusing = {key for key, one in stored.items() if (one.accounting or {}).get("quarantined")}
    return {key for key in here & {*keys} if key not in refusing or companion_key(key) in here}


def _is_there(files: store.Files, one: StoredPartition) -> bool:
    if one.path:
        return files.has(f"{one.snapshot_path}/{one.path}", one.bytes)
    return files.has_folder(one.snapshot_path)


def _places(step: Step, reader: Reader) -> list[Partition]:
    """Partitions of the output: a pure function of the inputs' rows. At least one, which tells the columns."""
    if step.layout == "plain":
        roles = [step.primary] if step.primary else list(step.inputs)
        size = round_bytes(sum(reader.bytes_of(role) for role in roles))
        buckets = 1 << max(0, int(np.ceil(np.log2(max(1.0, size / THRESHOLD_BYTES)))))
        buckets = min(buckets, _MOST_BUCKETS)
        return [Partition.of_bucket(number, buckets) for number in range(buckets)]
    cells, unplaced = _cells(step, reader)
    places = [Partition.of_cell(cell) for cell in cells]
    return [*places, *([UNPLACED] if unplaced else [])] or [Partition.of_cell(Cell(0, 0))]


def _cells(step: Step, reader: Reader) -> tuple[list[Cell], int]:
    """Cells of the output, and how many rows of the primary input lie in none."""
    primary = reader.inputs[step.primary] if step.primary else None
    if step.layout == "inherit" and step.primary and primary and primary.kind == "cells":
        return reader.catalog(step.primary).cells, 0
    if step.layout == "cover":
        return _cover(step, reader), 0
    if step.layout == "union":
        roles = [role for role, one in reader.inputs.items() if one.kind == "cells"]
    elif primary is None or primary.kind == "absent" or primary.rows == 0:
        return [], 0
    elif primary.kind == "staged":
        return reader.staged_cells(str(step.primary))
    elif primary.kind == "files":
        raise InputError(f"{step.dataset}: {primary.dataset} has no columns ra and dec to lay cells out from")
    else:
        roles = [str(step.primary)]
    positions = [reader.positions(role) for role in roles]
    index = np.concatenate(positions) if positions else np.empty(0, np.int64)
    placed = index[index >= 0]
    if not len(placed):
        return [], len(index)
    # of a row, not of all: more rows somewhere must not move the cells elsewhere
    size = round_bytes(sum(reader.bytes_of(role) for role in roles) / len(index))
    return layout(placed, size), len(index) - len(placed)


def _cover(step: Step, reader: Reader) -> list[Cell]:
    """The primary input's cells, then, beyond them, those of each other input."""
    found: list[Cell] = []
    for role in dict.fromkeys([str(step.primary), *step.inputs]):
        if reader.inputs[role].kind == "cells":
            found += cells_beyond(found, reader.catalog(role).cells)
    return sorted(found, key=Cell.range29)
