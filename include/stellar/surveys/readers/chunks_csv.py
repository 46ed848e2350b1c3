"""CSV and TSV of any size: the types are decided from the whole file, so that no value is lost to a guess."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.errors import InputError
from stellar.surveys.readers.chunks_schema import Limits, field
from stellar.surveys.readers.chunks_sources import SourceFile
from stellar.surveys.readers.chunks_text import (
    Block,
    Dialect,
    blocks,
    gathered,
    head_lines,
    is_number,
    line_of,
    parse,
    split_line,
)

EXACT = 2**53  # integers beyond it are rounded by a float
_NANOSECONDS = (-(2**63) // 10**9 + 1, 2**63 // 10**9 - 1)  # seconds that a timestamp in nanoseconds reaches
_INTEGER = r"^\s*[+-]?[0-9]+\s*$"
_NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_INFINITE = r"(?i)^\s*[+-]?inf(inity)?\s*$"


@dataclass
class Column:
    """What has been seen of a column: the kind of its values, and the least and greatest of integers and times."""

    kind: pa.DataType = dataclass_field(default_factory=pa.null)
    low: int | None = None
    high: int | None = None

    def see(self, kind: pa.DataType, low: int | None = None, high: int | None = None) -> None:
        """Widen the kind to hold the values of one more block."""
        lows, highs = ([v for v in pair if v is not None] for pair in ((self.low, low), (self.high, high)))
        self.low, self.high = min(lows, default=None), max(highs, default=None)
        self.kind = self._joined(kind)

    def _joined(self, kind: pa.DataType) -> pa.DataType:
        kinds = {self.kind, kind} - {pa.null()}
        if len(kinds) <= 1:
            return kinds.pop() if kinds else pa.null()
        low, high = self.low or 0, self.high or 0
        if kinds == {pa.int64(), pa.float64()}:
            return pa.float64() if low >= -EXACT and high <= EXACT else pa.string()
        if kinds == {pa.int64(), pa.uint64()}:
            return pa.uint64() if low >= 0 else pa.string()
        seconds, nanoseconds = pa.timestamp("s"), pa.timestamp("ns")
        if kinds <= {pa.date32(), seconds, nanoseconds}:
            within = _NANOSECONDS[0] <= low and high <= _NANOSECONDS[1]
            return seconds if nanoseconds not in kinds else nanoseconds if within else pa.string()
        return pa.string()


@dataclass
class Facts:
    """What reading a whole file has told."""

    dialect: Dialect
    columns: dict[str, Column]
    rows: int = 0


_known: dict[tuple[Path, int, int], Facts] = {}
_lock = threading.Lock()


def _key(source: SourceFile) -> tuple[Path, int, int]:
    status = source.path.stat()
    return source.path.resolve(), status.st_size, status.st_mtime_ns


def schema(source: SourceFile) -> pa.Schema:
    """Columns with the narrowest types that hold every value of the file; null for a column without values.

    Reads the file once (its facts are kept for the life of the process).
    """
    facts = facts_of(source)
    return pa.schema([field(name, column.kind) for name, column in facts.columns.items()])


def count_rows(source: SourceFile) -> int | None:
    """Rows, where the file has been read for its schema; else None."""
    facts = _known.get(_key(source))
    return facts.rows if facts else None


def facts_of(source: SourceFile) -> Facts:
    """Types and rows of the file, read through once.

    Raises
    ------
    InputError
        Naming the line that has another number of fields than the header, or is not UTF-8.
    """
    key = _key(source)
    facts = _known.get(key)
    if facts is None:
        facts = _scan(source)
        with _lock:
            _known[key] = facts
    return facts


def _scan(source: SourceFile) -> Facts:
    facts = Facts(dialect_of(source), {})
    facts.columns = {name: Column() for name in facts.dialect.names}
    for block in blocks(source, facts.dialect):
        # what is text stays text; all else is inferred from each block anew, which costs no more than to be told
        texts = {name: pa.string() for name, column in facts.columns.items() if pa.types.is_string(column.kind)}
        table = parse(block, facts.dialect, texts, source)
        facts.rows += len(table)
        for name, column in facts.columns.items():
            column.see(*_kind(table[name], name, block, facts.dialect, source))
    return facts


def _kind(
    values: pa.ChunkedArray, name: str, block: Block, dialect: Dialect, source: SourceFile
) -> tuple[pa.DataType, int | None, int | None]:
    """The kind of a block's values, and their least and greatest where that matters."""
    type_ = values.type
    if pa.types.is_null(type_) or pa.types.is_boolean(type_) or pa.types.is_string(type_):
        return type_, None, None
    if pa.types.is_int64(type_):
        return type_, *_extent(values)
    if pa.types.is_float64(type_):
        return (type_, None, None) if _is_exact(values) else _of_large(name, block, dialect, source)
    if pa.types.is_date32(type_) or type_ in (pa.timestamp("s"), pa.timestamp("ns")):
        return type_, *_extent(values.cast(pa.timestamp("s"), safe=False).cast(pa.int64()))
    if pa.types.is_timestamp(type_):
        return type_, None, None
    if pa.types.is_binary(type_):
        parse(block, dialect, {name: pa.string()}, source, columns=[name])  # says which line is not UTF-8
    return pa.string(), None, None  # times of day: more often they are sexagesimal angles


def _extent(values: pa.ChunkedArray) -> tuple[int | None, int | None]:
    found = pc.min_max(values)
    return found["min"].as_py(), found["max"].as_py()


