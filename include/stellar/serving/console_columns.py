"""What the columns of an answer mean: units, UCDs and descriptions of the datasets' columns that they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .console_guard import Node, argument_text

#: What is known of a column: `unit`, `ucd`, `description`.
About: TypeAlias = dict[str, str]
Columns: TypeAlias = dict[str, About]

#: Functions whose result is in the unit of their first argument.
_SAME_UNIT = frozenset(
    {"min", "max", "avg", "mean", "median", "mode", "first", "last", "any_value", "arg_min", "arg_max", "round",
     "abs", "floor", "ceil", "quantile", "quantile_cont", "quantile_disc", "stddev", "stddev_samp", "stddev_pop", "mad",
     "coalesce", "least", "greatest", "sum", "trunc"}
)  # fmt: skip
_SEPARATION = {"unit": "arcsec", "ucd": "pos.angDistance", "description": "Distance from the cone's centre"}


def columns_of(node: Node, dataset: Callable[[str], Columns | None]) -> Columns:
    """What is known of the columns that a query gives.

    Parameters
    ----------
    node : dict
        A query node, from `console_guard.looked_at`.
    dataset : callable
        Columns of a dataset by its name; None where there is none.

    Returns
    -------
    dict
        Name of a column -> `unit`, `ucd`, `description`, as far as they are known: of columns that are handed through,
        renamed, or changed by a function that keeps the unit (then without the UCD).
    """
    return _query(node, dataset, {})


def _query(node: Node, dataset: Callable[[str], Columns | None], above: Mapping[str, Columns]) -> Columns:
    named = dict(above)
    for one in (node.get("cte_map") or {}).get("map", []):
        named[one["key"].lower()] = _query(one["value"].get("query_node") or {}, dataset, named)
    if node.get("type") == "SELECT_NODE":
        sources = _source(node.get("from_table") or {}, dataset, named)
        found: Columns = {}
        for item in node.get("select_list", []):
            found |= _item(item, sources)
        return found
    if node.get("left"):  # set operations and recursive parts have the first one's names
        return _query(node["left"], dataset, named)
    children = node.get("children") or []
    return _query(children[0], dataset, named) if children else {}


def _source(table: Node, dataset: Callable[[str], Columns | None], named: Mapping[str, Columns]) -> dict[str, Columns]:
    """Columns of each table of a FROM, by the name that it has there."""
    kind = table.get("type")
    if kind == "JOIN":
        return _source(table["left"], dataset, named) | _source(table["right"], dataset, named)
    alias = str(table.get("alias") or "").lower()
    if kind == "BASE_TABLE":
        name = str(table["table_name"]).lower()
        schema = str(table.get("schema_name") or "").lower()
        found = dataset(f"{schema}.{name}") if schema else named.get(name)
        return {alias or name: found or {}}
    if kind == "TABLE_FUNCTION":
        name = str(table["function"]["function_name"]).lower()
        about = dataset(argument_text(table["function"], 0) or "") or {}
        if name == "cone":
            about = about | {"center_separation_arcsec": _SEPARATION}
        return {alias or name: about}
    if kind == "SUBQUERY":
        inner = table.get("subquery") or {}
        return {alias or "subquery": _query(inner.get("node") or inner, dataset, named)}
    return {}


def _item(item: Node, sources: Mapping[str, Columns]) -> Columns:
    kind = item.get("class")
    if kind == "STAR":
        relation = str(item.get("relation_name") or "").lower()
        tables = [sources.get(relation, {})] if relation else list(sources.values())
        return _together(tables)
    about, name = _about(item, sources)
    alias = item.get("alias") or name
    return {alias: about} if alias and about else {}


def _about(item: Node, sources: Mapping[str, Columns]) -> tuple[About, str]:
    """What is known of an expression, and the name that it has without an alias."""
    if item.get("class") == "COLUMN_REF":
        *table, name = item["column_names"]
        tables = [sources.get(str(table[-1]).lower(), {})] if table else list(sources.values())
        return _together(tables).get(name, {}), name
    if item.get("class") == "FUNCTION" and str(item.get("function_name")).lower() in _SAME_UNIT:
        arguments = item.get("arguments") or []
        if arguments:
            first: Any = arguments[0]
            about, _ = _about(first.get("expression", first), sources)
            name = str(item["function_name"]).lower()
            told = f"{name} of: {about['description']}" if about.get("description") else ""
            return {key: value for key, value in (("unit", about.get("unit", "")), ("description", told)) if value}, ""
    if item.get("class") == "CAST":
        return _about(item.get("child") or {}, sources)[0], ""
    return {}, ""


def _together(tables: list[Columns]) -> Columns:
    """Columns of several tables; of one that two of them know differently, nothing is known."""
    found: Columns = {}
    unsure = set()
    for table in tables:
        for name, about in table.items():
            if name in found and found[name].get("unit") != about.get("unit"):
                unsure.add(name)
            found.setdefault(name, about)
    return {name: about for name, about in found.items() if name not in unsure}
