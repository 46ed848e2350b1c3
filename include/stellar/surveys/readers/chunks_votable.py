"""VOTables of any size: the XML is read as a stream, rows come in chunks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat  # never builds a tree; entities of a document's own are refused below

import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers.chunks_schema import Limits
from stellar.surveys.readers.chunks_sources import SourceFile, read_exactly, unpacked
from stellar.surveys.readers.chunks_vobinary import BinaryRows
from stellar.surveys.readers.chunks_vofields import VoField
from stellar.surveys.readers.chunks_votext import TextRows
from stellar.surveys.readers.votable_streams import elsewhere

_PIECE = 1 << 20
_TABLEDATA = re.compile(rb"<(?:\w+:)?TABLEDATA\s*>")
_LONGEST_TAG = 64
_INCOMPLETE = ("OVERFLOW", "ERROR")


def schema(source: SourceFile) -> pa.Schema:
    """Columns of the table, with unit, UCD and description."""
    return pa.schema([column.to_arrow() for column in _head(source).fields])


def count_rows(source: SourceFile) -> int | None:
    """The TABLE's `nrows`, None where it does not say."""
    return _head(source).nrows


def chunks(source: SourceFile, columns: list[str], limits: Limits) -> Iterator[pa.Table]:
    """Rows in tables of about the limit's size.

    Raises
    ------
    InputError
        When the document is cut or not well-formed, a cell is not of its FIELD's type, rows are missing by `nrows` or
        by QUERY_STATUS.
    """
    document = _Document(source, columns)
    total, done = 0, False
    with unpacked(source.path) as stream:
        while not done:
            piece = read_exactly(stream, _PIECE, source.path)
            done = not piece
            document.feed(piece, done)
            rows = document.rows
            if (
                rows is not None
                and rows.count
                and (done or rows.nbytes >= limits.bytes or rows.count >= (limits.rows or 1 << 62))
            ):
                table = rows.take()
                total += len(table)
                yield table
    if document.nrows and not document.chosen:
        raise InputError(
            f"{source}: its TABLE has FIELDs and no DATA: it only describes a table; fetch the table itself"
        )
    if document.nrows is not None and document.nrows != total:
        raise InputError(f"{source}: {total} rows where nrows says {document.nrows}; the file is cut, fetch it again")


def fields_of(document: bytes) -> list[VoField]:
    """The FIELDs of a VOTable's first table, such as the one in a VOParquet file's footer; none if it is broken."""
    parsed = _Document(SourceFile(Path("footer"), "votable"), None)
    try:
        parsed.feed(document, True)
    except InputError:
        return []
    return parsed.fields


def _head(source: SourceFile) -> _Document:
    """The document up to its table's data."""
    document = _Document(source, None)
    with unpacked(source.path) as stream:
        while not document.chosen and (piece := read_exactly(stream, _PIECE >> 4, source.path)):
            document.feed(piece, False)
        if not document.chosen:
            document.feed(b"", True)
    return document


