"""Exact searches by position: cones, boxes and polygons, which read only the row groups that they touch.

Partitions are pruned by their cells, row groups by the least and greatest `_healpix_29` in their footers, rows by the
index column itself, which is kept in memory (`stellar.lake.kept`); what is left is decided by the position.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from stellar.errors import InputError
from stellar.sky.healpix import (
    INDEX_COLUMN,
    box_ranges,
    cone_ranges,
    point_in_box,
    point_in_polygon,
    polygon_ranges,
    spatial_index,
)
from stellar.sky.pixels import in_ranges
from stellar.sky.separation import ARCSEC_PER_DEGREE, separation_arcsec
from stellar.store import is_remote

from .arrays import to_arrow, to_numpy
from .hats import DATASET, PARTITION_INFO
from .kept import KEPT, Footer, array_bytes, footer
from .read import Catalog

#: What a search is asked of: an open catalogue, its folder, or the name of a dataset of the home.
Where = Catalog | Path | str
SEPARATION = "separation_arcsec"
#: Column of the separation from a cone's centre in datasets that have a `separation_arcsec` of their own.
CENTER_SEPARATION = "center_separation_arcsec"


class Region(NamedTuple):
    """A part of the sky: index ranges that hold it, and which positions (degrees) lie in it.

    `decide(ra, dec)` gives a mask and, where the region `measures`, separations (arcsec) from its centre.
    """

    ranges: NDArray[np.int64]
    decide: Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.bool_], NDArray[np.float64] | None]]
    measures: bool = False


def cone(where: Where, ra: float, dec: float, radius_deg: float, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows within an angle of a position, nearest first.

    Parameters
    ----------
    where : Catalog, path or str
        A catalogue on the sky: an open `Catalog`, its folder, or the name of a dataset of the home.
    ra, dec, radius_deg : float
        Degrees; rows at exactly the radius belong to the cone.
    columns : sequence of str, optional
        All when not given.

    Returns
    -------
    pyarrow.Table
        With `separation_arcsec` as its last column (`center_separation_arcsec` where the dataset has a column of that
        name); sorted by it, then as stored (`_healpix_29`, id).

    Raises
    ------
    InputError
        When there is no such dataset, column or cone, or the dataset is not laid out on the sky.
    """
    opened = searchable(where)
    found = _joined(opened, columns, iter_cone(where, ra, dec, radius_deg, columns), separation=True)
    order = np.argsort(to_numpy(found.column(found.num_columns - 1)), kind="stable")
    return found.take(to_arrow(order)) if len(order) > 1 else found


