"""Reading a snapshot by partition, or by any cell of the sky, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stellar.errors import IntegrityError
from stellar.sky.healpix import INDEX_COLUMN, Cell, in_margin, margin_ranges, overlapping, overlapping_ranges

from .hats import COMMON_METADATA, DATASET, PARTITION_INFO, read_partition_info


class Catalog:
    """A snapshot's folder: a HATS catalogue, a plain (hash partitioned) dataset, or a raw one.

    Parameters
    ----------
    root : Path
        Folder with `dataset/`.

    Raises
    ------
    IntegrityError
        When there is no dataset in the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        if not (self.root / DATASET).is_dir():
            raise IntegrityError(f"{self.root}: no folder {DATASET}/; run `stellar verify`")

    def __repr__(self) -> str:
        return f"Catalog({str(self.root)!r})"

    @cached_property
    def is_hats(self) -> bool:
        """Whether rows are partitioned by cell."""
        return (self.root / PARTITION_INFO).exists()

    @cached_property
    def cells(self) -> list[Cell]:
        """Cells with rows, in their order on the sky; none for plain and raw datasets."""
        return sorted(read_partition_info(self.root), key=Cell.range29) if self.is_hats else []

    @cached_property
    def buckets(self) -> list[str]:
        """File stems of a plain or raw dataset's partitions, sorted; none for HATS."""
        if self.is_hats:
            return []
        return sorted(path.stem for path in (self.root / DATASET).glob("*.parquet"))

    @property
    def partitions(self) -> list[Cell] | list[str]:
        """Cells or buckets, whichever the dataset has."""
        return self.cells if self.is_hats else self.buckets

    @property
    def files(self) -> list[Path]:
        """Partition files, in the order of `partitions`."""
        return [self.file(partition) for partition in self.partitions]

    def file(self, partition: Cell | str) -> Path:
        """File of a partition: a cell, or a bucket's or batch's file stem."""
        name = partition.path() if isinstance(partition, Cell) else f"{partition}.parquet"
        return self.root / DATASET / name

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns with their metadata."""
        common = self.root / DATASET / COMMON_METADATA
        if common.exists():
            return pq.read_schema(common)
        if not self.partitions:
            raise IntegrityError(f"{self.root}: neither rows nor {COMMON_METADATA}, so its columns are unknown")
        return pq.read_schema(self.files[0])

    @cached_property
    def rows(self) -> int:
        """Rows of all partitions, from their footers."""
        return sum(pq.read_metadata(path).num_rows for path in self.files)

    def empty(self, columns: Sequence[str] | None = None) -> pa.Table:
        """A table of no rows with the dataset's columns (or those of `columns` that it has)."""
        return self.schema.empty_table().select(self._present(columns))

    def read(self, partition: Cell | str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of one partition.

        Parameters
        ----------
        partition : Cell or str
        columns : sequence of str, optional
            All when not given; names that the dataset lacks are left out.
        """
        return self._read_file(self.file(partition), self._present(columns))

    def read_all(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of all partitions, in their order; for datasets that fit in memory."""
        return pa.concat_tables([self.empty(columns), *(self.read(p, columns) for p in self.partitions)])

    def read_cell(
        self, cell: Cell, margin_arcsec: float = 0.0, columns: Sequence[str] | None = None
    ) -> tuple[pa.Table, pa.Table]:
        """Rows in any cell of the sky, and those outside it within a margin, whatever the own cells are.

        Parameters
        ----------
        cell : Cell
        margin_arcsec : float
            Rows at most this far from the cell are never missed; some that are farther come too (`margin_mask`).
        columns : sequence of str, optional

        Returns
        -------
        rows, margin : pyarrow.Table
            Both sorted as stored, by `_healpix_29` and id.
        """
        names = self._present(columns)
        rows = [self._read_within(own, cell, names) for own in overlapping(self.cells, cell)]
        near = overlapping_ranges(self.cells, margin_ranges(cell, margin_arcsec))
        margin = [self._read_margin(own, cell, margin_arcsec, names) for own in near]
        empty = self.empty(names)
        return pa.concat_tables([empty, *rows]), pa.concat_tables([empty, *margin])

    def _present(self, columns: Sequence[str] | None) -> list[str]:
        names = self.schema.names
        return names if columns is None else [name for name in columns if name in set(names)]

    def _read_file(self, path: Path, columns: list[str], row_groups: list[int] | None = None) -> pa.Table:
        try:
            with pq.ParquetFile(path) as file:
                groups = range(file.num_row_groups) if row_groups is None else row_groups
                table = file.read_row_groups(list(groups), columns=columns, use_threads=False)
        except FileNotFoundError:
            raise IntegrityError(f"{path}: partition is missing; `stellar verify` lists what is damaged") from None
        except pa.ArrowInvalid as error:
            raise IntegrityError(f"{path}: not a readable Parquet file: {error}") from error
        return table.select(columns) if self.is_hats or not columns else self._completed(table, columns)

    def _completed(self, table: pa.Table, columns: list[str]) -> pa.Table:
        """A raw batch with the dataset's columns and types: a survey may leave a column out of one answer."""
        present = set(table.column_names)
        wanted = self.empty(columns).schema
        arrays = [
            table[field.name].cast(field.type) if field.name in present else pa.nulls(table.num_rows, field.type)
            for field in wanted
        ]
        return pa.table(arrays, schema=wanted)

    def _read_within(self, own: Cell, cell: Cell, columns: list[str]) -> pa.Table:
        if cell.order <= own.order:
            return self.read(own, columns)
        return self._read_rows(own, cell.contains(self._index(own)), columns)

    def _read_margin(self, own: Cell, cell: Cell, margin_arcsec: float, columns: list[str]) -> pa.Table:
        return self._read_rows(own, in_margin(self._index(own), cell, margin_arcsec), columns)

    def _index(self, own: Cell) -> NDArray[np.int64]:
        return self.read(own, [INDEX_COLUMN]).column(0).to_numpy()

    def _read_rows(self, own: Cell, wanted: NDArray[np.bool_], columns: list[str]) -> pa.Table:
        """Chosen rows of a partition, touching only the row groups that hold some."""
        chosen = np.flatnonzero(wanted)
        if not len(chosen):
            return self.empty(columns)
        path = self.file(own)
        footer = pq.read_metadata(path)
        sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        group_of = np.searchsorted(starts, chosen, side="right") - 1
        groups = np.unique(group_of)
        skipped = starts[groups] - np.concatenate([[0], np.cumsum(np.array(sizes)[groups])[:-1]])
        local = chosen - skipped[np.searchsorted(groups, group_of)]
        return self._read_file(path, columns, groups.tolist()).take(pa.array(local))
