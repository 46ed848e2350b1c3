"""Reading a snapshot by partition, or by any cell of the sky, in bounded memory; and HATS catalogues made by others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stellar.errors import IntegrityError, StellarError
from stellar.sky.healpix import (
    INDEX_COLUMN,
    INDEX_ORDER,
    Cell,
    in_margin,
    margin_ranges,
    overlapping,
    overlapping_ranges,
    spatial_index,
)

from .hats import (
    COLLECTION,
    COMMON_METADATA,
    DATASET,
    MARGIN_ARCSEC,
    METADATA,
    PARTITION_INFO,
    PROPERTIES,
    find_partitions,
    read_properties,
    read_properties_file,
)
from .schema import INDEX_FIELD, without_headers

#: Columns that say in which file a row lies; catalogues of others may have them in their files.
HIVE_COLUMNS = frozenset({"Norder", "Dir", "Npix", "margin_Norder", "margin_Dir", "margin_Npix"})


class Catalog:
    """A snapshot's folder: a HATS catalogue, a plain (hash partitioned) dataset, or a raw one.

    HATS catalogues and collections made by others are read too. Each has `_healpix_29`: where its files have none, it
    is computed from the positions when it is read.

    Parameters
    ----------
    root : Path
        Folder with `dataset/`, or a collection's (its main catalogue, with its default margin), or the properties
        file of either.
    margin : Path, optional
        Folder of the margin catalogue, where there is no collection that names it.

    Raises
    ------
    IntegrityError
        When there is no dataset in the folder.
    """

    def __init__(self, root: Path, *, margin: Path | None = None) -> None:
        root = Path(root) if isinstance(root, str) else root
        if root.name in (COLLECTION, PROPERTIES, "properties"):
            root = root.parent
        #: The folder that was given.
        self.root = root
        #: The folder of the main table: the same, but for a collection.
        self.table = root
        self._margin_root = margin
        self._collection: dict[str, str] = {}
        if not (root / DATASET).is_dir() and (root / COLLECTION).is_file():
            self._collection = read_properties_file(root / COLLECTION)
            self.table = _within(root, self._collection.get("hats_primary_table_url", ""))
            default = self._collection.get("default_margin")
            if margin is None and default:
                self._margin_root = _within(root, default)
        if not (self.table / DATASET).is_dir():
            raise IntegrityError(f"{self.table}: no folder {DATASET}/; run `stellar verify`")

    def __repr__(self) -> str:
        return f"Catalog({str(self.root)!r})"

    @cached_property
    def properties(self) -> dict[str, str]:
        """What `hats.properties` says; empty for plain and raw datasets."""
        return read_properties(self.table)

    @property
    def ra_column(self) -> str:
        """Column with the right ascension, degrees."""
        return self.properties.get("hats_col_ra", "ra")

    @property
    def dec_column(self) -> str:
        """Column with the declination, degrees."""
        return self.properties.get("hats_col_dec", "dec")

    @cached_property
    def is_hats(self) -> bool:
        """Whether rows are partitioned by cell."""
        return (self.table / PARTITION_INFO).exists() or (bool(self.properties) and bool(self._found))

    @cached_property
    def _found(self) -> dict[Cell, int | None]:
        return find_partitions(self.table)

    @cached_property
    def cells(self) -> list[Cell]:
        """Cells with rows, in their order on the sky; none for plain and raw datasets."""
        return sorted(self._found, key=Cell.range29) if self.is_hats else []

    @cached_property
    def buckets(self) -> list[str]:
        """File stems of a plain or raw dataset's partitions, sorted; none for HATS."""
        if self.is_hats:
            return []
        return sorted(path.stem for path in (self.table / DATASET).glob("*.parquet"))

    @property
    def partitions(self) -> list[Cell] | list[str]:
        """Cells or buckets, whichever the dataset has."""
        return self.cells if self.is_hats else self.buckets

    @property
    def files(self) -> list[Path]:
        """Partition files, in the order of `partitions`."""
        return [file for partition in self.partitions for file in files_of(self.file(partition))]

    @property
    def common_metadata(self) -> Path:
        """The file that tells the columns without rows; catalogues of others may have none."""
        return self.table / DATASET / COMMON_METADATA

    def file(self, partition: Cell | str) -> Path:
        """File of a partition: a cell, or a bucket's or batch's file stem. Others may have a folder of files there."""
        if isinstance(partition, Cell):
            return self.table / DATASET / _path(partition, self.properties)
        return self.table / DATASET / f"{partition}.parquet"

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns with their metadata; `_healpix_29` is one of them wherever rows are partitioned by cell."""
        if not self.is_hats:
            return self.file_schema
        kept = [column for column in self.file_schema if column.name not in HIVE_COLUMNS]
        if not any(column.name == INDEX_COLUMN for column in kept) or not self.index_is_stored:
            kept = [INDEX_FIELD, *(column for column in kept if column.name != INDEX_COLUMN)]
        typed = [c if c.name != INDEX_COLUMN else c.with_type(pa.int64()) for c in kept]
        return pa.schema(typed, metadata=self.file_schema.metadata)

    @cached_property
    def file_schema(self) -> pa.Schema:
        """Columns that the files have, without headers that describe them once more."""
        for name in (COMMON_METADATA, METADATA):
            if (path := self.table / DATASET / name).is_file():
                return without_headers(pq.read_schema(path))
        if not self.partitions:
            raise IntegrityError(f"{self.root}: neither rows nor {COMMON_METADATA}, so its columns are unknown")
        return without_headers(pq.read_schema(self.files[0]))

    @cached_property
    def index_is_stored(self) -> bool:
        """Whether files have `_healpix_29` as it is meant, so that it need not be computed from the positions."""
        if INDEX_COLUMN not in self.file_schema.names:
            return False
        if self.properties.get("hats_col_healpix", INDEX_COLUMN) != INDEX_COLUMN:
            return True
        return self.properties.get("hats_col_healpix_order", str(INDEX_ORDER)) == str(INDEX_ORDER)

    @cached_property
    def rows(self) -> int:
        """Rows of all partitions: as the table of partitions says, or their footers."""
        if self.is_hats and None not in (counts := self._found.values()):
            return sum(count or 0 for count in counts)
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

    @cached_property
    def margin_arcsec(self) -> float | None:
        """How wide the margins are that are kept with the catalogue; None when it keeps none."""
        if self._margin_root is not None:
            said = read_properties(self._margin_root).get("hats_margin_threshold")
        else:
            said = self._collection.get(MARGIN_ARCSEC)
        return float(said) if said is not None else None

    @cached_property
    def margin_cells(self) -> list[Cell]:
        """Cells whose margin has rows, in their order on the sky."""
        return sorted(self._margins, key=Cell.range29)

    @cached_property
    def _margins(self) -> dict[Cell, Path]:
        if self._margin_root is None:
            return {}
        said = read_properties(self._margin_root)
        return {cell: self._margin_root / DATASET / _path(cell, said) for cell in find_partitions(self._margin_root)}

    def margin_file(self, cell: Cell) -> Path | None:
        """File with the rows of other cells that are near to a cell; None when there are none."""
        return self._margins.get(cell)

    def read_margin(self, cell: Cell, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of other cells that lie within the kept margin of one of `cells`; columns as in `read`.

        Raises
        ------
        StellarError
            When the catalogue keeps no margins.
        """
        if self.margin_arcsec is None:
            raise StellarError(f"{self.root}: keeps no margins; import it again with --margin ARCSEC")
        path = self.margin_file(cell)
        return self.empty(columns) if path is None else self._read_file(path, self._present(columns))

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
        margin = [self._read_near(own, cell, margin_arcsec, names) for own in near]
        empty = self.empty(names)
        return pa.concat_tables([empty, *rows]), pa.concat_tables([empty, *margin])

    def _present(self, columns: Sequence[str] | None) -> list[str]:
        names = self.schema.names
        return names if columns is None else [name for name in columns if name in set(names)]

    def _read_file(self, path: Path, columns: list[str], row_groups: list[int] | None = None) -> pa.Table:
        computed = self.is_hats and INDEX_COLUMN in columns and not self.index_is_stored
        wanted = [name for name in columns if not (computed and name == INDEX_COLUMN)]
        if computed:
            wanted = list(dict.fromkeys([*wanted, self.ra_column, self.dec_column]))
        try:
            parts = [_read_parquet(part, wanted, row_groups) for part in files_of(path)]
        except FileNotFoundError:
            raise IntegrityError(f"{path}: partition is missing; `stellar verify` lists what is damaged") from None
        except pa.ArrowInvalid as error:
            raise IntegrityError(f"{path}: not a readable Parquet file: {error}") from error
        table = parts[0] if len(parts) == 1 else pa.concat_tables(parts, promote_options="permissive")
        if computed:
            position = (table[name].to_numpy() for name in (self.ra_column, self.dec_column))
            table = table.append_column(INDEX_FIELD, pa.array(spatial_index(*position)))
        return self._as_said(table, columns, path)

    def _as_said(self, table: pa.Table, columns: list[str], path: Path) -> pa.Table:
        """A partition with the dataset's columns and types, in the order asked for."""
        if not columns:
            return table
        wanted = pa.schema([self.schema.field(name) for name in columns], metadata=self.schema.metadata)
        if table.schema.equals(wanted, check_metadata=True):
            return table
        # A survey may leave a column out of one batch; a HATS partition of others may have another kind of string.
        present = set(table.column_names)
        if self.is_hats and not present.issuperset(columns):
            lacking = ", ".join(name for name in columns if name not in present)
            raise IntegrityError(f"{path}: has no {lacking}, unlike the catalogue; run `stellar verify`")
        arrays = [
            (table[field.name] if table[field.name].type == field.type else table[field.name].cast(field.type))
            if field.name in present
            else pa.nulls(table.num_rows, field.type)
            for field in wanted
        ]
        return pa.table(arrays, schema=wanted)

    def _read_within(self, own: Cell, cell: Cell, columns: list[str]) -> pa.Table:
        if cell.order <= own.order:
            return self.read(own, columns)
        return self._read_rows(own, cell.contains(self._index(own)), columns)

    def _read_near(self, own: Cell, cell: Cell, margin_arcsec: float, columns: list[str]) -> pa.Table:
        return self._read_rows(own, in_margin(self._index(own), cell, margin_arcsec), columns)

    def _index(self, own: Cell) -> NDArray[np.int64]:
        return self.read(own, [INDEX_COLUMN]).column(0).to_numpy()

    def _read_rows(self, own: Cell, wanted: NDArray[np.bool_], columns: list[str]) -> pa.Table:
        """Chosen rows of a partition, touching only the row groups that hold some."""
        chosen = np.flatnonzero(wanted)
        if not len(chosen):
            return self.empty(columns)
        path = self.file(own)
        if path.is_dir() or len(chosen) == len(wanted):
            table = self._read_file(path, columns)
            return table if len(chosen) == len(wanted) else table.take(pa.array(chosen))
        footer = pq.read_metadata(path)
        sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        group_of = np.searchsorted(starts, chosen, side="right") - 1
        groups = np.unique(group_of)
        skipped = starts[groups] - np.concatenate([[0], np.cumsum(np.array(sizes)[groups])[:-1]])
        local = chosen - skipped[np.searchsorted(groups, group_of)]
        return self._read_file(path, columns, groups.tolist()).take(pa.array(local))


def _read_parquet(path: Path, columns: list[str], row_groups: list[int] | None) -> pa.Table:
    """Those of some columns that a file has. Threads of the caller's own read at once, so this takes none."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        present = set(file.schema_arrow.names)
        groups = range(file.num_row_groups) if row_groups is None else row_groups
        names = [name for name in columns if name in present]
        return file.read_row_groups(list(groups), columns=names, use_threads=False).select(names)


def _within(root: Path, url: str) -> Path:
    """A folder that a collection names: below it, or absolute."""
    return root / url.removeprefix("file://")


def _path(cell: Cell, properties: dict[str, str]) -> str:
    """Path of a cell's file or folder below `dataset/`."""
    suffix = properties.get("hats_npix_suffix", ".parquet")
    return cell.path().removesuffix(".parquet") + ("" if suffix in ("/", "\\") else suffix)


def files_of(path: Path) -> list[Path]:
    """The files of a partition: one, or those in its folder."""
    if not path.is_dir():
        return [path]
    return sorted(part for part in path.rglob("*") if part.is_file() and not part.name.startswith(("_", ".")))
