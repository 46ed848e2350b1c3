"""SQL expressions of the project's YAML over an Arrow table: one language for rules, flags and derived columns."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from stellar.errors import InputError

if TYPE_CHECKING:
    import duckdb

Answer = TypeVar("Answer")

SQL_TYPES = {
    "int64": "bigint",
    "int32": "integer",
    "float64": "double",
    "float32": "real",
    "string": "varchar",
    "bool": "boolean",
}


@cache
def _database(process: int) -> duckdb.DuckDBPyConnection:
    """An empty database of this process that can reach nothing outside; each question takes a cursor.

    To make one costs 30 ms, a cursor 2. A process that was forked must not use its parent's.
    """
    return _new_database()


def _new_database() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False})


def _ask(question: Callable[[duckdb.DuckDBPyConnection], Answer]) -> Answer:
    """What a question finds on a connection that has nothing yet.

    After an error of its own DuckDB gives up a whole database, and whatever else is asked of it: the next question gets
    a new one, and this one, whose fault it need not be, is put again in a database of its own.
    """
    import duckdb

    try:
        with _database(os.getpid()).cursor() as connection:
            return question(connection)
    except (duckdb.FatalException, duckdb.InternalException):
        _database.cache_clear()
    with _new_database() as connection:
        return question(connection)


def query(sql: str, table: pa.Table, origin: str) -> pa.Table:
    """Run `sql` over `table` as `t`, where nothing else can be reached.

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

    def asked(connection: duckdb.DuckDBPyConnection) -> pa.Table:
        connection.register("t", table)
        return connection.sql(sql).to_arrow_table()

    try:
        return _ask(asked)
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


#: Functions whose answer for a row is not decided by the row.
_UNSTEADY = {
    "random",
    "uuid",
    "uuidv4",
    "uuidv7",
    "gen_random_uuid",
    "now",
    "current_timestamp",
    "nextval",
    "get_current_timestamp",
    "txid_current",
}


@lru_cache(maxsize=1024)
def columns_of(expression: str) -> frozenset[str]:
    """Names of the columns that an expression of one row reads, without running it.

    Raises
    ------
    InputError
        When it does not parse, is more than one expression, or its value depends on more than the row: sub-queries,
        window functions, random numbers, the time.
    """
    sql = f"select ({expression}\n) from t"  # noqa: S608 - parsed and not run
    found = _ask(lambda connection: connection.execute("select json_serialize_sql(?)", [sql]).fetchone())
    tree = json.loads(found[0]) if found else {"error": True}
    if tree["error"]:
        raise InputError(f"the expression {expression!r} does not parse: {tree.get('error_message', 'no SQL')}")
    nodes = list(_nodes(tree["statements"]))
    kinds = {str(node.get("class")) for node in nodes}
    functions = {str(node["function_name"]).lower() for node in nodes if node.get("function_name")}
    if len(tree["statements"]) > 1 or "row" in functions or _closes_more(expression):
        raise InputError(f"the expression {expression!r} is more than one; give one value of a row")
    if kinds & {"SUBQUERY", "WINDOW", "STAR"} or functions & _UNSTEADY:
        raise InputError(
            f"the expression {expression!r} takes more than its row; use its columns alone: no select, window, *, "
            "random numbers or time"
        )
    return frozenset(str(node["column_names"][-1]) for node in nodes if node.get("class") == "COLUMN_REF")


def _closes_more(expression: str) -> bool:
    """Whether an expression closes a bracket that it did not open, and so could be more than an expression."""
    plain = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", "", expression, flags=re.DOTALL)
    depth = 0
    for sign in plain:
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            return True
    return False


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a parsed statement."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for one in tree:
            yield from _nodes(one)


def row_values(table: pa.Table, expressions: Mapping[str, str], origin: str) -> dict[str, pa.ChunkedArray]:
    """Values of each row, in the types that they come in; a row that an expression cannot be had of is null.

    Parameters
    ----------
    table : pa.Table
    expressions
        Name -> SQL over the table's columns and the names before it. A logarithm of a negative number, a division by
        zero and what else is not finite are null.
    origin
        What the expressions are of, for the message when one is wrong.

    Raises
    ------
    InputError
        When a column is not there, or an expression is not of one row.
    """
    found: dict[str, pa.ChunkedArray] = {}
    left = dict(expressions)
    while left:
        # what is not finite is null before another expression reads it
        ready = {name: sql for name, sql in left.items() if not columns_of(sql) & set(left)}
        if not ready:
            raise InputError(f"{origin}: {', '.join(left)} are made from one another; put what is read first")
        found |= _together(table, found, ready, origin)
        left = {name: sql for name, sql in left.items() if name not in ready}
    return {name: found[name] for name in expressions}


def _together(
    table: pa.Table, made: Mapping[str, pa.ChunkedArray], expressions: Mapping[str, str], origin: str
) -> dict[str, pa.ChunkedArray]:
    """Values of expressions that read the table's columns and what was made of it before, in one query."""
    scratch: dict[str, pa.ChunkedArray] = {}
    for name, sql in expressions.items():
        for column in sorted(columns_of(sql)):
            if column not in made and column not in table.column_names:
                raise InputError(f"{origin}: {name}: there is no column {column}; `{sql}` reads it")
            scratch[column] = made[column] if column in made else table[column]
    if not scratch:  # a constant: DuckDB still has to know how many rows there are
        scratch["_"] = pa.chunked_array([pa.nulls(len(table), pa.bool_())])
    terms = ", ".join(f'try({sql}\n) as "{name}"' for name, sql in expressions.items())
    found = query(f"select {terms} from t", pa.table(scratch), origin)  # noqa: S608 - parsed before
    if len(found) != len(table):
        raise InputError(f"{origin}: {', '.join(expressions)}: an aggregate is not a value of one row; take it out")
    return {name: _finite(found[name]) for name in expressions}


def _finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_decimal(column.type) or (pa.types.is_integer(column.type) and column.type.bit_width > 64):
        column = column.cast(pa.float64())
    if not pa.types.is_floating(column.type):
        return column
    known = pc.is_finite(column)
    return column if pc.all(known).as_py() else pc.if_else(known, column, pa.scalar(None, column.type))


def words(expressions: Iterable[str]) -> set[str]:
    """All names in the expressions, functions and keywords too: a superset of the columns that they read."""
    return set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", " ".join(expressions)))


def _arrow(kind: str) -> pa.DataType:
    return {"float64": pa.float64(), "float32": pa.float32(), "bool": pa.bool_()}.get(kind) or pa.type_for_alias(kind)
