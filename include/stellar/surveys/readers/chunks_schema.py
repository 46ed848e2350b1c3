"""Schemas of imported files: what is known of a column, one schema for many files, and tables cast to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stellar.errors import InputError
from stellar.surveys.readers.chunks_sources import SourceFile

KEYS = ("unit", "ucd", "description")
# kinds whose values are written as text, so that a column may be read as text again
TEXT_KINDS = ("csv",)


class Limits(NamedTuple):
    """How large a chunk may be: rows (None: any number) and bytes in memory, roughly."""

    rows: int | None
    bytes: int

    def rows_of(self, row_bytes: float) -> int:
        """Rows of this size that make a chunk."""
        rows = max(1, int(self.bytes / max(row_bytes, 1.0)))
        return min(rows, self.rows) if self.rows else rows


def field(
    name: str, type_: pa.DataType, unit: str | None = None, ucd: str | None = None, description: str | None = None
) -> pa.Field:
    """A nullable column with what the file says of it, under the keys that the lake keeps: unit, ucd, description."""
    given = {"unit": unit, "ucd": ucd, "description": description}
    about = {key: " ".join(str(value).split()) for key, value in given.items() if value is not None}
    return pa.field(name, type_, metadata={key: value for key, value in about.items() if value} or None)


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The ordinary type of a column's values: no dictionaries, no 64-bit offsets, no views, no half floats."""
    kinds = pa.types
    if kinds.is_dictionary(type_) or kinds.is_run_end_encoded(type_):
        return plain_type(type_.value_type)
    if kinds.is_large_string(type_) or kinds.is_string_view(type_):
        return pa.string()
    if kinds.is_large_binary(type_) or kinds.is_binary_view(type_) or kinds.is_fixed_size_binary(type_):
        return pa.binary()
    if kinds.is_float16(type_):
        return pa.float32()
    if kinds.is_fixed_size_list(type_):
        return pa.list_(pa.field("element", plain_type(type_.value_type)), type_.list_size)
    if kinds.is_list(type_) or kinds.is_large_list(type_):
        return pa.list_(pa.field("element", plain_type(type_.value_type)))
    if kinds.is_struct(type_):
        return pa.struct([(part.name, plain_type(part.type)) for part in type_])
    return type_


