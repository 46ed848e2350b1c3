"""What a question may name: datasets and the ledger, by the statement as DuckDB itself parses it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeAlias

import duckdb

from stellar.errors import InputError
from stellar.lake.sql import refuse_writing

Node: TypeAlias = dict[str, Any]

LONGEST = 100_000
#: Table functions that a question may call; all others read files, settings or the engine's insides, or take, as the
#: table macros `histogram` and `histogram_values` do, a table's name as a text, which is not looked through.
TABLE_FUNCTIONS = frozenset(
    {"cone", "box", "polygon", "by_id", "unnest", "range", "generate_series", "repeat", "repeat_row", "json_each",
     "json_tree", "pg_timezone_names"}
)  # fmt: skip
#: Functions that look at or change the process, its settings or its log, or only spend time.
FUNCTIONS = frozenset(
    {"getenv", "current_setting", "set_config", "pg_sleep", "sleep_ms", "nextval", "setval", "currval", "write_log",
     "parse_duckdb_log_message", "json_execute_serialized_sql", "which_secret", "stats", "query", "query_table",
     "current_query", "getvariable", "setseed"}
)  # fmt: skip
_SYSTEM_TABLES = re.compile(
    r"^(duckdb_(secrets|settings|logs.*|log_contexts|extensions|external.*|variables|temporary_files|views|databases)"
    r"|pg_settings|pragma_database_list|sqlite_(temp_)?(master|schema))$"
)
_FILE = re.compile(r"[/\\*?]|://|\.(csv|tsv|json|jsonl|ndjson|parquet|db|duckdb|txt|gz|zst|xlsx|arrow|vortex)$")
_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?(\s*\([^)]*\))?\s", re.IGNORECASE)


def looked_at(statement: str) -> Node:
    """A statement as DuckDB parses it, after all that a question may not do was refused.

    Parameters
    ----------
    statement : str

    Returns
    -------
    dict
        The query node, as DuckDB's `json_serialize_sql` writes it; of an EXPLAIN, that of what is explained.

    Raises
    ------
    InputError
        When it is no single statement that reads, too long, or names a file, a setting or a function that is none of
        a question's business.
    """
    if len(statement) > LONGEST:
        raise InputError(f"a question has at most {LONGEST:,} characters; this has {len(statement):,}")
    if not statement.strip():
        raise InputError("write a question first: a SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN")
    refuse_writing(statement)
    node = _parsed(_bare(statement))
    for one in walked(node):
        _refuse(one)
    return node


def walked(node: Any) -> Iterator[Node]:
    """Every object of a parsed statement; without recursion, since statements may be nested deeply."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def datasets_named(node: Node) -> set[str]:
    """Names `schema.table` of tables, and the texts that regions and `by_id` take as their first argument."""
    found = set()
    for one in walked(node):
        if one.get("type") == "BASE_TABLE" and one.get("schema_name"):
            found.add(f"{one['schema_name']}.{one['table_name']}".lower())
        elif one.get("type") == "TABLE_FUNCTION" and (name := argument_text(one["function"], 0)) is not None:
            found.add(name)
    return found


def argument_text(function: Node, place: int) -> str | None:
    """A function's argument where it is a text literal."""
    arguments = function.get("arguments") or []
    if place >= len(arguments):
        return None
    literal = arguments[place].get("expression", arguments[place]).get("literal") or {}
    return literal.get("text") if literal.get("kind") == "STRING" else None


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"enable_external_access": "false", "threads": "1", "memory_limit": "200MB"})


def _parsed(statement: str) -> Node:
    answer = _parser().execute("SELECT json_serialize_sql(?)", [statement]).fetchone()
    try:
        said = json.loads(answer[0]) if answer else {"error": True, "error_message": "nothing to parse"}
    except RecursionError:
        raise InputError("this is nested too deeply; write it flatter") from None
    if said["error"]:
        raise InputError(f"this cannot be looked through, so it is not run: {said.get('error_message', '')}")
    if len(said["statements"]) != 1:
        raise InputError("one statement at a time, please")
    node: Node = said["statements"][0]["node"]
    return node


def _bare(statement: str) -> str:
    """What an EXPLAIN explains; others as they are."""
    kept = duckdb.extract_statements(statement)[0]
    if kept.type.name != "EXPLAIN":
        return statement
    without_comments = _without_leading_comments(statement)
    inner = _EXPLAIN.sub("", without_comments, count=1)
    return inner if inner != without_comments else statement


def _without_leading_comments(statement: str) -> str:
    return re.sub(r"\A(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", "", statement, flags=re.DOTALL)


def _refuse(node: Node) -> None:
    kind = node.get("type")
    if kind == "BASE_TABLE":
        _refuse_table(str(node.get("table_name", "")), node)
    elif kind == "TABLE_FUNCTION":
        _refuse_table_function(node["function"])
    elif node.get("class") == "FUNCTION":
        name = str(node.get("function_name", "")).lower()
        if name in FUNCTIONS or name.startswith("_"):
            raise InputError(f"{name}(…) is not for questions: they may compute, not look at the process or wait")


def _refuse_table(name: str, node: Node) -> None:
    if node.get("catalog_name") and str(node["catalog_name"]).lower() not in ("memory", "system", "temp"):
        raise InputError(f"{node['catalog_name']}.{node.get('schema_name')}.{name}: there is no other database here")
    if _FILE.search(name.lower()):
        raise InputError(
            f"{name!r}: files cannot be read from here; datasets are named layer.subject, as in curated.objects"
        )
    if _SYSTEM_TABLES.match(name.lower()):
        raise InputError(
            f"{name} is not for questions; DESCRIBE, SHOW ALL TABLES and information_schema tell the names"
        )


def _refuse_table_function(function: Node) -> None:
    name = str(function.get("function_name", "")).lower()
    if name not in TABLE_FUNCTIONS:
        raise InputError(
            f"{name}(…) cannot be used here: files, settings and other databases are out of reach; read datasets by "
            "their names, or with cone, box, polygon and by_id"
        )
