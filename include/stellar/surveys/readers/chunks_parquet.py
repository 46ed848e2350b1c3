"""Parquet and Arrow IPC files, a few row groups or batches at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.errors import InputError
from stellar.surveys.readers.chunks_schema import KEYS, Limits, field, plain_type
from stellar.surveys.readers.chunks_sources import HATS_HIVE, SourceFile

_VOTABLE = b"IVOA.VOTable-Parquet.content"
_ASTROPY = b"table_meta_yaml"
_BUFFER = 1 << 18  # bytes read ahead of each column; without it (or with pre_buffer) whole row groups are
_FEW = 4096  # rows at a time where their size cannot be foreseen
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}


def schema(source: SourceFile) -> pa.Schema:
    """Columns with ordinary types, and unit, UCD and description where the file's metadata have them."""
    with _parquet(source) as file:
        return _described(file.schema_arrow, source)


def count_rows(source: SourceFile) -> int:
    """Rows by the footer."""
    with _parquet(source) as file:
        return int(file.metadata.num_rows)


def chunks(source: SourceFile, columns: list[str], limits: Limits) -> Iterator[pa.Table]:
    """Row groups together up to the limit; a larger one in even parts.

    Raises
    ------
    InputError
        When a page is damaged.
    """
    with _parquet(source) as file:
        meta, done = file.metadata, 0
        together: list[int] = []
        size = rows = 0
        try:
            for group in range(meta.num_row_groups):
                count = meta.row_group(group).num_rows
                if not count:
                    continue
                need = _memory(meta.row_group(group), set(columns))
                full = need is None or size + need > limits.bytes or (limits.rows and rows + count > limits.rows)
                if together and full:
                    yield file.read_row_groups(together, columns, use_threads=False)
                    done, together, size, rows = done + rows, [], 0, 0
                if need is None or need > limits.bytes or (limits.rows and count > limits.rows):
                    most = min(_FEW, limits.rows or _FEW) if need is None else limits.rows_of(need / count)
                    parts = -(-count // most)
                    for batch in file.iter_batches(-(-count // parts), [group], columns, use_threads=False):
                        yield pa.Table.from_batches([batch])
                    done += count
                else:
                    together, size, rows = [*together, group], size + need, rows + count
            if together:
                yield file.read_row_groups(together, columns, use_threads=False)
        except (OSError, pa.ArrowException) as fault:
            raise InputError(f"{source}: damaged after row {done}: {fault}; fetch the file again") from None


def _memory(group: Any, columns: set[str]) -> int | None:
    """Bytes that a row group's columns take in memory, about; None where dictionaries hide the size of its texts."""
    total = 0
    for i in range(group.num_columns):
        column = group.column(i)
        path = column.path_in_schema.split(".")  # a nested one, or a name with a dot in it
        if not any(".".join(path[: end + 1]) in columns for end in range(len(path))):
            continue
        width = _WIDTHS.get(column.physical_type)
        if width is not None:
            total += column.num_values * width
        elif not column.has_dictionary_page:
            total += column.total_uncompressed_size + 4 * column.num_values
        else:
            longest = _longest(column)
            if longest is None:
                return None
            total += (longest + 4) * column.num_values
    return total


def _longest(column: Any) -> int | None:
    """Of a dictionary's texts, by the statistics: as good a guess as any; None if they tell nothing."""
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        return 0 if statistics is not None and statistics.null_count == column.num_values else None
    return max(len(statistics.min_raw), len(statistics.max_raw), 16)


@contextmanager
def _parquet(source: SourceFile) -> Iterator[pq.ParquetFile]:
    try:
        file = pq.ParquetFile(source.path, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as fault:
        raise InputError(f"{source}: not a readable Parquet file: {fault}; fetch it again") from None
    with file:
        yield file


def _described(schema: pa.Schema, source: SourceFile) -> pa.Schema:
    """The schema in ordinary types; what a field says itself goes before what the footer says of it."""
    footer = schema.metadata or {}
    known = _of_votable(footer) | _of_astropy(footer)
    fields = []
    for column in schema:
        if source.hats and column.name in HATS_HIVE:
            continue
        about = {**known.get(column.name, {}), **{k.decode(): v.decode() for k, v in (column.metadata or {}).items()}}
        fields.append(field(column.name, plain_type(column.type), **{key: about.get(key) for key in KEYS}))
    names = [column.name for column in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{source}: column {twice!r} stands twice; rename one of them")
    return pa.schema(fields)


def _of_votable(footer: Mapping[bytes, bytes]) -> dict[str, dict[str, str | None]]:
    """From the VOTable that VOParquet keeps in the footer."""
    if _VOTABLE not in footer:
        return {}
    from stellar.surveys.readers.chunks_votable import fields_of

    return {
        column.name: {"unit": column.unit, "ucd": column.ucd, "description": column.description}
        for column in fields_of(footer[_VOTABLE])
    }


def _of_astropy(footer: Mapping[bytes, bytes]) -> dict[str, dict[str, str | None]]:
    """From the header that astropy keeps in the footer."""
    if _ASTROPY not in footer:
        return {}
    from stellar.surveys.readers.chunks_ecsv import header_of

    try:
        header = header_of(footer[_ASTROPY].decode().splitlines())
    except (ValueError, UnicodeDecodeError):
        return {}
    return {
        column["name"]: {"unit": column.get("unit"), "ucd": None, "description": column.get("description")}
        for column in header["datatype"]
    }


@contextmanager
def _arrow(source: SourceFile) -> Iterator[pa.ipc.RecordBatchFileReader]:
    try:
        with pa.memory_map(str(source.path)) as mapped, pa.ipc.open_file(mapped) as reader:
            yield reader
    except (OSError, pa.ArrowException) as fault:
        raise InputError(f"{source}: not a readable Arrow file: {fault}; fetch it again") from None


def arrow_schema(source: SourceFile) -> pa.Schema:
    """Columns of an Arrow IPC (Feather) file."""
    with _arrow(source) as reader:
        return _described(reader.schema, source)


def arrow_rows(source: SourceFile) -> int | None:
    """None: an Arrow file's footer does not count rows."""
    return None


def arrow_chunks(source: SourceFile, columns: list[str], limits: Limits) -> Iterator[pa.Table]:
    """Batches together up to the limit.

    Raises
    ------
    InputError
        When a batch is damaged.
    """
    with _arrow(source) as reader:
        together: list[pa.RecordBatch] = []
        size = rows = 0
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i).select(columns)
            over = size + batch.nbytes > limits.bytes or (limits.rows and rows + len(batch) > limits.rows)
            if together and over:
                yield pa.Table.from_batches(together)
                together, size, rows = [], 0, 0
            together, size, rows = [*together, batch], size + batch.nbytes, rows + len(batch)
        if together:
            yield pa.Table.from_batches(together)
