"""Rows of a snapshot as tables of Postgres take them: columns with their types and comments, and CSV for COPY."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from stellar.lake.read import Catalog

#: Longest name in Postgres, bytes.
LONGEST_NAME = 63
#: A classifier's probability of each class: up to a hundred columns, which stay in the lake.
_OF_ONE_CLASS = "probability_"
_TYPES = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.date32(): "date",
}


@dataclass(frozen=True)
class Column:
    """A column of a table: its name in the lake and in Postgres, the type there, and what it holds."""

    source: str
    name: str
    type: str
    comment: str


def main_columns(catalog: Catalog) -> list[Column]:
    """Columns of a dataset of scores that are published: all but the probabilities of single classes.

    Columns of types that Postgres has none for (bytes, structures) stay in the lake too.
    """
    found = []
    for field in catalog.schema:
        type_ = postgres_type(field.type)
        if type_ is not None and not field.name.startswith(_OF_ONE_CLASS):
            found.append(Column(field.name, fitting_name(field.name), type_, _comment(field)))
    return found


def postgres_type(type_: pa.DataType) -> str | None:
    """The type of Postgres for an Arrow type, as `format_type` writes it; None where there is none."""
    if pa.types.is_timestamp(type_):
        return f"timestamp {'with' if type_.tz else 'without'} time zone"
    if pa.types.is_list(type_):
        item = _TYPES.get(type_.value_type)
        return f"{item}[]" if item else None
    return _TYPES.get(type_)


def fitting_name(name: str) -> str:
    """A name that Postgres does not cut: of a longer one the beginning and a hash."""
    data = name.encode()
    if len(data) <= LONGEST_NAME:
        return name
    return f"{data[: LONGEST_NAME - 9].decode(errors='ignore')}_{hashlib.sha256(data).hexdigest()[:8]}"


def csv_rows(table: pa.Table, columns: list[Column]) -> io.BytesIO:
    """Rows as Postgres's CSV reads them, at the beginning: null is nothing, an empty string ``""``.

    Numbers are written with as many digits as it takes to read the same bits again.
    """
    arrays = [_written(table[column.source].combine_chunks()) for column in columns]
    stream = io.BytesIO()
    rows = pa.table(arrays, names=[column.name for column in columns])
    pa.csv.write_csv(rows, stream, pa.csv.WriteOptions(include_header=False, batch_size=10_000))
    stream.seek(0)
    return stream


def _written(values: pa.Array) -> pa.Array:
    if pa.types.is_list(values.type):
        return _array_literals(values)
    # Postgres has no text with a zero byte in it
    return pc.replace_substring(values, "\0", "\N{REPLACEMENT CHARACTER}") if values.type == pa.string() else values


def _array_literals(values: pa.ListArray) -> pa.Array:
    """Lists as Postgres writes arrays: ``{"K","M"}``."""
    items = _written(values.flatten().cast(pa.string()))
    for special in ("\\", '"'):
        items = pc.replace_substring(items, special, f"\\{special}")
    items = pc.coalesce(pc.binary_join_element_wise('"', items, '"', ""), "NULL")
    counts = pc.fill_null(pc.list_value_length(values), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(counts).cast(pa.int32())])
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, items), ",")
    literals = pc.binary_join_element_wise("{", joined, "}", "")
    return pc.if_else(pc.is_valid(values), literals, pa.scalar(None, pa.string()))


def _comment(field: pa.Field) -> str:
    """Description, unit and UCD of a column in one line."""
    said = {key: (field.metadata or {}).get(key.encode(), b"").decode() for key in ("description", "unit", "ucd")}
    text = said["description"] or field.name.replace("__", ": ").replace("_", " ")
    return text + (f" [{said['unit']}]" if said["unit"] else "") + (f"; {said['ucd']}" if said["ucd"] else "")
