"""Answers of the console: rows for the screen, and whole results as CSV, Parquet and VOTable, in one pass."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from stellar.errors import InputError
from stellar.lake.sql_answers import json_value
from stellar.lake.voparquet import votable_metadata
from stellar.serving import votable
from stellar.serving.results import Column, Cut, plain, typed

from .console_columns import Columns

#: JavaScript's numbers are exact up to here; larger ones are sent as texts.
EXACT = 2**53
SHOWN_ITEMS = 8
SHOWN_CHARACTERS = 10_000
#: Of a text inside a list or struct.
SHOWN_INSIDE = 1_000
#: Kinds of columns that files without them hold as text.
_WORDED = (pa.types.is_nested, pa.types.is_binary, pa.types.is_interval)
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
    if isinstance(value, bytes | pa.MonthDayNano):
        return _short(_worded(value))
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
    rows = Cut((pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader), most)
    WRITERS[form](rows, schema, sink)
    return rows.rows, rows.overflow


def _csv(batches: Cut, schema: pa.Schema, sink: Sink) -> None:
    """Header and rows; null is an empty field, lists are JSON."""
    flat = pa.schema([_flat(one) for one in schema])
    with pa.PythonFile(_Writable(sink), mode="w") as file, pyarrow.csv.CSVWriter(file, flat) as writer:
        for batch in batches:
            writer.write_batch(pa.RecordBatch.from_arrays(list(map(_column, batch.columns, flat)), schema=flat))


def _flat(column: pa.Field) -> pa.Field:
    is_text = pa.types.is_null(column.type) or any(kind(column.type) for kind in _WORDED)
    return pa.field(column.name, pa.string() if is_text else column.type)


def _parquet(batches: Cut, schema: pa.Schema, sink: Sink) -> None:
    """Parquet with units, UCDs and descriptions in the fields and in a VOTable header."""
    kept = pa.schema([one.with_type(pa.string()) if pa.types.is_interval(one.type) else one for one in schema])
    told = kept.with_metadata(votable_metadata(kept))
    with (
        pa.PythonFile(_Writable(sink), mode="w") as file,
        pq.ParquetWriter(file, told, compression="zstd") as writer,
    ):
        for batch in batches:
            writer.write_batch(pa.RecordBatch.from_arrays(list(map(_column, batch.columns, told)), schema=told))


def _votable(batches: Cut, schema: pa.Schema, sink: Sink) -> None:
    """A VOTable (TABLEDATA): numbers with their exact digits, what VOTable has no type for as text."""
    shown = pa.schema([_votable_field(one) for one in schema])
    texts = (pa.RecordBatch.from_arrays(list(map(_column, batch.columns, shown)), schema=shown) for batch in batches)
    columns = [typed(_told(one), one.type) for one in shown]
    for piece in votable.document(columns, plain(texts, shown), (), binary=False):
        sink(piece)
    sink(votable.tail(batches.overflow))


def _votable_field(column: pa.Field) -> pa.Field:
    """A column as VOTable has it, text where it has none: numbers beyond its largest, lists that double would round."""
    type_ = column.type
    if pa.types.is_decimal(type_):
        return column.with_type(pa.float64())
    is_text = pa.types.is_uint64(type_) or any(kind(type_) for kind in _WORDED)
    return column.with_type(pa.string()) if is_text and not _fits_double(type_) else column


def _fits_double(type_: pa.DataType) -> bool:
    """Whether a type is one of lists whose numbers double holds exactly."""
    if not pa.types.is_list(type_):
        return False
    value = type_.value_type
    return pa.types.is_floating(value) or (pa.types.is_integer(value) and value.bit_width <= 32)


def _told(column: pa.Field) -> Column:
    known = {key.decode(): value.decode() for key, value in (column.metadata or {}).items()}
    return Column(column.name, **{key: known.get(key, "") for key in ("unit", "ucd", "description")})


def _column(column: pa.Array, wanted: pa.Field) -> pa.Array:
    """A column as text where that is wanted: lists and structures as JSON."""
    if column.type == wanted.type:
        return column
    if not pa.types.is_string(wanted.type) or not any(kind(column.type) for kind in _WORDED):
        return column.cast(wanted.type)
    return pa.array([None if value is None else _worded(value) for value in column.to_pylist()], pa.string())


def _worded(value: Any) -> str:
    """A value that has no type of its own in a file: bytes as hex, spans of time as ISO 8601, all else as JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, pa.MonthDayNano):
        return f"P{value.months}M{value.days}DT{value.nanoseconds / 1e9:g}S"
    return json.dumps(json_value(value), default=str)


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


WRITERS: dict[str, Callable[[Cut, pa.Schema, Sink], None]] = {
    "csv": _csv,
    "parquet": _parquet,
    "votable": _votable,
}
