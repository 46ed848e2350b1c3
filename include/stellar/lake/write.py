"""Partition files: the same rows give the same bytes, whatever order, chunks or threads they came in."""

from __future__ import annotations

import hashlib
import mmap
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .canonical import canonical, with_index
from .voparquet import votable_footer

__all__ = ["WRITER", "PartitionFile", "canonical", "file_sha256", "row_bytes", "sync", "with_index", "write_partition"]

#: A partition has as few row groups as hold at most this many rows and bytes each, of even sizes.
ROW_GROUP_ROWS = 100_000
ROW_GROUP_BYTES = 64 << 20

#: Everything that decides a file's bytes beside its rows. It goes into the keys of what is written.
WRITER: dict[str, Any] = {
    "writer": 2,
    "pyarrow": pa.__version__,
    "format": "2.6",
    "compression": "zstd",
    "compression_level": 1,
    "row_group_rows": ROW_GROUP_ROWS,
    "row_group_bytes": ROW_GROUP_BYTES,
    "page_bytes": 1 << 20,
}


class PartitionFile(NamedTuple):
    """A file that was written: where, how many rows and bytes, and the SHA-256 of its bytes (hex)."""

    path: Path
    rows: int
    bytes: int
    sha256: str


def write_partition(
    table: pa.Table,
    path: Path,
    *,
    id_column: str | Sequence[str],
    sky: bool | None = None,
    position: tuple[str, str] = ("ra", "dec"),
    keep_index: bool = False,
    synced: bool = True,
) -> PartitionFile:
    """Write rows to a Parquet file, canonical to the byte, complete or not at all (once it is `synced`).

    Rows are sorted by `_healpix_29` (where the table is on the sky), then the id, then all other columns. A NaN in a
    scalar column becomes null, NaNs in lists and structs get one bit pattern, and -0.0 becomes 0.0. The footer holds
    a VOTable header with the columns' units, UCDs and descriptions.

    Parameters
    ----------
    table : pyarrow.Table
    path : Path
        Folders are made. Written under a temporary name in the same folder, then renamed.
    id_column : str or sequence of str
        Column or columns that identify a row; never null.
    sky : bool, optional
        Whether rows lie on the sky: then `_healpix_29` is computed from their positions and put first. Decided by
        whether both columns are there when not given; say False for raw and quarantined rows, whose positions may be
        missing or wrong.
    position : tuple of str
        Columns with RA and declination, degrees.
    keep_index : bool
        A `_healpix_29` that the table has is taken as it is, and where it is.
    synced : bool
        Whether the file is to be on the disk when this returns; else the caller has to `sync` it before it counts.

    Returns
    -------
    PartitionFile

    Raises
    ------
    InputError
        When an id column is missing or holds nulls, or a position is not on the sky.
    """
    table = canonical(table, id_column=id_column, sky=sky, position=position, keep_index=keep_index)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        # Straight to the file, and hashed from the pages that it lies in: a buffer of the whole file in between would
        # be as much memory again, which the kernel has to zero first.
        with pa.OSFile(os.fsencode(temporary), "wb") as sink:
            _encode(table, sink)
        if synced:
            sync(temporary)
        with temporary.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            size, sha256 = len(content), hashlib.sha256(content).hexdigest()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return PartitionFile(path, table.num_rows, size, sha256)


def sync(path: Path) -> None:
    """Wait until a file that was written is on the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def row_bytes(table: pa.Table) -> float:
    """Mean bytes of a row in memory, from types and lengths alone, so that equal rows give equal numbers."""
    return sum(_column_bytes(column) for column in table.columns) / max(table.num_rows, 1)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def encoded(table: pa.Table) -> pa.Buffer:
    """A canonical table as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    _encode(table, sink)
    return sink.getvalue()


def _encode(table: pa.Table, sink: pa.NativeFile) -> None:
    leaves = _leaves(table.schema)
    floats = [name for name, type_ in leaves if pa.types.is_floating(type_) and type_ != pa.float16()]
    words = [name for name, type_ in leaves if pa.types.is_string(type_) or pa.types.is_boolean(type_)]
    with pq.ParquetWriter(
        sink,
        table.schema,
        version=WRITER["format"],
        compression=WRITER["compression"],
        compression_level=WRITER["compression_level"],
        data_page_size=WRITER["page_bytes"],
        data_page_version="1.0",
        use_dictionary=words,
        use_byte_stream_split=floats,
        write_statistics=True,
        write_page_index=True,
        store_schema=True,
        use_compliant_nested_type=True,
    ) as writer:
        writer.write_table(table, row_group_size=_group_rows(table))
        # Not in the schema's own metadata: that would be stored twice.
        writer.add_key_value_metadata(votable_footer(table))


def _group_rows(table: pa.Table) -> int:
    """Rows of a row group: the partition's, divided evenly among as few as the limits allow."""
    most = max(1, min(ROW_GROUP_ROWS, int(ROW_GROUP_BYTES / max(row_bytes(table), 1.0))))
    groups = max(1, -(-table.num_rows // most))
    return max(1, -(-table.num_rows // groups))


def _leaves(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """Parquet's leaf columns: path and type."""
    return [leaf for column in schema for leaf in _type_leaves(column.name, column.type)]


def _type_leaves(path: str, type_: pa.DataType) -> list[tuple[str, pa.DataType]]:
    if pa.types.is_list(type_):
        return _type_leaves(f"{path}.list.element", type_.value_type)
    if pa.types.is_struct(type_):
        fields = [type_.field(i) for i in range(type_.num_fields)]
        return [leaf for child in fields for leaf in _type_leaves(f"{path}.{child.name}", child.type)]
    return [(path, type_)]


def _column_bytes(column: pa.ChunkedArray | pa.Array) -> float:
    type_ = column.type
    if pa.types.is_list(type_):
        return 4 * len(column) + sum(_column_bytes(chunk.flatten()) for chunk in _chunks(column))
    if pa.types.is_struct(type_):
        return sum(_column_bytes(child) for chunk in _chunks(column) for child in chunk.flatten())
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        return 4 * len(column) + (pc.sum(pc.binary_length(column)).as_py() or 0)
    try:
        return len(column) * type_.bit_width / 8
    except ValueError:
        return 0.0


def _chunks(column: pa.ChunkedArray | pa.Array) -> list[pa.Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]