class _Document:
    """What has been read of a VOTable so far.

    Parameters
    ----------
    columns : list of str, optional
        Columns to read; None reads the FIELDs alone.
    """

    def __init__(self, source: SourceFile, columns: list[str] | None) -> None:
        self.source, self.columns = source, columns
        self.fields: list[VoField] = []
        self.nrows: int | None = None
        self.rows: TextRows | BinaryRows | None = None
        self.chosen = False  # the table with the rows has been reached
        self.seen: list[str] = []  # names of the tables before it
        self._path: list[str] = []
        self._text: list[str] = []
        self._over = False
        self._tables = 0
        self._wanted = False
        self._rest = b""
        self._close = b""  # within TABLEDATA: the tag that ends it
        self._lines = 0  # of rows that the parser did not see
        self._encoding = "utf-8"
        self.parser = expat.ParserCreate()
        self.parser.buffer_text, self.parser.buffer_size = True, 1 << 16
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.EntityDeclHandler = self._refuse
        self.parser.XmlDeclHandler = self._declared

    def feed(self, piece: bytes, last: bool) -> None:
        """More of the document. Rows of TABLEDATA that are plainly written are read without the parser."""
        self._rest += piece
        while self._rest:
            if self._close:
                end = self._rest.find(self._close)
                rows = self._rest[: end if end >= 0 else self._rest.rfind(self.rows.row_end) + len(self.rows.row_end)]
                if end < 0 and self.rows.row_end not in rows:
                    break
                if self.rows.plain(rows):
                    self._lines += rows.count(b"\n")
                else:
                    self._parse(rows, False)
                self._rest = self._rest[len(rows) :]
                self._close = b"" if end >= 0 else self._close
                continue
            tag = _TABLEDATA.search(self._rest)
            end = tag.end() if tag else len(self._rest) - (0 if last else _LONGEST_TAG)
            if end <= 0:
                break
            before = self.rows
            self._parse(self._rest[:end], False)
            self._rest = self._rest[end:]
            if isinstance(self.rows, TextRows) and before is None and self._encoding in ("utf-8", "us-ascii"):
                self._close = b"</" + self.rows.prefix.encode() + b"TABLEDATA"
        if last:
            self._parse(self._rest, True)
        if last and not self.chosen and not self.fields:
            which = f" {self.source.part!r}; it has {', '.join(self.seen)}" if self.source.part and self.seen else ""
            raise InputError(f"{self.source}: there is no table{which} in this VOTable")

    def _parse(self, data: bytes, last: bool) -> None:
        try:
            self.parser.Parse(data, last)
        except expat.ExpatError as fault:
            what = f"line {fault.lineno + self._lines}: {expat.ErrorString(fault.code)}"
            cut = "it is cut" if last else "it is damaged"
            raise InputError(f"{self.source}: not a well-formed VOTable ({what}): {cut}; fetch it again") from None

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        self._encoding = (encoding or "utf-8").lower()

    def _fault(self, what: str) -> InputError:
        return InputError(f"{self.source}: line {self.parser.CurrentLineNumber + self._lines}: {what}")

    def _refuse(self, *_: Any) -> None:
        raise self._fault("entities of its own are not read; convert the file to Parquet")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        prefix, _, _ = tag.rpartition(":")
        tag = tag.rpartition(":")[2]
        self._path.append(tag)
        self._text.clear()
        if self._over:
            if tag == "INFO":
                self._info(attributes)
            return
        if tag == "INFO":
            self._info(attributes)
        elif tag == "TABLE":
            self._table(attributes)
        elif tag == "FIELD" and self._wanted:
            self.fields.append(VoField.of(attributes))
        elif tag == "VALUES" and "FIELD" in self._path and self._wanted and self.fields:
            self.fields[-1].null = attributes.get("null", self.fields[-1].null)
        elif tag == "DATA" and self._wanted:
            self._choose()
        elif tag in ("TABLEDATA", "BINARY", "BINARY2", "FITS") and self.chosen and self.columns is not None:
            self._rows(tag, f"{prefix}:" if prefix else "")
        elif tag == "STREAM" and isinstance(self.rows, BinaryRows):
            self._stream(attributes)

    def _end(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        self._path.pop()
        if self._over or not self._wanted:
            return
        if tag == "DESCRIPTION" and self._path[-1:] == ["FIELD"]:
            self.fields[-1].description = "".join(self._text).strip()
        elif tag == "STREAM" and isinstance(self.rows, BinaryRows):
            self.rows.end(self._fault)
            self.parser.CharacterDataHandler = None
        elif tag == "TABLE":
            self._over, self._wanted = self.chosen, False

    def _table(self, attributes: dict[str, str]) -> None:
        self._tables += 1
        name = attributes.get("name") or attributes.get("ID") or ""
        self.seen.append(f"{self._tables} ({name})" if name else str(self._tables))
        part = self.source.part
        self._wanted = part is None or part in (str(self._tables), name, attributes.get("ID"))
        self.parser.CharacterDataHandler = self._text.append if self._wanted else None
        if self._wanted:
            self.fields = []
            rows = attributes.get("nrows", "")
            self.nrows = int(rows) if rows.isdigit() else None

    def _info(self, attributes: dict[str, str]) -> None:
        """Services say so when they did not send all rows, before the table or after it (TAP 1.1, DALI 1.1)."""
        if attributes.get("name") == "QUERY_STATUS" and attributes.get("value", "").upper() in _INCOMPLETE:
            raise self._fault(
                f"QUERY_STATUS is {attributes['value']}: rows are missing; ask the archive for all of them, "
                "or take this INFO element out of the file to import it as it is"
            )

    def _choose(self) -> None:
        names = [column.name for column in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1 or not name})
        if twice:
            raise self._fault(f"FIELD name {twice[0]!r} is empty or stands twice; give each FIELD a name of its own")
        try:
            for column in self.fields:
                column.type  # noqa: B018 - raises on an unknown one
        except InputError as fault:
            raise self._fault(str(fault)) from None
        self.chosen = True

    def _rows(self, tag: str, prefix: str) -> None:
        if tag == "FITS":
            raise self._fault("its data are FITS; import the FITS file itself")
        if tag == "TABLEDATA":
            self.rows = TextRows(self.source, self.fields, self.columns or [], prefix)
            self._cells(self.rows)
        else:
            self.rows = BinaryRows(self.source, self.fields, self.columns or [], masked=tag == "BINARY2")

    def _stream(self, attributes: dict[str, str]) -> None:
        if attributes.get("href"):
            raise self._fault(elsewhere(attributes["href"]))
        if attributes.get("encoding", "").strip().lower() != "base64":
            raise self._fault(
                f"its STREAM is in {attributes.get('encoding')!r}, not base64; convert the file to Parquet"
            )
        assert isinstance(self.rows, BinaryRows)
        self.parser.CharacterDataHandler = self.rows.feed

    def _cells(self, rows: TextRows) -> None:
        """Within TABLEDATA only cells and rows count: handlers that do little, for they are called for each."""
        cell, row, end = (f"{rows.prefix}{tag}" for tag in ("TD", "TR", "TABLEDATA"))
        text, fault = self._text, self._fault

        def start(tag: str, attributes: dict[str, str]) -> None:
            text.clear()
            if attributes:
                rows.encoded(attributes, fault)

        def stop(tag: str) -> None:
            if tag == cell:
                rows.cell("".join(text))
            elif tag == row:
                rows.end_row(fault)
            elif tag == end:
                self.parser.StartElementHandler, self.parser.EndElementHandler = self._start, self._end
                self.parser.CharacterDataHandler = None
                self._end(tag)

        self.parser.StartElementHandler, self.parser.EndElementHandler = start, stop
