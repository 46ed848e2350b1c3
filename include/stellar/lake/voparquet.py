"""VOParquet: a VOTable header in the footer of a Parquet file, so that readers of the field know units and UCDs.

VOParquet 1.0 (IVOA note): the key `IVOA.VOTable-Parquet.content` holds a VOTable without data whose FIELDs have the
names of the columns. astropy reads it as `Table.read(file, format="parquet.votable")`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pyarrow.compute as pc

VERSION_KEY = b"IVOA.VOTable-Parquet.version"
CONTENT_KEY = b"IVOA.VOTable-Parquet.content"

# What XML 1.0 has no way to write.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_DATATYPES: dict[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.uint8(): "unsignedByte",
    pa.int8(): "short",
    pa.int16(): "short",
    pa.uint16(): "int",
    pa.int32(): "int",
    pa.uint32(): "long",
    pa.int64(): "long",
    pa.float16(): "float",
    pa.float32(): "float",
    pa.float64(): "double",
}


def votable_header(schema: pa.Schema, longest: Mapping[str, int] | None = None) -> bytes:
    """The VOTable header of a schema, UTF-8; columns that VOTable has no type for are left out.

    Units, UCDs and descriptions are those in the fields' metadata (`stellar.lake.schema.field`). `longest` tells the
    most characters of columns of text, where they are known.
    """
    fields = "".join(_field(column, (longest or {}).get(column.name)) for column in schema)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        f'<RESOURCE type="results">\n<TABLE>\n{fields}</TABLE>\n</RESOURCE>\n</VOTABLE>\n'
    ).encode()


def votable_metadata(schema: pa.Schema, longest: Mapping[str, int] | None = None) -> dict[bytes, bytes]:
    """What VOParquet adds to the metadata of a file with a schema."""
    return {VERSION_KEY: b"1.0", CONTENT_KEY: votable_header(schema, longest)}


def votable_footer(table: pa.Table) -> dict[bytes, bytes]:
    """`votable_metadata` for a file with some rows.

    Two things are as astropy needs them to join header and rows: the length of text is that of the longest, and
    booleans with nulls, which it reads as objects, are left out.
    """
    told, longest = [], {}
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_boolean(field.type) and column.null_count:
            continue
        if pa.types.is_string(field.type):
            longest[field.name] = pc.max(pc.utf8_length(column)).as_py() or 1
        told.append(field)
    return votable_metadata(pa.schema(told), longest)


def _field(column: pa.Field, longest: int | None) -> str:
    datatype = _datatype(column.type, longest)
    if datatype is None:
        return ""
    said = {key: _text(value.decode(errors="replace")) for key, value in (column.metadata or {}).items()}
    attributes = {"name": _text(column.name), **datatype, "unit": said.get(b"unit"), "ucd": said.get(b"ucd")}
    text = " ".join(f"{key}={quoteattr(value)}" for key, value in attributes.items() if value)
    description = said.get(b"description")
    if not description:
        return f"<FIELD {text}/>\n"
    return f"<FIELD {text}>\n<DESCRIPTION>{escape(description)}</DESCRIPTION>\n</FIELD>\n"


def _text(value: str) -> str:
    return _NOT_XML.sub(" ", value)


def _datatype(type_: pa.DataType, longest: int | None) -> dict[str, str] | None:
    if pa.types.is_string(type_):
        return {"datatype": "unicodeChar", "arraysize": f"{longest}*" if longest else "*"}
    if pa.types.is_list(type_) and type_.value_type in _DATATYPES:
        return {"datatype": _DATATYPES[type_.value_type], "arraysize": "*"}
    return {"datatype": _DATATYPES[type_]} if type_ in _DATATYPES else None
