"""Reading what a step is given: the rows of each input that lie in one output partition, and in its margin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stellar.engine.around import Around
from stellar.engine.context import Context
from stellar.engine.keys import digest
from stellar.engine.memory import Recent, remembered
from stellar.engine.outside import MARGIN, look_outside
from stellar.engine.parts import NOWHERE, Batches
from stellar.engine.rows import bucket_of
from stellar.engine.staging import Staged, open_batches, read_staged
from stellar.engine.step import Input, Partition, PartitionInput, Step
from stellar.errors import InputError, LedgerError
from stellar.lake import layout
from stellar.lake.read import Catalog
from stellar.ledger import snapshots
from stellar.settings import Settings
from stellar.sky.healpix import INDEX_COLUMN, Cell, in_margin, margin_ranges, sky_order, spatial_index

Kind = Literal["absent", "cells", "positions", "files", "staged"]

#: Rows of a raw input without a position on the sky: the step gets them in a partition of their own and has to
#: filter or quarantine them.
UNPLACED = Partition("unplaced")
_NOWHERE = NOWHERE
_WIDTHS = {"BOOLEAN": 0.125, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8}
_TEXT_BYTES = 16  # what a value of text counts in a layout; its length is not in a file's footer


@dataclass(frozen=True)
class InputPlan:
    """Which snapshot an input is read from. `kind` says how rows are found; `path` is below the lake's folder, or
    absolute, of a catalogue outside it.

    `cells`: a HATS catalogue; `positions`: raw files with `ra` and `dec`; `files`: plain files; `staged`: staged
    batches; `absent`: nothing. `margin_arcsec` is the width of the margins that are kept with a catalogue.
    """

    role: str
    dataset: str
    snapshot: str | None
    path: str | None
    content_hash: str | None
    rows: int
    kind: Kind
    margin_arcsec: float = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def resolve_inputs(ctx: Context, step: Step, pinned: Mapping[str, str] | None) -> dict[str, InputPlan]:
    """The snapshot of each input: the pinned one, or the current one.

    Raises
    ------
    InputError
        When an input that is not optional has no snapshot.
    LedgerError
        When a pinned snapshot is of another dataset, not committed, or its files were removed.
    """
    return {role: _resolve(ctx, step, role, one, (pinned or {}).get(one.dataset)) for role, one in step.inputs.items()}


def _resolve(ctx: Context, step: Step, role: str, one: Input, pinned: str | None) -> InputPlan:
    if one.batches is not None:
        found_batches = [read_staged(ctx.settings.workspace, one.dataset, batch_id) for batch_id in one.batches]
        rows = sum(batch.rows for batch in found_batches)
        return InputPlan(role, one.dataset, None, None, digest(sorted(one.batches)), rows, "staged")
    if one.folder is not None:
        there = look_outside(ctx.settings, Path(one.folder))
        about = (there.content_hash, there.rows, "cells", there.margin_arcsec)
        return InputPlan(role, one.dataset, None, one.folder, *about)
    found = snapshots.get(ctx.engine, pinned) if pinned else snapshots.current(ctx.engine, one.dataset)
    if found is None:
        if one.optional:
            return InputPlan(role, one.dataset, None, None, None, 0, "absent")
        raise InputError(f"{step.dataset}: its input {one.dataset} has no current snapshot; make that dataset first")
    if found.dataset != one.dataset:
        raise LedgerError(f"{step.dataset}: {found.key[:16]} is a snapshot of {found.dataset}, not of {one.dataset}")
    if not found.committed or found.path is None:
        raise LedgerError(
            f"{step.dataset}: snapshot {found.key[:16]} of {one.dataset} has no files (state {found.state}); "
            "make it again or use another"
        )
    catalog = Catalog(ctx.settings.lake / found.path)
    kind: Kind = "files"
    if catalog.is_hats:
        kind = "cells"
    elif one.dataset.startswith("raw.") and {"ra", "dec"} <= set(catalog.schema.names):
        kind = "positions"
    return InputPlan(
        role, one.dataset, found.key, found.path, found.content_hash, found.rows or 0, kind, found.margin_arcsec
    )


class Reader:
    """Reads the inputs of one step for any partition of its output, file by file."""

    def __init__(self, settings: Settings, step: Step, inputs: Mapping[str, InputPlan]) -> None:
        self.settings, self.step, self.inputs = settings, step, inputs
        self._located: dict[str, Located] = {}
        self._id = step.id_columns[0]
        self._indices: Recent[NDArray[np.int64]] = Recent(64)

    @remembered
    def catalog(self, role: str) -> Catalog:
        path = self.inputs[role].path
        if path is None:
            raise LedgerError(f"{self.step.dataset}: input {role} is absent and cannot be read")
        return Catalog(self.settings.lake / path)

    @remembered
    def staged(self, role: str) -> list[Staged]:
        """The staged batches of an input, in the order of their ids."""
        one = self.step.inputs[role]
        return [read_staged(self.settings.workspace, one.dataset, batch) for batch in sorted(one.batches or ())]

    @remembered
    def batches(self, role: str) -> Batches:
        """The rows of the staged batches of an input."""
        return open_batches(self.settings.workspace, self.staged(role))

    def files(self, role: str) -> list[Path]:
        return [] if self.inputs[role].kind == "absent" else self.catalog(role).files

    def index(self, role: str, name: str) -> NDArray[np.int64]:
        """Order 29 index of each row of a raw file, -1 for rows that have no position on the sky."""
        return self._indices.get((role, name), lambda: self._index(role, name))

    def _index(self, role: str, name: str) -> NDArray[np.int64]:
        table = _read_raw(self.catalog(role).file(name), ["ra", "dec"])
        ra, dec = (np.asarray(table[column].to_numpy(), np.float64) for column in ("ra", "dec"))
        with np.errstate(invalid="ignore"):
            good = np.isfinite(ra) & (np.abs(dec) <= 90)
        index = np.full(len(ra), _NOWHERE, np.int64)
        index[good] = spatial_index(ra[good], dec[good])
        return index

    def positions(self, role: str) -> NDArray[np.int64]:
        """Order 29 index of every row of an input on the sky, -1 where it has no position."""
        if self.inputs[role].kind == "positions":
            return self.located(role).index
        catalog = self.catalog(role)
        parts = [catalog.read(cell, [INDEX_COLUMN]).column(0).to_numpy() for cell in catalog.cells]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def located(self, role: str) -> Located:
        """All rows of a raw input, sorted by position, with the file of each."""
        if role not in self._located:
            names = self.catalog(role).buckets
            indices = [self._index(role, name) for name in names]
            index = np.concatenate(indices) if indices else np.empty(0, np.int64)
            owner = np.repeat(np.arange(len(names)), [len(one) for one in indices])
            order = sky_order(index)
            self._located[role] = Located(index[order], owner[order], names)
        return self._located[role]

    def names(self, role: str, partition: Partition) -> list[str]:
        """Names of the input's partitions that are read for an output partition, its margin included."""
        plan, cell, margin = self.inputs[role], partition.cell, self.step.inputs[role].margin_arcsec
        if plan.kind == "absent":
            return []
        if plan.kind == "staged":
            return [name for name, _, _ in self.batches(role).pieces(*_bounds(cell))]
        if plan.kind == "cells" and partition.bucket is None:
            return self.around(role).names(cell) if cell else []
        if plan.kind == "positions" and partition.bucket is None:
            located = self.located(role)
            if cell is None:
                return located.names_within(np.array([[_NOWHERE, 0]], np.int64))
            ranges = np.vstack([np.array([cell.range29()], np.int64), margin_ranges(cell, margin)])
            return located.names_within(ranges)
        names = [str(one) for one in self.catalog(role).partitions]
        if partition.bucket is not None and self._has_id(role):
            return [name for name in names if partition.bucket in self._buckets(role, name, partition.buckets)]
        return names

    @remembered
    def around(self, role: str) -> Around:
        """Reads an input on the sky, its margin included."""
        one, kept = self.step.inputs[role], self._keeps_margin(role)
        return Around(self.catalog(role), one.margin_arcsec, one.columns, kept=kept, ours=one.folder is None)

    def _keeps_margin(self, role: str) -> bool:
        """Whether an input's own margins are read; else rows of whole neighbours are."""
        plan, wanted = self.inputs[role], self.step.inputs[role].margin_arcsec
        if not plan.margin_arcsec:
            return False
        if plan.margin_arcsec < wanted:
            raise InputError(
                f"{self.step.dataset}: reads {plan.dataset} with a margin of {wanted:g} arcsec, but"
                f" {plan.margin_arcsec:g} are kept with it; make it again with a margin of at least {wanted:g}"
                f" (stellar import … --margin {wanted:g})"
            )
        return True

    def content(self, role: str, partition: Partition, names: list[str]) -> list[list[str]]:
        """(name, SHA-256) of what `names` gave, to enter the partition's key."""
        if self.inputs[role].kind == "staged":
            return [[name, sha256] for name, sha256, _ in self.batches(role).pieces(*_bounds(partition.cell))]
        return [[name, self.hashes[role][name]] for name in names if name in self.hashes[role]]

    def read(self, role: str, partition: Partition, names: list[str]) -> PartitionInput:
        """The rows of an input for an output partition, from the partitions of it that `names` gave."""
        plan, one, cell = self.inputs[role], self.step.inputs[role], partition.cell
        if plan.kind == "absent":
            nothing = pa.table({})
            return PartitionInput(nothing, nothing, absent=True)
        if plan.kind == "staged":
            batches = self.batches(role)
            rows = batches.unplaced(names) if cell is None else batches.read(*cell.range29(), names)
            return PartitionInput(rows, rows.slice(0, 0))
        catalog = self.catalog(role)
        columns = list(one.columns) if one.columns is not None else None
        empty = catalog.empty(columns)
        if plan.kind == "cells" and partition.bucket is None:
            if cell is None:
                return PartitionInput(empty, empty)
            return PartitionInput(*self.around(role).read(cell))
        if plan.kind == "positions" and partition.bucket is None:
            return self._read_positions(role, cell, names, empty)
        tables = [self._read_bucket(role, partition, name, empty.column_names) for name in names]
        return PartitionInput(_together(empty, tables), empty)

    @cached_property
    def hashes(self) -> dict[str, dict[str, str]]:
        """Role -> name of a partition, or of its margin, -> SHA-256 of its file; set by the plan."""
        return {}

    def _read_positions(self, role: str, cell: Cell | None, names: list[str], empty: pa.Table) -> PartitionInput:
        rows, margin = [], []
        width = self.step.inputs[role].margin_arcsec
        for name in names:
            index = self.index(role, name)
            inside = index == _NOWHERE if cell is None else cell.contains(index)
            near = np.zeros(len(index), bool) if cell is None else in_margin(index, cell, width)
            if not (inside.any() or near.any()):
                continue
            table = _read_raw(self.catalog(role).file(name), empty.column_names)
            rows.append(table.filter(pa.array(inside)))
            margin.append(table.filter(pa.array(near)))
        return PartitionInput(_together(empty, rows), _together(empty, margin))

    def _read_bucket(self, role: str, partition: Partition, name: str, columns: list[str]) -> pa.Table:
        path = self._file(role, name)
        table = _read_raw(path, columns)
        if partition.bucket is None or not self._has_id(role):
            return table
        ids = table if self._id in table.column_names else _read_raw(path, [self._id])
        return table.filter(pa.array(bucket_of(ids[self._id], partition.buckets) == partition.bucket))

    def _file(self, role: str, name: str) -> Path:
        catalog = self.catalog(role)
        return catalog.file(Cell.parse(name) if catalog.is_hats else name)

    def _has_id(self, role: str) -> bool:
        return self._id in self.catalog(role).schema.names

    @remembered
    def _buckets(self, role: str, name: str, buckets: int) -> set[int]:
        ids = _read_raw(self._file(role, name), [self._id])
        return set(np.unique(bucket_of(ids.column(0), buckets)).tolist()) if ids.num_columns else {0}

    def weight(self, role: str, name: str, partition: Partition) -> float:
        """Bytes that reading one partition of an input for an output partition costs, roughly."""
        if name.startswith(MARGIN):
            return 0.0
        if self.inputs[role].kind == "staged":
            rows = {part: count for part, _, count in self.batches(role).pieces(*_bounds(partition.cell))}
            return rows[name] * self.bytes_of(role) / max(1, self.inputs[role].rows)
        return self._size(role, name)

    @remembered
    def _size(self, role: str, name: str) -> float:
        return float(self._file(role, name).stat().st_size)

    def staged_cells(self, role: str) -> tuple[list[Cell], int]:
        """Cells of the rows of staged batches, and how many rows have no place in one."""
        size = round_bytes(self.bytes_of(role) / max(1, self.inputs[role].rows))
        cells = layout.layout_by(self.batches(role).below, size, layout.THRESHOLD_BYTES, layout.MAX_ORDER)
        return cells, sum(one.unplaced for one in self.staged(role))

    def prepare(self, places: list[Partition]) -> None:
        """Hash what is staged for each output partition, on all cores."""
        for role, one in self.inputs.items():
            if one.kind == "staged":
                self.batches(role).prepare([_bounds(place.cell) for place in places], self.settings.workers)

    def bytes_of(self, role: str) -> float:
        """Bytes in memory of the columns of an input that the step reads, from footers and types alone."""
        one = self.step.inputs[role]
        if one.batches is not None:
            return sum(batch.rows * batch.row_bytes for batch in self.staged(role))
        wanted = None if one.columns is None else {*one.columns}
        total = sum(_footer_bytes(path, wanted) for path in self.files(role))
        return total


