"""Answers of the console: rows for the screen, and whole results as CSV, Parquet and VOTable, in one pass."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from stellar.errors import InputError
from stellar.lake.sql_answers import json_value
from stellar.lake.voparquet import votable_header, votable_metadata

from .console_columns import Columns

#: JavaScript's numbers are exact up to here; larger ones are sent as texts.
EXACT = 2**53
SHOWN_ITEMS = 8
SHOWN_CHARACTERS = 10_000
#: Of a text inside a list or struct.
SHOWN_INSIDE = 1_000
#: Beyond this, rows are left out of an answer for the screen even where fewer than asked for were given.
SCREEN_BYTES = 8 << 20


def described(schema: pa.Schema, about: Columns) -> pa.Schema:
    """A result's schema with what is known of its columns in the fields' metadata."""
    fields = []
    for column in schema:
        known = {key: value for key, value in about.get(column.name, {}).items() if value}
        fields.append(column.with_metadata(dict(sorted(known.items())) or None))
    return pa.schema(fields)


def kind_of(type_: pa.DataType) -> str:
    """What the page does with a column: `integer`, `number`, `flag`, `time`, `list` or `text`."""
    if pa.types.is_boolean(type_):
        return "flag"
    if pa.types.is_integer(type_):
        return "integer"
    if pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    if pa.types.is_temporal(type_):
        return "time"
    return "list" if pa.types.is_nested(type_) else "text"


def cell(value: Any) -> Any:
    """A value as the page shows it: exact integers, lists by their first items, long texts cut with their length.

    Returns
    -------
    None, bool, int, float or str
        NaN and infinities as `NaN`, `inf` and `-inf`: JSON has no others.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -EXACT <= value <= EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if value != value else str(value)
    if isinstance(value, list):
        head = json.dumps([_inside(one) for one in value[:SHOWN_ITEMS]], default=str)
        return _short(head) if len(value) <= SHOWN_ITEMS else f"{_short(head[:-1])}, … {len(value):,} items]"
    if isinstance(value, dict):
        return _short(json.dumps(_inside(value), default=str))
    if isinstance(value, bytes):
        return _short(value.hex())
    return _short(value.isoformat(sep=" ") if hasattr(value, "hour") else str(value))


def screen(reader: Iterable[pa.RecordBatch], schema: pa.Schema, most: int) -> dict[str, Any]:
    """The first rows of a result for the page.

    Returns
    -------
    dict
        `columns` (name, type, kind, and what is known of them), `rows` (lists), `more` (whether there are others).
    """
    columns = [
        {"name": one.name, "type": str(one.type), "kind": kind_of(one.type)}
        | {key.decode(): value.decode() for key, value in (one.metadata or {}).items()}
        for one in schema
    ]
    rows: list[list[Any]] = []
    size, more = 0, False
    for batch in reader:
        values = [[cell(value) for value in _items(column)] for column in batch.columns]
        for row in zip(*values, strict=True):
            if len(rows) >= most or size > SCREEN_BYTES:
                more = True
                break
            rows.append(list(row))
            size += sum(len(json.dumps(value)) if isinstance(value, str) else 8 for value in row)  # escapes count
        if more:
            break
    return {"columns": columns, "rows": rows, "more": more}


class Sink(Protocol):
    """What takes bytes."""

    def __call__(self, part: bytes) -> None: ...


def write(form: str, reader: Iterable[pa.RecordBatch], schema: pa.Schema, sink: Sink, most: int) -> tuple[int, bool]:
    """Write a result up to a number of rows.

    Parameters
    ----------
    form : {'csv', 'parquet', 'votable'}
    reader : iterable of pyarrow.RecordBatch
    schema : pyarrow.Schema
        With what is known of the columns in the fields' metadata.
    sink : callable
        Takes the bytes as they come.
    most : int

    Returns
    -------
    rows : int
        How many were written.
    more : bool
        Whether there are others.
    """
    if form not in WRITERS:
        raise InputError(f"form {form!r}: take one of {', '.join(WRITERS)}")
    outcome = {"rows": 0, "more": False}

    def counted() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            left = most - outcome["rows"]
            if batch.num_rows > left:
                outcome["more"], batch = True, batch.slice(0, left)
            outcome["rows"] += batch.num_rows
            if batch.num_rows:
                yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
            if outcome["more"]:
                return

    WRITERS[form](counted(), schema, sink, lambda: bool(outcome["more"]))
    return int(outcome["rows"]), bool(outcome["more"])


def _csv(batches: Iterator[pa.RecordBatch], schema: pa.Schema, sink: Sink, _: Callable[[], bool]) -> None:
    """Header and rows; null is an empty field, lists are JSON."""
    flat = pa.schema([_flat(one) for one in schema])
    with pa.PythonFile(_Writable(sink), mode="w") as file, pyarrow.csv.CSVWriter(file, flat) as writer:
        for batch in batches:
            columns = [
                pa.array(
                    [None if v is None else json.dumps(json_value(v), default=str) for v in column.to_pylist()]
                ).cast(pa.string())
                if pa.types.is_nested(column.type) or not _csv_takes(column.type)
                else column
                for column in batch.columns
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))