def box(
    where: Where,
    ra_min: float,
    ra_max: float,
    dec_min: float,
    dec_max: float,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Rows between two right ascensions and two declinations, as stored (sorted by `_healpix_29`, id).

    Parameters
    ----------
    where, columns
        As for `cone`.
    ra_min, ra_max, dec_min, dec_max : float
        Degrees; the edges belong to the box. From `ra_min` eastwards to `ra_max`: over RA 0 where that is less.

    Returns
    -------
    pyarrow.Table
    """
    return _joined(
        searchable(where), columns, iter_box(where, ra_min, ra_max, dec_min, dec_max, columns), separation=False
    )


def polygon(where: Where, ra: ArrayLike, dec: ArrayLike, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows in a polygon of great circles, as stored (sorted by `_healpix_29`, id).

    Parameters
    ----------
    where, columns
        As for `cone`.
    ra, dec : array_like, shape (n,)
        Vertices in order, either way round (degrees); within 89 degrees of their middle.

    Returns
    -------
    pyarrow.Table
    """
    return _joined(searchable(where), columns, iter_polygon(where, ra, dec, columns), separation=False)


def iter_cone(
    where: Where, ra: float, dec: float, radius_deg: float, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """`cone` in parts, one per row group that has some, in the order in which they are stored: for any size of cone."""
    radius = radius_deg * ARCSEC_PER_DEGREE

    def decide(a: NDArray[np.float64], d: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        separation = separation_arcsec(ra, dec, a, d)
        return separation <= radius, separation

    return searchable(where).search(Region(cone_ranges(ra, dec, radius_deg), decide, measures=True), columns)


def iter_box(
    where: Where,
    ra_min: float,
    ra_max: float,
    dec_min: float,
    dec_max: float,
    columns: Sequence[str] | None = None,
) -> Iterator[pa.Table]:
    """`box` in parts, one per row group that has some."""
    region = Region(
        box_ranges(ra_min, ra_max, dec_min, dec_max),
        lambda a, d: (point_in_box(a, d, ra_min, ra_max, dec_min, dec_max), None),
    )
    return searchable(where).search(region, columns)


def iter_polygon(
    where: Where, ra: ArrayLike, dec: ArrayLike, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """`polygon` in parts, one per row group that has some."""
    region = Region(polygon_ranges(ra, dec), lambda a, d: (point_in_polygon(a, d, ra, dec), None))
    return searchable(where).search(region, columns)


class IndexColumn(NamedTuple):
    """`_healpix_29` of a row group, and whether it ascends; rows of other writers may not be sorted."""

    values: NDArray[np.int64]
    ascends: bool

    def rows(self, ranges: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows whose index lies in merged ranges."""
        if not self.ascends:
            return np.flatnonzero(in_ranges(self.values, ranges))
        starts, ends = np.searchsorted(self.values, ranges[:, 0]), np.searchsorted(self.values, ranges[:, 1])
        some = [np.arange(starts[i], ends[i]) for i in np.flatnonzero(ends > starts)]
        return some[0] if len(some) == 1 else np.concatenate([np.empty(0, np.int64), *some])


class Searchable:
    """A catalogue with what every search of it needs, worked out once.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.schema = catalog.schema
        self.names = self.schema.names
        self._known = set(self.names)

    @cached_property
    def files(self) -> list[str | Path]:
        """Files of all partitions, in their order on the sky; here as text, in an object store as paths."""
        return [path if is_remote(path) else str(path) for path in self.catalog.files]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of where the files lie, how large they are and when they were written."""
        found = hashlib.sha256()
        for path in self.files:
            if is_remote(path):  # a snapshot, whose name says what is in it
                found.update(f"{path}\n".encode())
                continue
            about = os.stat(path)  # noqa: PTH116 - there may be many
            found.update(f"{path}\n{about.st_size} {about.st_mtime_ns}\n".encode())
        return found.hexdigest()

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """First index of each file's partition and the first one beyond it, int64[files, 2]."""
        cells = {str(self.catalog.file(cell)): cell.range29() for cell in self.catalog.cells}
        # Others may keep several files in a folder that stands for the cell.
        ranges = [cells[path] if path in cells else _of_folder(path, cells) for path in map(str, self.files)]
        return np.array(ranges, np.int64).reshape(-1, 2)

    @cached_property
    def positions(self) -> tuple[str, str]:
        """Names of the position's columns.

        Raises
        ------
        InputError
            When the dataset is not laid out on the sky.
        """
        ra, dec = self.catalog.ra_column, self.catalog.dec_column
        if not {ra, dec} <= self._known or (self.files and not self.catalog.is_hats):
            raise InputError(f"{self.catalog.root}: not laid out on the sky, so it has no regions to search in")
        return ra, dec

    @cached_property
    def separation(self) -> str:
        """Name of the column that a cone adds."""
        return CENTER_SEPARATION if SEPARATION in self._known else SEPARATION

    def chosen(self, columns: Sequence[str] | None) -> pa.Schema:
        """The columns asked for; all when None.

        Raises
        ------
        InputError
            When the dataset lacks one.
        """
        if columns is None:
            return self.schema
        if isinstance(columns, str):
            raise InputError(f"columns are a list of names: write [{columns!r}]")
        for name in columns:
            if name not in self._known:
                raise InputError(f"{self.catalog.root}: no column {name!r}; there are {', '.join(self.names)}")
        return pa.schema([self.schema.field(name) for name in columns], metadata=self.schema.metadata)

    def found(self, columns: Sequence[str] | None, *, separation: bool) -> pa.Schema:
        """Columns of a search's result."""
        wanted = self.chosen(columns)
        added = pa.field(self.separation, pa.float64(), metadata={b"unit": b"arcsec"})
        return wanted.append(added) if separation else wanted

    def search(self, region: Region, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        """Rows in a region, by row group. What is asked wrongly is said at once, not at the first row."""
        return self._search(region, self.found(columns, separation=region.measures), *self.positions)

    def rows(
        self,
        about: Footer,
        file: pq.ParquetFile,
        group: int,
        rows: NDArray[np.int64],
        wanted: pa.Schema,
        have: Mapping[str, pa.Array] | None = None,
    ) -> pa.Table:
        """Some rows of a row group, with the columns wanted; `have` is those of them that are known already."""
        columns = dict(have or {})
        computed = INDEX_COLUMN in wanted.names and self.catalog.is_hats and not self.catalog.index_is_stored
        needed = [
            field for field in wanted if field.name not in columns and not (computed and field.name == INDEX_COLUMN)
        ]
        if computed:
            needed += [self.schema.field(name) for name in self.positions if name not in {*columns, *wanted.names}]
        if needed:
            read = about.read(file, group, pa.schema(needed), nulls=not self.catalog.is_hats).take(to_arrow(rows))
            columns |= zip(read.column_names, read.columns, strict=True)
        if computed:
            columns[INDEX_COLUMN] = to_arrow(spatial_index(*(_numbers(columns[name]) for name in self.positions)))
        return pa.table([columns[name] for name in wanted.names], schema=wanted)

    def _search(self, region: Region, wanted: pa.Schema, ra: str, dec: str) -> Iterator[pa.Table]:
        position = pa.schema([self.schema.field(ra), self.schema.field(dec)])
        for about, group, rows in self._candidates(region.ranges):
            with about.open() as file:
                near = about.read(file, group, position)
                near = near if rows is None else near.take(to_arrow(rows))
                inside, separation = region.decide(_numbers(near[ra]), _numbers(near[dec]))
                if not inside.any():
                    continue
                near = near.take(to_arrow(np.flatnonzero(inside)))
                have = {ra: near[ra], dec: near[dec]}
                if separation is not None:
                    have[self.separation] = to_arrow(separation[inside])
                rows = np.flatnonzero(inside) if rows is None else rows[inside]
                found = self.rows(about, file, group, rows, wanted, have)
            yield found

    def _candidates(self, ranges: NDArray[np.int64]) -> Iterator[tuple[Footer, int, NDArray[np.int64] | None]]:
        """Row groups with the rows that lie in ranges: file, number, rows (None: all of them)."""
        for number in self._touched(ranges).tolist():
            about = footer(self.files[number])
            spans = self.bounds[[number] * (len(about.starts) - 1)]
            if self.catalog.index_is_stored:
                known = about.spans(INDEX_COLUMN)
                spans = np.stack([np.maximum(spans[:, 0], known[:, 0]), np.minimum(spans[:, 1] - 1, known[:, 1])], 1)
            for group, (low, high) in enumerate(spans.tolist()):
                near = ranges[(ranges[:, 1] > low) & (ranges[:, 0] <= high)]
                if len(near) == 1 and near[0, 0] <= low and high < near[0, 1]:
                    yield about, group, None
                elif len(near) and len(rows := self._index(about, group).rows(near)):
                    yield about, group, rows

    def _touched(self, ranges: NDArray[np.int64]) -> NDArray[np.int64]:
        """Files whose partitions share sky with merged ranges, in their order."""
        if not self.files or not len(ranges):
            return np.empty(0, np.int64)
        # The first range that ends beyond a partition's start must begin before its end.
        first = np.searchsorted(ranges[:, 1], self.bounds[:, 0], side="right")
        starts = np.append(ranges[:, 0], np.iinfo(np.int64).max)
        return np.flatnonzero(starts[first] < self.bounds[:, 1])

    def _index(self, about: Footer, group: int) -> IndexColumn:
        stored = self.catalog.index_is_stored
        names = [INDEX_COLUMN] if stored else list(self.positions)
        wanted = pa.schema([self.schema.field(name) for name in names])

        def make() -> IndexColumn:
            with about.open() as file:
                columns = [_numbers(column) for column in about.read(file, group, wanted).columns]
            # A copy, so that what is kept is the numbers alone and not the buffers that they were decoded into.
            values = np.array(columns[0]) if stored else spatial_index(*columns)
            return IndexColumn(values, bool((values[1:] >= values[:-1]).all()))

        return KEPT.get((*about.identity, group, *names), make, lambda index: array_bytes(index.values))


def searchable(where: Where) -> Searchable:
    """An open catalogue with what its searches share; kept for the last ones that were asked for."""
    if isinstance(where, str):
        if not Path(where).exists():
            from .home import open_lake

            where = open_lake().folder(where)
        else:
            where = Path(where)
    root = str(where.root if isinstance(where, Catalog) else where)
    held = _OPEN.get(root)
    if held is not None and held[0] == _signature(held[1].catalog):
        return held[1]
    opened = Searchable(where if isinstance(where, Catalog) else Catalog(where))
    _OPEN.pop(root, None)
    _OPEN[root] = _signature(opened.catalog), opened
    while len(_OPEN) > MOST_OPEN:
        _OPEN.pop(next(iter(_OPEN)), None)
    return opened


#: Catalogues that are kept open.
MOST_OPEN = 64
_OPEN: dict[str, tuple[tuple[int, ...], Searchable]] = {}


def _signature(catalog: Catalog) -> tuple[int, ...]:
    """What changes when a catalogue is written anew; in an object store there are snapshots, which never are."""
    if is_remote(catalog.table):
        return ()
    for name in (PARTITION_INFO, DATASET):
        try:
            about = os.stat(f"{catalog.table}/{name}")  # noqa: PTH116 - as in `footer`
        except FileNotFoundError:
            continue
        return about.st_mtime_ns, about.st_size, about.st_ino
    return ()


def _of_folder(path: str, cells: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    return next(cells[str(parent)] for parent in Path(path).parents if str(parent) in cells)


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    values = to_numpy(column)
    return values if values.dtype.kind == "i" else values.astype(np.float64, copy=False)


def _joined(opened: Searchable, columns: Sequence[str] | None, parts: Iterator[pa.Table], **found: bool) -> pa.Table:
    tables = list(parts)
    return pa.concat_tables(tables) if tables else opened.found(columns, **found).empty_table()
