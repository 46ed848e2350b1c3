"""What changed between two snapshots of a dataset, as SQL: rows added, removed, and changed, column by column.

Values are the same when their bits are: 0.0 and -0.0 differ, every NaN is the same as any other, null equals null
alone. Rows are told apart by the dataset's id; of rows that share one, the first of one snapshot is held against the
first of the other, in the order of a hash of their content.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from .read import Catalog
from .sql_text import columns_file, literal, quoted

#: Columns of the answer, beside the id.
COLUMNS = ("change", "column_name", "old_value", "new_value")
#: Columns that follow from others: a row that moves has another index, which is no news.
_DERIVED = ("_healpix_29",)


def changes_sql(
    old: Catalog, new: Catalog, old_files: Sequence[Path], new_files: Sequence[Path], id_column: str
) -> str:
    """A SELECT of what changed between two snapshots.

    Parameters
    ----------
    old, new : Catalog
        They tell the columns; those that only one of them has are not compared row by row (`changed_columns`).
    old_files, new_files : sequence of Path
        Partitions to compare: those that are not the same file in both.
    id_column : str

    Returns
    -------
    str
        With the columns ``change`` (added, removed, changed), the id, ``column_name``, ``old_value`` and ``new_value``
        (as text): a row for each value that changed, and one without a column for each row added or removed.
    """
    names = [name for name in old.schema.names if name in new.schema.names and name not in {id_column, *_DERIVED}]
    differ = {name: _differ(name, old.schema.field(name).type, new.schema.field(name).type) for name in names}
    cells = ", ".join(
        f"CASE WHEN {test} THEN {{'column_name': {literal(name)}, 'old_value': o.{quoted(name)}::VARCHAR,"
        f" 'new_value': n.{quoted(name)}::VARCHAR}} END"
        for name, test in differ.items()
    )
    nothing = "{'column_name': NULL::VARCHAR, 'old_value': NULL::VARCHAR, 'new_value': NULL::VARCHAR}"
    key = quoted(id_column)
    sides = [_side(catalog, files, key, names) for catalog, files in ((old, old_files), (new, new_files))]
    return f"""
        SELECT change, {key}, cell.column_name, cell.old_value, cell.new_value FROM (
            SELECT change, {key}, unnest(cells) AS cell FROM (
                SELECT CASE WHEN o._copy IS NULL THEN 'added' WHEN n._copy IS NULL THEN 'removed' ELSE 'changed' END
                           AS change,
                       CASE WHEN n._copy IS NULL THEN o.{key}::VARCHAR ELSE n.{key}::VARCHAR END AS {key},
                       CASE WHEN o._copy IS NULL OR n._copy IS NULL THEN [{nothing}]
                            ELSE list_filter([{cells or "NULL"}], lambda one: one IS NOT NULL) END AS cells
                  FROM ({sides[0]}) o FULL JOIN ({sides[1]}) n
                    ON o.{key} IS NOT DISTINCT FROM n.{key} AND o._copy = n._copy
                 WHERE o._copy IS NULL OR n._copy IS NULL OR {" OR ".join(differ.values()) or "false"}))"""  # noqa: S608


def changed_columns(old: pa.Schema, new: pa.Schema) -> dict[str, list[str]]:
    """Columns that only one of two snapshots has, and those of another type: ``added``, ``removed``, ``retyped``."""
    return {
        "added": [name for name in new.names if name not in old.names],
        "removed": [name for name in old.names if name not in new.names],
        "retyped": [name for name in old.names if name in new.names and old.field(name).type != new.field(name).type],
    }


def _side(catalog: Catalog, files: Sequence[Path], key: str, names: Sequence[str]) -> str:
    """Rows of some files, with how many of the same id came before in `_copy`."""
    # the file that tells the columns comes first, for files that lack some; none of its rows is read
    listed = ", ".join(literal(os.fspath(file)) for file in files or [columns_file(catalog)])
    nothing = "" if files else " WHERE false"
    rows = f"SELECT * FROM read_parquet([{listed}], hive_partitioning = false, union_by_name = true){nothing}"  # noqa: S608
    columns = ", ".join(f"r.{name}" for name in (key, *map(quoted, names)))
    return (
        f"SELECT {columns}, row_number() OVER (PARTITION BY {key} ORDER BY {_order(names)}) AS _copy"  # noqa: S608
        f" FROM ({rows}) r"
    )


def _order(names: Sequence[str]) -> str:
    return f"hash({', '.join(f'r.{quoted(name)}' for name in names)})" if names else "1"


def _differ(name: str, old: pa.DataType, new: pa.DataType) -> str:
    """Whether a column's values of `o` and `n` differ; never null."""
    o, n = f"o.{quoted(name)}", f"n.{quoted(name)}"
    if old != new:
        return f"({o}::VARCHAR IS DISTINCT FROM {n}::VARCHAR)"
    if pa.types.is_floating(old):  # for DuckDB NaN is NaN, and -0.0 is 0.0
        return f"({o} IS DISTINCT FROM {n} OR coalesce({o} = 0 AND signbit({o}) <> signbit({n}), false))"
    if pa.types.is_nested(old) and any(name in str(old) for name in ("double", "float")):
        return f"({o} IS DISTINCT FROM {n} OR {o}::VARCHAR IS DISTINCT FROM {n}::VARCHAR)"
    return f"({o} IS DISTINCT FROM {n})"