def _csv_takes(type_: pa.DataType) -> bool:
    return not (pa.types.is_binary(type_) or pa.types.is_null(type_))


def _flat(column: pa.Field) -> pa.Field:
    flat = pa.types.is_nested(column.type) or not _csv_takes(column.type)
    return pa.field(column.name, pa.string() if flat else column.type)


def _parquet(batches: Iterator[pa.RecordBatch], schema: pa.Schema, sink: Sink, _: Callable[[], bool]) -> None:
    """Parquet with units, UCDs and descriptions in the fields and in a VOTable header."""
    told = schema.with_metadata(votable_metadata(schema))
    with (
        pa.PythonFile(_Writable(sink), mode="w") as file,
        pq.ParquetWriter(file, told, compression="zstd") as writer,
    ):
        for batch in batches:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=told))


def _votable(batches: Iterator[pa.RecordBatch], schema: pa.Schema, sink: Sink, more: Callable[[], bool]) -> None:
    """A VOTable 1.4 (TABLEDATA), after https://www.ivoa.net/documents/VOTable/20191021, overflow told at its end."""
    shown = pa.schema([_votable_field(one) for one in schema])
    head, tail = votable_header(shown).decode().split("</TABLE>")
    sink(f"{head}<DATA>\n<TABLEDATA>\n".encode())
    for batch in batches:
        columns = [_votable_cells(column) for column in batch.columns]
        rows = ("<TR>" + "".join(f"<TD>{one}</TD>" for one in row) + "</TR>" for row in zip(*columns, strict=True))
        sink(("\n".join(rows) + "\n").encode())
    overflow = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n' if more() else ""
    sink(f"</TABLEDATA>\n</DATA>\n</TABLE>{tail.replace('</RESOURCE>', overflow + '</RESOURCE>')}".encode())


def _votable_field(column: pa.Field) -> pa.Field:
    """A column as one that VOTable has a type for: others are texts."""
    type_ = column.type
    if pa.types.is_decimal(type_):
        return column.with_type(pa.float64())
    if pa.types.is_uint64(type_):
        return column.with_type(pa.string())
    numeric = pa.types.is_boolean(type_) or pa.types.is_integer(type_) or pa.types.is_floating(type_)
    if numeric or (pa.types.is_list(type_) and _is_number(type_.value_type)):
        return column
    return column.with_type(pa.string())


def _is_number(type_: pa.DataType) -> bool:
    return pa.types.is_integer(type_) or pa.types.is_floating(type_)


def _votable_cells(column: pa.Array) -> list[str]:
    if _is_number(column.type) or pa.types.is_decimal(column.type):
        return ["" if value is None else str(value) for value in _numbers(column)]
    if pa.types.is_boolean(column.type):
        return ["" if value is None else "T" if value else "F" for value in column.to_pylist()]
    if pa.types.is_list(column.type) and _is_number(column.type.value_type):
        return [
            "" if value is None else " ".join("NaN" if one is None else str(one) for one in value)
            for value in column.to_pylist()
        ]
    return ["" if value is None else _xml(value) for value in _items(column)]


def _numbers(column: pa.Array) -> list[Any]:
    """Numbers in the fewest digits that tell them apart: those of float32 are fewer."""
    if pa.types.is_float32(column.type):
        return pc.cast(column, pa.string()).to_pylist()
    return column.to_pylist()


def _xml(value: Any) -> str:
    text = json.dumps(json_value(value), default=str) if isinstance(value, list | dict) else str(value)
    return escape("".join(c if c >= " " or c in "\t\n\r" else " " for c in text))


def _items(column: pa.Array) -> list[Any]:
    """Python values; times that Python cannot hold as texts."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return column.cast(pa.string()).to_pylist()


def _inside(value: Any) -> Any:
    """A value of a list or struct, with its texts cut."""
    if isinstance(value, list | tuple):
        return [_inside(one) for one in value]
    if isinstance(value, dict):
        return {name: _inside(one) for name, one in value.items()}
    if isinstance(value, bytes):
        return _short(value.hex(), SHOWN_INSIDE)
    return _short(value, SHOWN_INSIDE) if isinstance(value, str) else json_value(value)


def _short(text: str, most: int = SHOWN_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[:most]}… {len(text):,} characters"


class _Writable:
    """A file that passes on what is written."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink, self._at = sink, 0

    def write(self, part: Any) -> int:
        content = bytes(part)
        self._sink(content)
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Everything was passed on already."""

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


WRITERS: dict[str, Callable[[Iterator[pa.RecordBatch], pa.Schema, Sink, Callable[[], bool]], None]] = {
    "csv": _csv,
    "parquet": _parquet,
    "votable": _votable,
}
