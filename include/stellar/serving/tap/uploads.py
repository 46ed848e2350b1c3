"""Tables that clients upload with a query: VOTables from strangers, read by the importer's bounded reader."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from xml.parsers import expat  # the document was read, and entities of its own refused, before

import pyarrow as pa

from stellar.errors import InputError
from stellar.lake.sql_text import quoted
from stellar.surveys.readers.chunks import iter_chunks, read_schema
from stellar.surveys.readers.chunks_sources import SourceFile

from .adql.names import Column, Table
from .published import UPLOADS
from .types import is_published, typed

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
MOST_TABLES = 8


def parse_parameter(values: Sequence[str]) -> dict[str, str]:
    """UPLOAD's pairs `name,param:part` or `name,http://…` as name -> where; several with `;` between them.

    Raises
    ------
    InputError
        When a pair is none, a name cannot be used or is used twice.
    """
    found: dict[str, str] = {}
    for pair in (one.strip() for value in values for one in value.split(";")):
        if not pair:
            continue
        name, comma, where = pair.partition(",")
        if not comma or not _NAME.fullmatch(name):
            raise InputError(f"UPLOAD={pair}: write name,param:part; a name has letters, digits and underscores")
        if not where.startswith(("param:", "http://", "https://")):
            raise InputError(f"UPLOAD={pair}: give param: and a part of the request, or an http or https address")
        if name.lower() in (known.lower() for known in found):
            raise InputError(f"UPLOAD names {name!r} twice")
        found[name] = where
    if len(found) > MOST_TABLES:
        raise InputError(f"UPLOAD brings {len(found)} tables; at most {MOST_TABLES} are taken")
    return found


def read_upload(name: str, path: Path) -> tuple[Table, pa.Table]:
    """An uploaded VOTable: how queries name it, and its rows. Columns that hold lists are left out.

    Raises
    ------
    InputError
        When the file is no VOTable with a table in it.
    """
    source = SourceFile(path, "votable")
    try:
        schema = read_schema(source)
        wanted = [field.name for field in schema if is_published(field.type)]
        if not wanted:
            raise InputError("it has no columns of numbers, text or times")
        chunks = list(iter_chunks(source, columns=wanted))
    except InputError as error:
        raise InputError(f"UPLOAD {name}: {str(error).replace(str(path), 'the table')}") from None
    told = pa.schema([schema.field(column) for column in wanted])
    rows = pa.concat_tables([told.empty_table(), *(chunk.cast(told) for chunk in chunks)])
    columns, xtypes = [], _xtypes(path)
    for field in told:
        said = {key.decode(): value.decode(errors="replace") for key, value in (field.metadata or {}).items()}
        about = {key: said.get(key, "") for key in ("unit", "ucd", "description")}
        about["xtype"] = xtypes.get(field.name, "")
        columns.append(typed(Column(field.name, **about), field.type))
    if len({column.name.lower() for column in columns}) < len(columns):
        raise InputError(f"UPLOAD {name}: two of its columns differ in upper and lower case alone; rename one")
    return Table(f"{UPLOADS}.{name}", tuple(columns), f"temp.main.{quoted(f'{UPLOADS}_{name}')}"), rows


class _Enough(Exception):  # noqa: N818 - never leaves this module
    """The FIELDs of the first table are known."""


def _xtypes(path: Path) -> dict[str, str]:
    """What the FIELDs of a VOTable, which was read before, say of their extended types."""
    found: dict[str, str] = {}

    def begins(name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if local == "DATA":
            raise _Enough
        if local == "FIELD" and (xtype := attributes.get("xtype")):
            found[(attributes.get("name") or attributes.get("ID") or "").strip()] = xtype

    parser = expat.ParserCreate()
    parser.StartElementHandler = begins
    with path.open("rb") as file, suppress(_Enough, expat.ExpatError):
        parser.ParseFile(file)
    return found
