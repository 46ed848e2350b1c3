"""Cones, boxes and polygons in SQL: macros that read the partitions and row groups that a region touches.

A macro's body is `query(<text>)`, whose text is written when a statement is bound, with everything in it known: the
files of the partitions, the ranges of `_healpix_29` (which DuckDB compares with the statistics of row groups), and the
dataset's own names of the position's columns. What a region is, and how far rows are from its centre, is decided by
the functions that `stellar.lake.cone` and its kind use, so that SQL and Python never differ.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stellar.errors import InputError
from stellar.sky.healpix import (
    INDEX_COLUMN,
    box_ranges,
    cone_ranges,
    overlapping_ranges,
    point_in_box,
    point_in_polygon,
    polygon_ranges,
)
from stellar.sky.separation import ARCSEC_PER_DEGREE, separation_arcsec

from .read import Catalog
from .search import CENTER_SEPARATION
from .sql_text import columns_file, listed, quoted

if TYPE_CHECKING:
    import duckdb

Column: TypeAlias = pa.ChunkedArray
#: More ranges than this are made fewer: DuckDB compares every row with every one.
MOST_RANGES = 12

_MACROS = (
    "CREATE MACRO cone(dataset, center_ra, center_dec, radius_deg) AS TABLE"
    " SELECT * FROM query(_cone(dataset, center_ra, center_dec, radius_deg))",
    "CREATE MACRO box(dataset, ra_min, ra_max, dec_min, dec_max) AS TABLE"
    " SELECT * FROM query(_box(dataset, ra_min, ra_max, dec_min, dec_max))",
    "CREATE MACRO polygon(dataset, vertices_ra, vertices_dec) AS TABLE"
    " SELECT * FROM query(_polygon(dataset, vertices_ra, vertices_dec))",
)


def create_macros(connection: duckdb.DuckDBPyConnection, catalogs: Mapping[str, Catalog]) -> None:
    """Give a connection the table macros `cone`, `box` and `polygon` over catalogues by their datasets' names."""

    def cone(dataset: str, ra: float, dec: float, radius_deg: float) -> str:
        return cone_sql(_found(catalogs, dataset, "cone"), ra, dec, radius_deg)

    def box(dataset: str, ra_min: float, ra_max: float, dec_min: float, dec_max: float) -> str:
        return box_sql(_found(catalogs, dataset, "box"), ra_min, ra_max, dec_min, dec_max)

    def polygon(dataset: str, ra: Sequence[float], dec: Sequence[float]) -> str:
        return polygon_sql(_found(catalogs, dataset, "polygon"), ra, dec)

    number, numbers = "DOUBLE", "DOUBLE[]"
    connection.create_function("_cone", cone, ["VARCHAR", number, number, number], "VARCHAR")
    connection.create_function("_box", box, ["VARCHAR", number, number, number, number], "VARCHAR")
    connection.create_function("_polygon", polygon, ["VARCHAR", numbers, numbers], "VARCHAR")
    for name, function, parameters, result in (
        ("_separation_arcsec", _separation, [number] * 4, number),
        ("_in_box", _in_box, [number] * 6, "BOOLEAN"),
        ("_in_polygon", _in_polygon, [number, number, numbers, numbers], "BOOLEAN"),
    ):
        connection.create_function(name, function, parameters, result, type="arrow")  # type: ignore[call-overload]
    for statement in _MACROS:
        connection.execute(statement)


def cone_sql(catalog: Catalog, ra: float, dec: float, radius_deg: float) -> str:
    """A SELECT of the rows within an angle (degrees) of a position, with `center_separation_arcsec`."""
    a, d = _position(catalog)
    rows = _rows(catalog, cone_ranges(ra, dec, radius_deg))
    separation = f"_separation_arcsec({a}, {d}, {_number(ra)}, {_number(dec)}) AS {CENTER_SEPARATION}"
    limit = _number(radius_deg * ARCSEC_PER_DEGREE)
    return f"SELECT * FROM (SELECT *, {separation} FROM {rows}) WHERE {CENTER_SEPARATION} <= {limit}"  # noqa: S608


