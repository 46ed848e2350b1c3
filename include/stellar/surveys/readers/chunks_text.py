"""Delimited text in blocks of whole lines, each parsed on its own, so that every fault has a line number."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as pa_csv

from stellar.errors import InputError
from stellar.surveys.readers.chunks_arrays import FALSE, TRUE
from stellar.surveys.readers.chunks_schema import Limits
from stellar.surveys.readers.chunks_sources import SourceFile, read_exactly, unpacked

BLOCK = 4 << 20
# a quoted cell may hold line ends, and a stray quote may not make the rest of a file one cell
_LONGEST_CELL = 32 << 20
_LONGEST_LINE = 256 << 20
_BLANKS = [" " * width for width in range(1, 65)]
NULLS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "--", "\\N", "<NA>", *_BLANKS)
_NUMBER = re.compile(r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    Parameters
    ----------
    names : tuple of str
    delimiter : str
    offset : int
        Byte at which the rows begin.
    line : int
        Number of the line at which they begin; the file's first is 1.
    newline : bytes
    comments : tuple of str
        The lines that begin with ``#`` before the header, without it.
    """

    names: tuple[str, ...]
    delimiter: str
    offset: int
    line: int
    newline: bytes = b"\n"
    comments: tuple[str, ...] = ()


class Block(NamedTuple):
    """Whole lines of a file, and the number of the first."""

    data: bytes
    line: int


def is_number(text: str) -> bool:
    """Whether it is a finite decimal number."""
    return bool(_NUMBER.match(text))


def head_lines(source: SourceFile) -> Iterator[tuple[str, bytes]]:
    """The lines of a file as text and as bytes with their ends, as many as are asked for.

    Raises
    ------
    InputError
        When a line is not UTF-8, or has no end.
    """
    with unpacked(source.path) as stream:
        rest, number, newline = b"", 0, b""
        while True:
            piece = read_exactly(stream, 1 << 16, source.path)
            if number == 0 and not rest and piece[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise InputError(f"{source}: is UTF-16; convert it: iconv -f utf-16 -t utf-8")
            rest += piece
            newline = newline or (b"\n" if b"\n" in rest else b"\r" if b"\r" in rest else b"")
            lines = rest.split(newline) if newline else [rest]
            rest = lines.pop() if piece else b""
            for raw in lines:
                number += 1
                yield _line(raw, number, source), raw + newline
            if not piece:
                return
            if len(rest) > _LONGEST_CELL:
                raise InputError(f"{source}: line {number + 1} has no end: not a text table; fetch the file again")


def _line(raw: bytes, number: int, source: SourceFile) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
    except UnicodeDecodeError:
        raise InputError(f"{source}: line {number} is not UTF-8; convert the file: iconv -f latin1 -t utf-8") from None


def split_line(line: str, delimiter: str) -> list[str]:
    """The fields of a line."""
    return [part.strip() for part in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]


def blocks(source: SourceFile, dialect: Dialect) -> Iterator[Block]:
    """The file's rows in blocks of about `BLOCK` bytes that end with a line.

    Raises
    ------
    InputError
        When the file is damaged, or a line is too long to be one.
    """
    with unpacked(source.path) as stream:
        _skip(stream, dialect.offset, source)
        rest, line = b"", dialect.line
        while piece := read_exactly(stream, BLOCK, source.path):
            rest += piece
            cut = _cut(rest, dialect.newline)
            if not cut:
                if len(rest) > _LONGEST_LINE:
                    raise InputError(f"{source}: line {line} has no end; fetch the file again")
                continue
            data, rest = rest[:cut], rest[cut:]
            yield Block(data, line)
            line += data.count(dialect.newline)
        if rest:
            yield Block(rest, line)


def _skip(stream: Any, size: int, source: SourceFile) -> None:
    while size > 0 and (piece := read_exactly(stream, min(size, BLOCK), source.path)):
        size -= len(piece)


def _cut(data: bytes, newline: bytes) -> int:
    """Length of the data's whole rows; 0 if there is none yet. A line end within quotes ends no row."""
    last = data.rfind(newline) + 1
    if not last or b'"' not in data:
        return last
    cut, odd = last, data.count(b'"', 0, last) % 2 == 1
    while odd:
        before = data.rfind(newline, 0, cut - 1) + 1
        if not before:
            # more quotes open than close for so long: they are inch marks and no quotes
            return last if len(data) > _LONGEST_CELL else 0
        odd ^= data.count(b'"', before, cut) % 2 == 1
        cut = before
    return cut


def parse(
    block: Block,
    dialect: Dialect,
    types: Mapping[str, pa.DataType],
    source: SourceFile,
    *,
    columns: Sequence[str] | None = None,
    nulls: Sequence[str] = NULLS,
) -> pa.Table:
    """A block as a table; types that are not given are inferred from the block.

    Raises
    ------
    InputError
        Naming file, line, column and value of the first row or cell that cannot be read.
    """
    wanted = list(dialect.names) if columns is None else list(columns)
    quoted = b'"' in block.data
    try:
        return pa_csv.read_csv(
            pa.BufferReader(block.data),
            read_options=pa_csv.ReadOptions(
                use_threads=False,
                column_names=list(dialect.names),
                block_size=max(len(block.data), 1) if quoted else 1 << 20,
            ),
            parse_options=pa_csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=quoted),
            convert_options=pa_csv.ConvertOptions(
                column_types={name: types[name] for name in wanted if name in types},
                include_columns=wanted,
                null_values=list(nulls),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                true_values=TRUE[:3],
                false_values=FALSE[:3],
            ),
        )
    except pa.ArrowInvalid as fault:
        raise _fault(str(fault), block, dialect, wanted, source) from None


