"""Questions for ids, answered by the index of ids: `WHERE object_id = '…'` reads as `by_id` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import duckdb
import pyarrow as pa

from stellar.errors import StellarError
from stellar.lake.ids import id_column_of
from stellar.lake.search import searchable

from .console_guard import Node, walked

if TYPE_CHECKING:
    from stellar.lake.sql import LakeConnection

#: A dataset's id column and whether it holds integers; None where there is none.
IdColumn: TypeAlias = Callable[[str], tuple[str, bool] | None]


def id_column(lake: LakeConnection, dataset: str) -> tuple[str, bool] | None:
    """The column that identifies a dataset's rows, and whether it holds integers; None where there is no such one."""
    catalog = lake.catalogs.get(dataset)
    if catalog is None or dataset.startswith(("raw.", "quarantine.")):
        return None
    with suppress(StellarError):
        name = id_column_of(searchable(catalog))
        type_ = catalog.schema.field(name).type
        if pa.types.is_integer(type_) or pa.types.is_string(type_):
            return name, pa.types.is_integer(type_)
    return None


def by_index(node: Node, id_column: IdColumn, connection: duckdb.DuckDBPyConnection) -> str | None:
    """The statement with `by_id(dataset, […])` in place of each dataset whose rows it chooses by ids.

    The condition stays where it is, so the rows are the same; only what is read differs.

    Parameters
    ----------
    node : dict
        A query node, from `console_guard.looked_at`.
    id_column : callable
        The column that identifies a dataset's rows, and whether it holds integers; None where there is no such one.
    connection : duckdb.DuckDBPyConnection
        To write the statement with.

    Returns
    -------
    str or None
        None where no dataset is chosen from by ids alone.
    """
    copied = json.loads(json.dumps(node))
    changed = False
    for one in list(walked(copied)):
        if one.get("type") == "SELECT_NODE" and (source := _indexed(one, id_column)) is not None:
            one["from_table"] = source
            changed = True
    if not changed:
        return None
    said = json.dumps({"error": False, "statements": [{"node": copied, "named_param_map": []}]})
    try:
        row = connection.execute("SELECT json_deserialize_sql(?)", [said]).fetchone()
    except duckdb.Error:
        return None
    return str(row[0]) if row else None


def _indexed(select: Node, id_column: IdColumn) -> Node | None:
    """The FROM that reads by the index; None where the question does not choose one dataset's rows by their ids."""
    table = select.get("from_table") or {}
    if table.get("type") != "BASE_TABLE" or not table.get("schema_name") or table.get("sample"):
        return None
    dataset = f"{table['schema_name']}.{table['table_name']}".lower()
    known = id_column(dataset)
    ids = _ids(select.get("where_clause") or {}, *known) if known else None
    if not ids:
        return None
    return _call(dataset, ids, table["alias"] or table["table_name"])


def _ids(condition: Node, column: str, integers: bool) -> list[str] | None:
    kind = condition.get("type")
    if kind == "CONJUNCTION_AND":
        for one in condition.get("children", []):
            if found := _ids(one, column, integers):
                return found
        return None
    if kind == "COMPARE_EQUAL":
        sides = [condition.get("left") or {}, condition.get("right") or {}]
    elif kind == "COMPARE_IN":
        sides = condition.get("children", [])
    else:
        return None
    if not sides or not _names(sides[0], column):
        sides = sides[::-1] if kind == "COMPARE_EQUAL" else []
    if len(sides) < 2 or not _names(sides[0], column):
        return None
    values = [_value(one, integers) for one in sides[1:]]
    return None if any(value is None for value in values) else [str(value) for value in values]


def _names(node: Node, column: str) -> bool:
    return node.get("class") == "COLUMN_REF" and str(node["column_names"][-1]).lower() == column.lower()


def _value(node: Node, integers: bool) -> str | None:
    """A literal of the column's type, as a text: others are compared after casts, which an index knows nothing of."""
    literal = node.get("literal") or {}
    return literal.get("text") if literal.get("kind") == ("INTEGER" if integers else "STRING") else None


def _call(dataset: str, ids: list[str], alias: str) -> Node:
    def text(value: str) -> dict[str, Any]:
        return {
            "class": "CONSTANT",
            "type": "VALUE_CONSTANT",
            "alias": "",
            "literal": {"kind": "STRING", "text": value},
        }

    def call(name: str, arguments: list[Node]) -> Node:
        return {
            "class": "FUNCTION", "type": "FUNCTION", "alias": "", "function_name": name, "schema": "", "catalog": "",
            "filter": None, "order_bys": {"type": "ORDER_MODIFIER", "orders": []}, "distinct": False,
            "is_operator": False, "export_state": False, "qualified_name": {"path": [name]},
            "arguments": [{"name": "", "expression": one} for one in arguments],
        }  # fmt: skip

    listed = call("list_value", [text(one) for one in ids])
    return {
        "type": "TABLE_FUNCTION", "alias": alias, "sample": None, "function": call("by_id", [text(dataset), listed]),
        "column_name_alias": [], "with_ordinality": "WITHOUT_ORDINALITY",
    }  # fmt: skip