def _is_exact(values: pa.ChunkedArray) -> bool:
    """Whether no float is so large that it may be a rounded integer or an overflow."""
    found = pc.min_max(values)
    low, high = found["min"].as_py(), found["max"].as_py()
    return low is None or (low > -EXACT and high < EXACT)


def _of_large(
    name: str, block: Block, dialect: Dialect, source: SourceFile
) -> tuple[pa.DataType, int | None, int | None]:
    """The kind of a column with large numbers, by their digits: unsigned, float, or text where both would lose."""
    text = parse(block, dialect, {name: pa.string()}, source, columns=[name])[name].drop_null()
    whole = pc.match_substring_regex(text, _INTEGER)
    integers = [int(digits) for digits in text.filter(whole).to_pylist()]
    low, high = min(integers, default=0), max(integers, default=0)
    plus = pc.any(pc.match_substring(text, "+")).as_py()
    if len(integers) == len(text) and low >= 0 and high < 2**64 and not plus:
        return pa.uint64(), low, high
    if low < -EXACT or high > EXACT or _overflows(text.filter(pc.invert(whole))):
        return pa.string(), None, None
    return pa.float64(), None, None


def _overflows(text: pa.ChunkedArray) -> bool:
    """Whether a number such as 1e400 has no float."""
    infinite = pc.is_inf(text.cast(pa.float64()))
    return bool(pc.any(pc.and_not(infinite, pc.match_substring_regex(text, _INFINITE))).as_py())


def chunks(
    source: SourceFile, columns: list[str], limits: Limits, types: Mapping[str, pa.DataType]
) -> Iterator[pa.Table]:
    """Rows in tables of about the limit's size, with these types.

    Raises
    ------
    InputError
        When a cell is not of its column's type: naming line, column and value.
    """
    facts = _known.get(_key(source))
    dialect = facts.dialect if facts else dialect_of(source)
    seen = facts.columns if facts else {}
    # a float of the schema may round what is an integer here
    doubtful = [n for n in columns if pa.types.is_floating(types[n]) and not _float_or_small(seen.get(n))]

    def tables() -> Iterator[pa.Table]:
        for block in blocks(source, dialect):
            table = parse(block, dialect, types, source, columns=columns)
            for name in doubtful:
                if not _is_exact(table[name]):
                    _refuse_rounding(name, block, dialect, source)
            yield table

    yield from gathered(tables(), limits)


def _float_or_small(column: Column | None) -> bool:
    if column is None:
        return False
    small = (column.low or 0) >= -EXACT and (column.high or 0) <= EXACT
    return (
        pa.types.is_null(column.kind) or pa.types.is_float64(column.kind) or (pa.types.is_int64(column.kind) and small)
    )


def _refuse_rounding(name: str, block: Block, dialect: Dialect, source: SourceFile) -> None:
    if not pa.types.is_float64(_of_large(name, block, dialect, source)[0]):
        raise InputError(
            f"{source}: column {name}: near line {block.line} are integers that the floats which this column is "
            "elsewhere would round; write them in all files without a decimal point, or rename the column"
        )


def first_not_number(source: SourceFile, column: str) -> tuple[int, str] | None:
    """Line and text of the first cell of a column that is no number: why the column is text. None if all are."""
    dialect = dialect_of(source)
    for block in blocks(source, dialect):
        # an empty cell must keep its row
        text = parse(block, dialect, {column: pa.string()}, source, columns=[column])[column]
        good = pc.or_(pc.match_substring_regex(text, _NUMBER), pc.match_substring_regex(text, _INFINITE))
        wrong = np.flatnonzero(~np.asarray(pc.fill_null(good, True), bool))
        if len(wrong):
            return line_of(block, int(wrong[0]) + 1, dialect), str(text[int(wrong[0])])
    return None


def dialect_of(source: SourceFile) -> Dialect:
    """Header, delimiter and place of the first row.

    Comment lines (``#``) at the top are passed over; the last of them may be the header, as some tools write it.

    Raises
    ------
    InputError
        When there is no header line, or a name stands twice in it.
    """
    comments: list[str] = []
    offset = number = 0
    for line, raw in head_lines(source):
        number += 1
        if not line.strip() or line.startswith("#"):
            offset += len(raw)
            comments += [line[1:].strip()] if line.startswith("#") else []
            continue
        delimiter = _delimiter(line, source)
        names = split_line(line, delimiter)
        start, at = offset + len(raw), number + 1
        if any(is_number(name) for name in names):  # a row of data: no name is a number
            header = split_line(comments[-1], delimiter) if comments else []
            if len(header) != len(names) or any(is_number(name) for name in header):
                raise InputError(
                    f"{source}: line {number} looks like data where a header is expected: {line[:80]!r}; "
                    "put a line with the columns' names before it"
                )
            names, start, at = header, offset, number
        return Dialect(_names(names, number, source), delimiter, start, at, raw[-1:] or b"\n", tuple(comments))
    raise InputError(f"{source}: there is no header line; fetch the file again")


def _delimiter(header: str, source: SourceFile) -> str:
    name = source.path.name.lower()
    likely = "\t" if ".tsv" in name or ".tab" in name else ","
    return likely if likely in header else max((likely, ",", "\t", ";", "|"), key=header.count)


def _names(given: list[str], line: int, source: SourceFile) -> tuple[str, ...]:
    """The header's names; one that is empty (pandas' index) becomes its place."""
    names = [name or f"column_{place}" for place, name in enumerate(given, start=1)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{source}: line {line}: column {twice} stands twice in the header; rename one of them")
    return tuple(names)