def _fault(text: str, block: Block, dialect: Dialect, wanted: Sequence[str], source: SourceFile) -> InputError:
    """Arrow's message with the file's line and the column's name."""
    row = re.search(r"Row #(\d+): ", text)
    line = line_of(block, int(row[1]), dialect) if row else block.line
    at = f"{source}: line {line}" if row else f"{source}: near line {line}"
    ragged = re.search(r"Expected (\d+) columns, got (\d+): (.*)", text, re.DOTALL)
    if ragged:
        what = f"{ragged[2]} fields instead of {ragged[1]}: {ragged[3][:80]!r}"
        return InputError(f"{at}: {what}; mend the line, or fetch the file again if it is cut")
    cell = re.search(r"In CSV column #(\d+): .*?conversion error to (\S+): (.*)", text, re.DOTALL)
    if cell is None:
        return InputError(f"{at}: {text}; mend the file")
    name = dialect.names[int(cell[1])]
    if "UTF8" in cell[3]:
        return InputError(f"{at}, column {name}: is not UTF-8; convert the file: iconv -f latin1 -t utf-8")
    return InputError(f"{at}, column {name}: {cell[3][:80]} where {cell[2]} is expected; mend the cell")


def line_of(block: Block, row: int, dialect: Dialect) -> int:
    """The line on which the block's row (the first is 1) begins; empty lines are no rows, quoted line ends end none."""
    line, seen, open_quotes = block.line, 0, False
    for raw in block.data.split(dialect.newline):
        if not open_quotes and raw.strip(b"\r"):
            seen += 1
            if seen == row:
                return line
        open_quotes ^= raw.count(b'"') % 2 == 1
        line += 1
    return line


def gathered(tables: Iterator[pa.Table], limits: Limits) -> Iterator[pa.Table]:
    """Small tables together up to the limit."""
    together: list[pa.Table] = []
    size = rows = 0
    for table in tables:
        if together and (size + table.nbytes > limits.bytes or (limits.rows and rows + len(table) > limits.rows)):
            yield pa.concat_tables(together)
            together, size, rows = [], 0, 0
        together.append(table)
        size, rows = size + table.nbytes, rows + len(table)
    if together:
        yield pa.concat_tables(together)