def join_types(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both, without loss or with an error for the value; None if none does."""
    if first == second:
        return first
    kinds = pa.types
    if kinds.is_binary(first) or kinds.is_binary(second) or kinds.is_decimal(first) != kinds.is_decimal(second):
        # text in bytes, or exact decimals in floats, would change meaning silently
        return first if kinds.is_null(second) else second if kinds.is_null(first) else None
    if {first, second} <= {pa.date32(), *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns"))}:
        return second if kinds.is_date(first) else first if kinds.is_date(second) else _unified(first, second)
    return _unified(first, second)


def _unified(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    one, two = (pa.schema([("x", type_)]) for type_ in (first, second))
    try:
        return plain_type(pa.unify_schemas([one, two], promote_options="permissive").field(0).type)
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


def unify(schemas: Sequence[tuple[SourceFile, pa.Schema]]) -> pa.Schema:
    """One schema that the rows of all files fit: columns in the order in which they first appear.

    Names are matched exactly, else without regard to case, as FITS and SQL do; the first file's spelling stays. Columns
    without any value become text.

    Raises
    ------
    InputError
        When a column is of different kinds in two files, or in different units: names both and the column.
    """
    fields: dict[str, tuple[pa.Field, SourceFile]] = {}
    texts: dict[str, bool] = {}  # whether all files so far can give the column as text
    last: pa.Schema | None = None
    for source, schema in schemas:
        is_text = source.kind in TEXT_KINDS
        if last is not None and schema.equals(last, check_metadata=True):  # files of one catalogue are mostly alike
            texts = {name: text and (is_text or name not in schema.names) for name, text in texts.items()}
            continue
        last = schema
        taken = dict(zip(schema.names, match_names(list(fields), schema.names), strict=True))
        for column in schema:
            known = taken[column.name]
            hive = any(column.name == name for name, _ in source.constants)
            if known is None:
                fields[column.name], texts[column.name] = (column, source), is_text or hive
            else:
                old, first = fields[known]
                joined = _join(old, column, first, source, texts[known], is_text or hive)
                fields[known], texts[known] = (joined, first), texts[known] and (is_text or hive)
    return pa.schema(
        [column.with_type(pa.string()) if pa.types.is_null(column.type) else column for column, _ in fields.values()]
    )


def match_names(wanted: Sequence[str], given: Sequence[str]) -> list[str | None]:
    """For each name of `given` the one of `wanted` that it is: the same, else the only one that differs in case."""
    exact = set(wanted)
    loose: dict[str, list[str]] = {}
    for name in wanted:
        loose.setdefault(name.casefold(), []).append(name)
    folds = Counter(map(str.casefold, given))
    taken = set(given)
    found: list[str | None] = []
    for name in given:
        near = loose.get(name.casefold(), [])
        usable = len(near) == 1 and folds[name.casefold()] == 1 and near[0] not in taken
        found.append(name if name in exact else near[0] if usable else None)
    return found


def _join(
    old: pa.Field, new: pa.Field, first: SourceFile, source: SourceFile, old_text: bool, new_text: bool
) -> pa.Field:
    type_ = join_types(old.type, new.type)
    if type_ is None:
        old_may, new_may = old_text or pa.types.is_string(old.type), new_text or pa.types.is_string(new.type)
        if not (old_may and new_may):
            raise InputError(
                f"column {old.name} is {old.type} in {first} and {new.type} in {source}; "
                "convert one of them or import them under different names"
            )
        type_ = pa.string()
    about = {**(new.metadata or {}), **(old.metadata or {})}
    units = [(column.metadata or {}).get(b"unit", b"").decode() for column in (old, new)]
    if all(units) and units[0] != units[1] and _differ(units[0], units[1]):
        raise InputError(
            f"column {old.name} is in {units[0]} in {first} and in {units[1]} in {source}; "
            "convert one of them or import them under different names"
        )
    return pa.field(old.name, type_, metadata=about or None)


def _differ(first: str, second: str) -> bool:
    """Whether both are units that astropy knows and they are not the same; unknown spellings are left alone."""
    from astropy import units

    try:
        return bool(units.Unit(first) != units.Unit(second))
    except ValueError:
        return False


def conform(
    chunks: Iterator[pa.Table], target: pa.Schema, renamed: Mapping[str, str | None], source: SourceFile
) -> Iterator[pa.Table]:
    """The tables with `target`'s columns and types; `renamed` gives a target column's name in the file, None if absent.

    Raises
    ------
    InputError
        When a value does not fit the target's type without loss: names file, row, column and value.
    """
    start = 0
    for chunk in chunks:
        columns = []
        for wanted in target:
            name = renamed[wanted.name]
            if name is None:
                columns.append(pa.nulls(len(chunk), wanted.type))
                continue
            values = chunk[name]
            columns.append(values if values.type == wanted.type else _cast(values, wanted, start, source))
        start += len(chunk)
        yield pa.Table.from_arrays(columns, schema=target)


def _cast(values: pa.ChunkedArray, wanted: pa.Field, start: int, source: SourceFile) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_run_end_encoded(values.type):
        values = pa.chunked_array([pc.run_end_decode(part) for part in values.chunks], values.type.value_type)
    try:
        if pa.types.is_string(wanted.type) and not _textual(values.type):
            raise pa.ArrowInvalid("not text")
        return values.cast(wanted.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        row = first_bad(values, wanted.type)
        raise InputError(
            f"{source}: row {start + row + 1}, column {wanted.name}: {str(values[row])[:60]} ({values.type}) cannot "
            f"be {wanted.type}, which the column is in the files of this import together; convert the file"
        ) from None


def _textual(type_: pa.DataType) -> bool:
    return pa.types.is_string(plain_type(type_)) or pa.types.is_null(type_) or pa.types.is_binary(plain_type(type_))


def first_bad(values: pa.ChunkedArray, type_: pa.DataType) -> int:
    """Index of the first value that cannot be cast, by bisection; 0 where no single one is to blame."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            values.slice(low, middle - low).cast(type_)
            low = middle
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            high = middle
    return low


def pieces(chunks: Iterator[pa.Table], limits: Limits) -> Iterator[pa.Table]:
    """Tables cut to the limits; those within them pass untouched."""
    for chunk in chunks:
        rows = len(chunk)
        step = limits.rows_of(chunk.nbytes / rows) if rows else 1
        if rows <= step or (chunk.nbytes <= 2 * limits.bytes and rows <= (limits.rows or rows)):
            if rows:
                yield chunk
            continue
        for start in range(0, rows, step):
            yield chunk.slice(start, step)
