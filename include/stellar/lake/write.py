"""Partition files: the same rows give the same bytes, whatever order, chunks or threads they came in."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stellar.errors import InputError
from stellar.sky.healpix import INDEX_COLUMN, spatial_index

from .schema import INDEX_FIELD, stored_schema

ROW_GROUP_ROWS = 100_000
ROW_GROUP_BYTES = 64 << 20

#: Everything that decides a file's bytes beside its rows. It goes into the keys of what is written.
WRITER: dict[str, Any] = {
    "writer": 1,
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
) -> PartitionFile:
    """Write rows to a Parquet file, canonical to the byte, complete or not at all.

    Rows are sorted by `_healpix_29` (where the table is on the sky), then the id, then all other plain columns. A NaN
    in a scalar column becomes null, NaNs in lists get one bit pattern, and -0.0 becomes 0.0.

    Parameters
    ----------
    table : pyarrow.Table
    path : Path
        Folders are made. Written under a temporary name in the same folder, then renamed.
    id_column : str or sequence of str
        Column or columns that identify a row; never null.
    sky : bool, optional
        Whether rows lie on the sky: then `_healpix_29` is computed from `ra` and `dec` (degrees) and put first. Decided
        by whether both columns are there when not given; say False for raw and quarantined rows, whose positions
        may be missing or wrong.

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
        _write(table, temporary)
        digest = file_sha256(temporary)
        size = temporary.stat().st_size
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return PartitionFile(path, table.num_rows, size, digest)


def canonical(
    table: pa.Table,
    *,
    id_column: str | Sequence[str],
    sky: bool | None = None,
    position: tuple[str, str] = ("ra", "dec"),
    keep_index: bool = False,
) -> pa.Table:
    """The table as `write_partition` stores it: types, values, `_healpix_29`, order of rows."""
    ids = [id_column] if isinstance(id_column, str) else list(id_column)
    for name in ids:
        if name not in table.column_names:
            raise InputError(f"no id column {name!r}; the table has {', '.join(table.column_names)}")
        if nulls := table.column(name).null_count:
            raise InputError(f"id column {name!r} is null in {nulls} of {table.num_rows} rows; ids are never null")
    table = table.cast(stored_schema(table.schema))
    table = pa.table([_plain_values(column) for column in table.columns], schema=table.schema)
    on_sky = sky if sky is not None else set(position) <= set(table.column_names)
    if on_sky and not (keep_index and INDEX_COLUMN in table.column_names):
        table = with_index(table, position)
    return _sorted(table, ids)


def with_index(table: pa.Table, position: tuple[str, str] = ("ra", "dec")) -> pa.Table:
    """The table with `_healpix_29` computed from its position (degrees), as its first column."""
    if not set(position) <= set(table.column_names):
        raise InputError(
            f"no columns {' and '.join(position)} to make {INDEX_COLUMN} from; there are "
            f"{', '.join(table.column_names)}"
        )
    index = spatial_index(*(table.column(name).to_numpy(zero_copy_only=False) for name in position))
    if INDEX_COLUMN in table.column_names:
        table = table.drop_columns([INDEX_COLUMN])
    return table.add_column(0, INDEX_FIELD, pa.array(index, pa.int64()))


def row_bytes(table: pa.Table) -> float:
    """Mean bytes of a row in memory, from types and lengths alone, so that equal rows give equal numbers."""
    return sum(_column_bytes(column) for column in table.columns) / max(table.num_rows, 1)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write(table: pa.Table, path: Path) -> None:
    leaves = _leaves(table.schema)
    floats = [name for name, type_ in leaves if pa.types.is_floating(type_) and type_ != pa.float16()]
    words = [name for name, type_ in leaves if pa.types.is_string(type_) or pa.types.is_boolean(type_)]
    with path.open("wb") as stream:
        pq.write_table(
            table,
            stream,
            version=WRITER["format"],
            compression=WRITER["compression"],
            compression_level=WRITER["compression_level"],
            row_group_size=max(1, min(ROW_GROUP_ROWS, int(ROW_GROUP_BYTES / max(row_bytes(table), 1.0)))),
            data_page_size=WRITER["page_bytes"],
            data_page_version="1.0",
            use_dictionary=words,
            use_byte_stream_split=floats,
            write_statistics=True,
            store_schema=True,
            use_compliant_nested_type=True,
        )
        stream.flush()
        os.fsync(stream.fileno())


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


def _plain_values(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    type_ = column.type
    if pa.types.is_floating(type_):
        values = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        # 0.0 + -0.0 is 0.0; adding zero changes no other number
        values = pc.add(values, pa.scalar(0.0, type_)) if type_ != pa.float16() else values
        return pc.if_else(pc.is_nan(values), pa.scalar(None, type_), values)
    if pa.types.is_list(type_) and pa.types.is_floating(type_.value_type):
        values = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        return _plain_list(values)
    return column


def _plain_list(values: pa.ListArray) -> pa.ListArray:
    """Lists of floats with one NaN and one zero; offsets start at 0 and null rows hold nothing."""
    flat = values.flatten()
    numbers = np.array(flat.to_numpy(zero_copy_only=False), dtype=flat.type.to_pandas_dtype())
    numbers += 0
    numbers[np.isnan(numbers)] = np.nan
    mask = flat.is_null().to_numpy(zero_copy_only=False) if flat.null_count else None
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    null_rows = values.is_null() if values.null_count else None
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(numbers, flat.type, mask=mask), type=values.type, mask=null_rows
    )


def _sorted(table: pa.Table, ids: list[str]) -> pa.Table:
    first = [INDEX_COLUMN] if INDEX_COLUMN in table.column_names else []
    table = _take_sorted(table, list(dict.fromkeys([*first, *ids])))
    if _ties(table, [*first, *ids]):
        # Equal ids are for the gate to find; here they only must not make the bytes depend on the order that came in.
        rest = [c.name for c in table.schema if not pa.types.is_nested(c.type) and c.name not in {*first, *ids}]
        table = _take_sorted(table, list(dict.fromkeys([*first, *ids, *rest])))
    return table.combine_chunks()


def _take_sorted(table: pa.Table, names: list[str]) -> pa.Table:
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in names])
    return table.take(order)


def _ties(table: pa.Table, names: list[str]) -> bool:
    if table.num_rows < 2:
        return False
    same = None
    for name in names:
        column = table.column(name)
        equal = pc.equal(column.slice(1), column.slice(0, table.num_rows - 1))
        same = equal if same is None else pc.and_(same, equal)
    return bool(pc.any(same).as_py())


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