def box_sql(catalog: Catalog, ra_min: float, ra_max: float, dec_min: float, dec_max: float) -> str:
    """A SELECT of the rows between two right ascensions and two declinations (degrees)."""
    bounds = (ra_min, ra_max, dec_min, dec_max)
    return _inside(catalog, box_ranges(*bounds), "_in_box", [_number(bound) for bound in bounds])


def polygon_sql(catalog: Catalog, ra: Sequence[float], dec: Sequence[float]) -> str:
    """A SELECT of the rows in a polygon of great circles (vertices in degrees)."""
    vertices = [f"[{', '.join(_number(value) for value in values)}]" for values in (ra, dec)]
    return _inside(catalog, polygon_ranges(ra, dec), "_in_polygon", vertices)


def fewer_ranges(ranges: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many ranges that hold the same numbers and as few others as may be: the smallest gaps are closed."""
    if len(ranges) <= most:
        return ranges
    gaps = ranges[1:, 0] - ranges[:-1, 1]
    kept = np.sort(np.argsort(gaps, kind="stable")[len(gaps) - most + 1 :])
    return np.stack([ranges[np.append(0, kept + 1), 0], ranges[np.append(kept, len(ranges) - 1), 1]], axis=1)


def _found(catalogs: Mapping[str, Catalog], dataset: str, macro: str) -> Catalog:
    if dataset not in catalogs:
        near = difflib.get_close_matches(dataset, catalogs, n=3)
        raise InputError(
            f"{macro}: no dataset {dataset!r}; " + (f"did you mean {', '.join(near)}?" if near else "see DESCRIBE")
        )
    catalog = catalogs[dataset]
    position = {catalog.ra_column, catalog.dec_column}
    if not position <= set(catalog.schema.names) or (catalog.partitions and not catalog.is_hats):
        raise InputError(f"{macro}: {dataset} is not laid out on the sky; use a curated, features or scores dataset")
    return catalog


def _inside(catalog: Catalog, ranges: NDArray[np.int64], function: str, arguments: list[str]) -> str:
    asked = ", ".join([*_position(catalog), *arguments])
    return f"SELECT * FROM {_rows(catalog, ranges)} WHERE {function}({asked})"  # noqa: S608


def _rows(catalog: Catalog, ranges: NDArray[np.int64]) -> str:
    """The rows that may lie in ranges, as a subquery; those of the file that tells the columns where none do."""
    files = [catalog.file(cell) for cell in overlapping_ranges(catalog.cells, ranges)] or [columns_file(catalog)]
    scan = f"read_parquet({listed(files)}, hive_partitioning = false)"
    if not catalog.index_is_stored or not len(ranges):
        return scan
    parts = (f"{INDEX_COLUMN} BETWEEN {low} AND {high - 1}" for low, high in fewer_ranges(ranges, MOST_RANGES).tolist())
    # All of them together as one range too: that is what is tried first on a row group.
    whole = f"{INDEX_COLUMN} BETWEEN {ranges[0, 0]} AND {ranges[-1, 1] - 1}"
    return f"(SELECT * FROM {scan} WHERE {whole} AND ({' OR '.join(parts)}))"  # noqa: S608


def _position(catalog: Catalog) -> tuple[str, str]:
    return quoted(catalog.ra_column), quoted(catalog.dec_column)


def _number(value: float) -> str:
    """A double as SQL reads it back, to the last bit."""
    return f"{float(value)!r}::DOUBLE"


# DuckDB calls these with some thousand rows at a time; what a statement says once is a column that is constant.


def _separation(ra: Column, dec: Column, center_ra: Column, center_dec: Column) -> pa.Array:
    return pa.array(separation_arcsec(_first(center_ra), _first(center_dec), _numbers(ra), _numbers(dec)))


def _in_box(ra: Column, dec: Column, ra_min: Column, ra_max: Column, dec_min: Column, dec_max: Column) -> pa.Array:
    bounds = (_first(ra_min), _first(ra_max), _first(dec_min), _first(dec_max))
    return pa.array(point_in_box(_numbers(ra), _numbers(dec), *bounds))


def _in_polygon(ra: Column, dec: Column, vertices_ra: Column, vertices_dec: Column) -> pa.Array:
    return pa.array(point_in_polygon(_numbers(ra), _numbers(dec), _first(vertices_ra), _first(vertices_dec)))


def _numbers(column: Column) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
    return values


def _first(column: Column) -> Any:
    return column[0].as_py()
