"""Tables of any kind and size as a stream of Arrow tables: what an import reads.

Each kind has its own module; here they meet: the same columns and types for every chunk, whatever the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers import (
    chunks_csv,
    chunks_ecsv,
    chunks_fits,
    chunks_parquet,
    chunks_votable,
)
from stellar.surveys.readers.chunks_schema import Limits, conform, match_names, pieces, unify
from stellar.surveys.readers.chunks_sources import KINDS, SourceFile, find_sources

__all__ = ["KINDS", "SourceFile", "common_schema", "count_rows", "find_sources", "iter_chunks", "read_schema"]

CHUNK_BYTES = 48 << 20
#: Kinds of files whose types only their rows tell.
_READ_THROUGH = ("csv", "ecsv", "votable")


class _Reader(NamedTuple):
    schema: Callable[[SourceFile], pa.Schema]
    rows: Callable[[SourceFile], int | None]
    chunks: Callable[..., Iterator[pa.Table]]


_READERS = {
    "parquet": _Reader(chunks_parquet.schema, chunks_parquet.count_rows, chunks_parquet.chunks),
    "arrow": _Reader(chunks_parquet.arrow_schema, chunks_parquet.arrow_rows, chunks_parquet.arrow_chunks),
    "csv": _Reader(chunks_csv.schema, chunks_csv.count_rows, chunks_csv.chunks),
    "ecsv": _Reader(chunks_ecsv.schema, chunks_ecsv.count_rows, chunks_ecsv.chunks),
    "fits": _Reader(chunks_fits.schema, chunks_fits.count_rows, chunks_fits.chunks),
    "votable": _Reader(chunks_votable.schema, chunks_votable.count_rows, chunks_votable.chunks),
}


def read_schema(source: SourceFile) -> pa.Schema:
    """Columns and types of a file's rows.

    Parameters
    ----------
    source : SourceFile

    Returns
    -------
    pyarrow.Schema
        Fields with the metadata unit, ucd and description where the file has them. A CSV is read through for its types
        (once in a process); a column of it without any value is null.

    Raises
    ------
    InputError
        When the file is damaged or no table.
    """
    own = _READERS[source.kind].schema(source)
    return pa.schema([*own, *(column for column in _constants(source) if column.name not in own.names)])


def count_rows(source: SourceFile) -> int | None:
    """The rows to expect: from the file's own head or foot, for a CSV once its schema was read; None where unknown."""
    return _READERS[source.kind].rows(source)


def common_schema(
    sources: Sequence[SourceFile], *, required: Sequence[str] = (), numbers: Sequence[str] = ()
) -> pa.Schema:
    """One schema for the rows of all files.

    Parameters
    ----------
    sources : sequence of SourceFile
    required : sequence of str
        Columns that every file must have (id and position).
    numbers : sequence of str
        Those of them that must be numbers (the position).

    Returns
    -------
    pyarrow.Schema
        Columns in the order in which they first appear; numbers widened where that is exact; columns of numbers and of
        text become text where the numbers are a CSV's.

    Raises
    ------
    InputError
        When a file lacks a required column, has text in one of `numbers` (naming line and cell in a CSV), or two files
        have a column in different kinds or units.
    """
    texts = [source for source in sources if source.kind in _READ_THROUGH]
    first = {source.kind: source for source in reversed(texts)}
    # the first of a kind imports what its reader needs: threads that import a library at once can wait for ever
    read = {source: read_schema(source) for source in first.values()}
    texts = [source for source in texts if source not in read]
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:  # the work is Arrow's, without the GIL
        read |= zip(texts, pool.map(read_schema, texts), strict=True)
    # a header is read sooner than a thread takes it
    schemas = [(source, read[source] if source in read else read_schema(source)) for source in sources]
    for source, schema in schemas:
        _check_required(source, schema, required)
        _check_numbers(source, schema, numbers)
    return unify(schemas)


def _check_required(source: SourceFile, schema: pa.Schema, required: Sequence[str]) -> None:
    found = zip(required, match_names(schema.names, required), strict=True)
    lacking = ", ".join(name for name, own in found if own is None)
    if lacking:
        raise InputError(
            f"{source}: there is no column {lacking}; it has {', '.join(schema.names[:60])}; "
            "name the right columns, or leave the file out"
        )


def _check_numbers(source: SourceFile, schema: pa.Schema, numbers: Sequence[str]) -> None:
    for name in match_names(schema.names, numbers):
        type_ = schema.field(name).type if name is not None else pa.null()
        if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_null(type_):
            continue
        assert name is not None
        cell = chunks_csv.first_not_number(source, name) if source.kind == "csv" else None
        where = f"line {cell[0]}, column {name}: {cell[1][:60]!r} is no number" if cell else f"column {name} is {type_}"
        raise InputError(
            f"{source}: {where}; it must be numbers (positions in degrees): mend it or name another column"
        )


def iter_chunks(
    source: SourceFile,
    *,
    columns: Sequence[str] | None = None,
    chunk_rows: int | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    schema: pa.Schema | None = None,
) -> Iterator[pa.Table]:
    """The rows of a file in its order, in tables of bounded size.

    Parameters
    ----------
    source : SourceFile
    columns : sequence of str, optional
        Columns to read, in this order; all unless given.
    chunk_rows, chunk_bytes : int
        Most rows (unless None) and bytes of a table, the latter about.
    schema : pyarrow.Schema, optional
        Of `common_schema`: the columns and types of every table, null where this file lacks a column. The file's own
        unless given.

    Yields
    ------
    pyarrow.Table
        Of at least one row, with exactly the schema's columns.

    Raises
    ------
    InputError
        Naming file, row or line and column of what cannot be read.
    """
    reader, limits = _READERS[source.kind], Limits(chunk_rows, chunk_bytes)
    target = read_schema(source) if schema is None else schema
    if columns is not None:
        lacking = [name for name in columns if name not in target.names]
        if lacking:
            raise InputError(
                f"{source}: there is no column {', '.join(lacking)}; it has {', '.join(target.names[:60])}"
            )
        target = pa.schema([target.field(name) for name in columns], metadata=target.metadata)
    own = list(chunks_csv.dialect_of(source).names) if source.kind == "csv" else reader.schema(source).names
    constants = {name: value for name, value in source.constants if name not in own}
    renamed = dict(zip(target.names, match_names([*own, *constants], target.names), strict=True))
    read = [name for name in own if name in set(renamed.values())]
    extra: tuple[Any, ...] = ()
    if source.kind == "csv":
        extra = ({renamed[name]: target.field(name).type for name in target.names if renamed[name] in read},)
    found = reader.chunks(source, read, limits, *extra)
    found = _with_constants(found, source, constants)
    yield from pieces(conform(found, target, renamed, source), limits)


def _constants(source: SourceFile) -> list[pa.Field]:
    """Columns that the folder's names give: whole numbers where they are written like one, else text."""

    def is_whole(text: str | None) -> bool:
        return text is None or (text.isascii() and text.isdigit() and str(int(text)) == text and int(text) < 2**63)

    return [pa.field(name, pa.int64() if is_whole(value) else pa.string()) for name, value in source.constants]


def _with_constants(
    chunks: Iterator[pa.Table], source: SourceFile, constants: dict[str, str | None]
) -> Iterator[pa.Table]:
    for chunk in chunks:
        for name, value in constants.items():
            chunk = chunk.append_column(name, pa.array([value], pa.string()).take(pa.array([0] * len(chunk))))
        yield chunk