def round_bytes(size: float) -> float:
    """A size to two digits, so that a few longer spectra do not shift the layout of a survey."""
    return float(f"{size:.2g}")


@dataclass(frozen=True)
class Located:
    """Rows of many files: order 29 index ascending, number of each row's file, the files' names."""

    index: NDArray[np.int64]
    owner: NDArray[np.int64]
    names: list[str]

    def names_within(self, ranges: NDArray[np.int64]) -> list[str]:
        """Files with a row in any of some half-open ranges of the index, sorted."""
        low = np.searchsorted(self.index, ranges[:, 0])
        high = np.searchsorted(self.index, ranges[:, 1])
        owners = {int(i) for a, b in zip(low, high, strict=True) if a < b for i in np.unique(self.owner[a:b])}
        return sorted(self.names[i] for i in owners)

    @cached_property
    def unplaced(self) -> int:
        return int(np.searchsorted(self.index, 0))


def _bounds(cell: Cell | None) -> tuple[int, int]:
    """Range of a cell; of the rows without a place for None."""
    return cell.range29() if cell else (_NOWHERE, 0)


def _read_raw(path: Path, columns: list[str]) -> pa.Table:
    """Those of some columns that a file has, in the order asked for."""
    with pq.ParquetFile(path) as file:
        present = set(file.schema_arrow.names)
        names = [name for name in columns if name in present]
        return file.read(columns=names, use_threads=False).select(names)


def _together(empty: pa.Table, tables: list[pa.Table]) -> pa.Table:
    """Tables below one another with the dataset's columns; what an older batch lacks is null."""
    table = pa.concat_tables([empty, *tables], promote_options="permissive")
    return table.cast(empty.schema) if table.schema != empty.schema else table


def _footer_bytes(path: Path, wanted: set[str] | None) -> float:
    footer = pq.read_metadata(path)
    total = 0.0
    for column in range(footer.num_columns):
        about = footer.schema.column(column)
        if wanted is not None and about.path.split(".")[0] not in wanted:
            continue
        width = _WIDTHS.get(about.physical_type, _TEXT_BYTES)
        values = sum(footer.row_group(group).column(column).num_values for group in range(footer.num_row_groups))
        total += width * values
    return total
