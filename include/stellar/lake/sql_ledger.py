"""The ledger's tables as Arrow, by the names that SQL over a lake gives them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .sql_text import dotted, quoted

if TYPE_CHECKING:
    import sqlalchemy as sa

LEDGER_SCHEMAS = ("ingest", "lake", "lineage", "quality", "registry")
#: Of the schema `scores`, whose other tables are copies of datasets.
_PUBLISHING = ("published", "behind")
_ARROW_TYPES = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}


def ledger_catalog(engine: sa.Engine) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """The ledger's tables by the name they have here: (schema.table, columns with types).

    A table's own name, or `<schema>_<table>` where two schemas have one of that name.
    """
    import sqlalchemy as sa

    query = sa.text(
        "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema IN :schemas OR (table_schema = 'scores' AND table_name IN :publishing) "
        "ORDER BY table_schema, table_name, ordinal_position"
    ).bindparams(
        sa.bindparam("schemas", LEDGER_SCHEMAS, expanding=True),
        sa.bindparam("publishing", _PUBLISHING, expanding=True),
    )
    columns: dict[tuple[str, str], list[tuple[str, str]]] = {}
    with engine.connect() as connection:
        for schema, table, column, type_ in connection.execute(query):
            columns.setdefault((schema, table), []).append((column, type_))
    names = [table for _, table in columns]
    return {
        (table if names.count(table) == 1 else f"{schema}_{table}"): (f"{schema}.{table}", fields)
        for (schema, table), fields in columns.items()
    }


def ledger_table(engine: sa.Engine, source: str, columns: list[tuple[str, str]]) -> pa.Table:
    import sqlalchemy as sa

    names = ", ".join(quoted(column) for column, _ in columns)
    with engine.connect() as connection:
        rows = connection.execute(sa.text(f"SELECT {names} FROM {dotted(source)}")).all()  # noqa: S608
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [_ledger_array(column, type_) for column, (_, type_) in zip(values, columns, strict=True)]
    return pa.table(arrays, names=[column for column, _ in columns])


def _ledger_array(values: Sequence[Any], type_: str) -> pa.Array:
    if type_ == "jsonb":
        values = [None if value is None else json.dumps(value) for value in values]
    arrow = _ARROW_TYPES.get(type_, pa.string())
    if arrow == pa.string():
        values = [None if value is None else str(value) for value in values]
    return pa.array(values, arrow)
