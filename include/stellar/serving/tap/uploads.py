"""Tables that clients upload with a query: VOTables from strangers, read by the importer's bounded reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat  # the document was read, and entities of its own refused, before

import pyarrow as pa

from stellar.errors import InputError
from stellar.lake.sql_text import quoted
from stellar.serving.results import Column, is_published, typed
from stellar.surveys.readers.chunks import iter_chunks, read_schema
from stellar.surveys.readers.chunks_sources import SourceFile

from .adql.names import Table
from .published import UPLOADS

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
MOST_TABLES = 8
#: How an XML document begins: a tag, or the marks of UTF-8 and UTF-16; no packed file does so.
_XML = (b"<", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
#: Rows of so many bytes are read at a time: what may end a query is asked between.
_CHUNK_BYTES = 4 << 20


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


def joined(first: str, then: str) -> str:
    """The UPLOADs of two requests as one; a table that the second names again is the second's.

    Raises
    ------
    InputError
        When one cannot be read, or both bring too many tables.
    """
    named = parse_parameter([then])
    again = {name.lower() for name in named}
    kept = {name: where for name, where in parse_parameter([first]).items() if name.lower() not in again}
    both = ";".join(f"{name},{where}" for name, where in (kept | named).items())
    parse_parameter([both])
    return both


@dataclass
class Room:
    """What is left for the rows of a query's uploads.

    Attributes
    ----------
    nbytes : int
        Memory.
    rows : int
    check : callable
        Raises when the query should end.
    """

    nbytes: int
    rows: int
    check: Callable[[], None]

    def take(self, chunk: pa.Table) -> pa.Table:
        """A chunk that there is room for.

        Raises
        ------
        InputError
            When there is none.
        """
        self.check()
        self.nbytes -= chunk.nbytes
        self.rows -= len(chunk)
        if self.nbytes < 0 or self.rows < 0:
            what = "rows" if self.rows < 0 else "memory"
            raise InputError(f"it takes more {what} than uploads may; upload fewer rows and columns")
        return chunk


def read_uploads(files: Mapping[str, Path], room: Room) -> list[tuple[Table, pa.Table]]:
    """Uploaded VOTables: how queries name each, and its rows. Columns that hold lists are left out.

    Raises
    ------
    InputError
        When a file is no VOTable in plain XML with a table in it, or there is no room for the rows of all.
    """
    return [_read(name, path, room) for name, path in files.items()]


def _read(name: str, path: Path, room: Room) -> tuple[Table, pa.Table]:
    room.check()
    with path.open("rb") as file:
        # The reader would unpack it, and nobody knows to how much.
        if not file.read(1 << 12).lstrip().startswith(_XML):
            raise InputError(f"UPLOAD {name}: it is not XML; send a VOTable, and send it unpacked")
    source = SourceFile(path, "votable")
    try:
        schema = read_schema(source)
        wanted = [field.name for field in schema if is_published(field.type)]
        if not wanted:
            raise InputError("it has no columns of numbers, text or times")
        chunks = [room.take(chunk) for chunk in iter_chunks(source, columns=wanted, chunk_bytes=_CHUNK_BYTES)]
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
