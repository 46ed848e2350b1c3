"""Rows by their ids in SQL: a macro that reads the row groups which the index of ids names.

`by_id('scores.catalog', ['gaia-1', 'gaia-2'])` is the rows whose id column (the one that identifies the dataset's rows)
has one of the values. Ids do not follow the sky, so a plain comparison reads the column of the whole dataset.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stellar.errors import InputError
from stellar.sky.healpix import INDEX_COLUMN

from .ids import groups_of, id_column_of
from .kept import footer
from .read import Catalog
from .search import searchable
from .sql_regions import MOST_RANGES, fewer_ranges
from .sql_text import columns_file, listed, literal, quoted

if TYPE_CHECKING:
    import duckdb

MOST_IDS = 10_000


def create_id_macro(connection: duckdb.DuckDBPyConnection, catalogs: Mapping[str, Catalog], cache: Path) -> None:
    """Give a connection the table macro `by_id(dataset, ids)`; indexes of ids are kept in `cache`."""

    def by_id(dataset: str, ids: Sequence[str]) -> str:
        if dataset not in catalogs:
            near = difflib.get_close_matches(dataset, catalogs, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else "SHOW ALL TABLES lists them"
            raise InputError(f"by_id: no dataset {dataset!r}; {hint}")
        return id_sql(catalogs[dataset], ids, cache)

    connection.create_function("_by_id", by_id, ["VARCHAR", "VARCHAR[]"], "VARCHAR")
    connection.execute("CREATE MACRO by_id(dataset, ids) AS TABLE SELECT * FROM query(_by_id(dataset, ids))")


def id_sql(catalog: Catalog, ids: Sequence[str], cache: Path) -> str:
    """A SELECT of the rows whose id is one of those given (as texts).

    Raises
    ------
    InputError
        When the ids are too many, or none of the column's type, or the id column is not known.
    """
    if len(ids) > MOST_IDS:
        raise InputError(f"by_id takes {MOST_IDS:,} ids at once; these are {len(ids):,}")
    column = id_column_of(searchable(catalog))
    found = groups_of(catalog, ids, id_column=column, cache=cache)
    files = [Path(path) for path in dict.fromkeys(path for path, _ in found)] or [columns_file(catalog)]
    wanted = ", ".join(literal(str(one)) for one in ids if one is not None) or "NULL"
    condition = f"{quoted(column)} IN ({wanted})"
    if found and catalog.is_hats and catalog.index_is_stored:
        spans = np.array([footer(path).spans(INDEX_COLUMN)[group] for path, group in found], np.int64)
        last = np.minimum(spans[:, 1], np.iinfo(np.int64).max - 1)  # where a file tells no statistics
        ranges = _merged(np.stack([spans[:, 0], last + 1], axis=1))
        parts = [
            f"{INDEX_COLUMN} BETWEEN {low} AND {high - 1}" for low, high in fewer_ranges(ranges, MOST_RANGES).tolist()
        ]
        condition += f" AND ({' OR '.join(parts)})"
    by_name = "" if catalog.is_hats else ", union_by_name = true"
    return f"SELECT * FROM read_parquet({listed(files)}, hive_partitioning = false{by_name}) WHERE {condition}"  # noqa: S608


def _merged(ranges: np.ndarray) -> np.ndarray:
    """Half-open ranges, int64[n, 2], in ascending order; those that overlap are one."""
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    ends = np.maximum.accumulate(ranges[:, 1])
    first = np.append(True, ranges[1:, 0] > ends[:-1])
    return np.stack([ranges[first, 0], np.maximum.reduceat(ranges[:, 1], np.flatnonzero(first))], axis=1)
