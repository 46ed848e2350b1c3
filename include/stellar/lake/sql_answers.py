"""Answers of SQL over a lake as texts: rows as CSV and JSON, and errors with the names that there are."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

import duckdb
import pyarrow as pa

from stellar.errors import InputError

from .sql import refuse_writing

if TYPE_CHECKING:
    from .sql import LakeConnection

BATCH_ROWS = 50_000


def split_statements(text: str) -> list[str]:
    """The statements of a text, parted by `;`; all are looked at before the first is run.

    Raises
    ------
    InputError
        When one does not only read, or there is none.
    """
    try:
        found = [statement.query for statement in duckdb.extract_statements(text)]
    except duckdb.Error as error:
        raise InputError(str(error)) from None
    statements = found if len(found) > 1 else [text]
    for statement in statements:
        refuse_writing(statement)
    return statements


def write_csv(batches: Iterator[pa.RecordBatch], stream: TextIO) -> None:
    """Header and rows, LF, null as an empty field, lists as JSON."""
    writer = csv.writer(stream, lineterminator="\n")
    for number, batch in enumerate(batches):
        if number == 0:
            writer.writerow(batch.schema.names)
        columns = [[csv_value(value) for value in column.to_pylist()] for column in batch.columns]
        writer.writerows(zip(*columns, strict=True))


def write_json(batches: Iterator[pa.RecordBatch], stream: TextIO) -> None:
    """A list of objects, one per row and line; NaN and infinities are null, as JSON has no others."""
    separator = "["
    for batch in batches:
        for row in batch.to_pylist():
            stream.write(f"{separator}\n{json.dumps({name: json_value(value) for name, value in row.items()})}")
            separator = ","
    stream.write("[]\n" if separator == "[" else "\n]\n")


def told(connection: LakeConnection, error: duckdb.Error) -> str:
    """DuckDB's message, with the names that there are where one is not known."""
    message = str(error).replace("Python exception occurred while executing the UDF: ", "")
    if isinstance(error, duckdb.CatalogException) and "Table" in message:
        for name, why in {**connection.gone, **connection.absent}.items():
            if name in str(error):
                message += f"\n{name}: {why}"
        none = "none was current then" if connection.absent else "none, nothing has been synced into this home yet"
        there = ", ".join(connection.catalogs) or none
        message += f"\nDatasets here: {there}; ledger tables are ledger.<name>"
    return message


def batches_of(connection: LakeConnection, text: str) -> Iterator[pa.RecordBatch]:
    """The result in parts; at least one, so that the columns are known without rows too."""
    empty = True
    try:
        reader = connection.reader(text, rows=BATCH_ROWS)
        for batch in reader:
            empty = False
            yield batch
    except duckdb.Error as error:
        raise InputError(told(connection, error)) from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(str(error)) from None
    if empty:
        yield from reader.schema.empty_table().to_batches() or [pa.RecordBatch.from_pylist([], schema=reader.schema)]


def csv_value(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(json_value(value))
    return value.isoformat() if hasattr(value, "isoformat") else value


def json_value(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, list):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
