"""ECSV tables of any size (astropy's APE 6): types, units and descriptions from the header, rows as a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers.chunks_arrays import BadCell
from stellar.surveys.readers.chunks_schema import Limits, field
from stellar.surveys.readers.chunks_sources import SourceFile
from stellar.surveys.readers.chunks_text import Dialect, blocks, gathered, head_lines, line_of, parse, split_line

_NULLS = ("", "null", "nan", "NaN")
_TYPES = {name: getattr(pa, name)() for name in ("int8", "int16", "int32", "int64", "float32", "float64", "string")}
_TYPES |= {name: getattr(pa, name)() for name in ("uint8", "uint16", "uint32", "uint64")}
_TYPES |= {"bool": pa.bool_(), "float16": pa.float32(), "float128": pa.float64(), "object": pa.string()}


def header_of(lines: list[str]) -> dict[str, Any]:
    """The YAML of an ECSV header or of the same in a Parquet footer: its `datatype` names the columns.

    Raises
    ------
    ValueError
        When it is none.
    """
    from astropy.table import meta

    try:
        header = meta.get_header_from_yaml(lines)
        columns = header["datatype"]
        if not all(isinstance(column, dict) and "name" in column for column in columns):
            raise ValueError("datatype names no columns")
    except Exception as fault:  # PyYAML's and astropy's, a dozen kinds
        raise ValueError(str(fault).partition("\n")[0]) from None
    return dict(header)


def _head(source: SourceFile) -> tuple[Dialect, dict[str, Any]]:
    comments: list[str] = []
    offset = number = 0
    for line, raw in head_lines(source):
        number += 1
        offset += len(raw)
        if line.startswith("#"):
            comments.append(line[1:].removeprefix(" "))
            continue
        if not line.strip():
            continue
        try:
            header = header_of([text for text in comments if not text.startswith("%ECSV")])
        except ValueError as fault:
            raise InputError(f"{source}: its ECSV header cannot be read: {fault}; mend it") from None
        delimiter = str(header.get("delimiter", " "))
        names = tuple(column["name"] for column in header["datatype"])
        given = tuple(split_line(line, delimiter))
        if given != names:
            wrong = next((a for a, b in zip(given, names, strict=False) if a != b), "their number")
            raise InputError(
                f"{source}: line {number}: the names there and in the header above differ: {wrong}; mend it"
            )
        return Dialect(names, delimiter, offset, number + 1, raw[-1:]), header
    raise InputError(f"{source}: its ECSV header has no line with the columns' names; fetch the file again")


def _type(column: dict[str, Any], source: SourceFile) -> pa.DataType:
    """A column's type by `datatype` and `subtype`; what has no Arrow type stays the text it is."""
    datatype, subtype = str(column.get("datatype", "")), str(column.get("subtype", ""))
    if datatype not in _TYPES:
        raise InputError(f"{source}: column {column['name']}: datatype {datatype!r} is not read; give it a number's")
    found = re.fullmatch(r"(\w+)\[([\d, null]+)\]", subtype)
    if found is None or found[1] not in _TYPES or found[1] in ("object",):
        return _TYPES[datatype]
    sizes = [part.strip() for part in found[2].split(",")]
    element = pa.field("element", _TYPES[found[1]])
    if sizes == ["null"]:
        return pa.list_(element)
    if "null" in sizes:
        return pa.string()
    total = 1
    for size in sizes:
        total *= int(size)
    return pa.list_(element, total)


def schema(source: SourceFile) -> pa.Schema:
    """Columns with the types, units and descriptions of the header."""
    _, header = _head(source)
    return pa.schema(
        [
            field(
                column["name"],
                _type(column, source),
                column.get("unit"),
                (column.get("meta") or {}).get("ucd"),
                column.get("description"),
            )
            for column in header["datatype"]
        ]
    )


def count_rows(source: SourceFile) -> int | None:
    """None: the header does not say."""
    return None


def chunks(source: SourceFile, columns: list[str], limits: Limits) -> Iterator[pa.Table]:
    """Rows in tables of about the limit's size.

    Raises
    ------
    InputError
        When a row has another number of fields, or a cell is not of the header's type: naming line and column.
    """
    dialect, header = _head(source)
    types = {column["name"]: _type(column, source) for column in header["datatype"]}
    nested = {name: type_ for name, type_ in types.items() if pa.types.is_nested(type_)}
    flat = {name: pa.string() if name in nested else type_ for name, type_ in types.items()}

    def tables() -> Iterator[pa.Table]:
        for block in blocks(source, dialect):
            table = parse(block, dialect, flat, source, columns=columns, nulls=_NULLS)
            for place, name in enumerate(columns):
                if name in nested:
                    try:
                        table = table.set_column(place, name, _lists(table[name], nested[name]))
                    except BadCell as bad:
                        line = line_of(block, bad.index + 1, dialect)
                        raise InputError(f"{source}: line {line}, column {name}: {bad}; mend the cell") from None
            yield table

    yield from gathered(tables(), limits)


def _lists(cells: pa.ChunkedArray, type_: pa.DataType) -> pa.Array:
    """Cells of JSON arrays as lists, flattened where they have more dimensions than one."""
    values = []
    for index, cell in enumerate(cells.to_pylist()):
        try:
            row = None if cell is None else _flat(json.loads(cell))
            pa.scalar(row, type_)
        except (ValueError, TypeError, pa.ArrowException):
            raise BadCell(index, str(cell), type_) from None
        values.append(row)
    return pa.array(values, type_)


def _flat(value: Any) -> list[Any]:
    return [item for part in value for item in _flat(part)] if isinstance(value, list) else [value]
