"""SQL expressions of the project's YAML over an Arrow table: one language for rules, flags and derived columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pyarrow as pa

from stellar.errors import InputError

SQL_TYPES = {
    "int64": "bigint",
    "int32": "integer",
    "float64": "double",
    "float32": "real",
    "string": "varchar",
    "bool": "boolean",
}


def query(sql: str, table: pa.Table, origin: str) -> pa.Table:
    """Run `sql` over `table` as `t`, in a database of its own that can reach nothing outside.

    Parameters
    ----------
    origin
        The YAML file that the SQL comes from, for the message when it is wrong.

    Raises
    ------
    InputError
        When DuckDB refuses the SQL.
    """
    import duckdb

    with duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False}) as connection:
        connection.register("t", table)
        try:
            return connection.sql(sql).to_arrow_table()
        except duckdb.Error as fault:
            raise InputError(f"{origin}: an expression is wrong: {fault}") from None


def evaluate(table: pa.Table, expressions: Mapping[str, tuple[str, str]], origin: str) -> dict[str, pa.Array]:
    """Each expression's value in each row, shape (n,); one that cannot be had as its type is null.

    Parameters
    ----------
    expressions
        Name -> (SQL over the table's columns and the names before it, type of `SQL_TYPES`).
    """
    if not expressions:
        return {}
    if not len(table):
        return {name: pa.array([], _arrow(kind)) for name, (_, kind) in expressions.items()}
    scalars = table.select([f.name for f in table.schema if not pa.types.is_list(f.type)])
    terms = ", ".join(f"try_cast(({sql}) as {SQL_TYPES[kind]}) as {name}" for name, (sql, kind) in expressions.items())
    found = query(f"select {terms} from t", scalars, origin)  # noqa: S608 the project's own YAML
    return {name: found[name].combine_chunks().cast(_arrow(kind)) for name, (_, kind) in expressions.items()}


def words(expressions: Iterable[str]) -> set[str]:
    """All names in the expressions, functions and keywords too: a superset of the columns that they read."""
    return set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", " ".join(expressions)))


def _arrow(kind: str) -> pa.DataType:
    return {"float64": pa.float64(), "float32": pa.float32(), "bool": pa.bool_()}.get(kind) or pa.type_for_alias(kind)
