"""Rows: a hash of their values, and the bucket that an id falls into. Both depend on values alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stellar.errors import InputError


def rows_hash(table: pa.Table) -> str:
    """SHA-256 over names, types and values of a table's columns, in its order of rows.

    Chunks, validity bitmaps that say nothing and what lies under nulls make no difference.
    """
    found = hashlib.sha256(str(table.num_rows).encode())
    for name, column in zip(table.column_names, table.columns, strict=True):
        found.update(f"\0{name}\0".encode())
        _add(found, column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
    return found.hexdigest()


def _add(found: hashlib._Hash, values: pa.Array) -> None:
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    found.update(str(values.type).encode())
    found.update(np.packbits(values.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    kind = values.type
    if pa.types.is_null(kind):
        return
    if pa.types.is_boolean(kind):
        found.update(np.packbits(pc.fill_null(values, False).to_numpy(zero_copy_only=False)).tobytes())
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        found.update(pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        filled = pc.fill_null(values, b"" if pa.types.is_binary(kind) else "")
        found.update(b"".join(filled.cast(pa.binary()).to_pylist()))
    elif pa.types.is_list(kind):
        found.update(pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False).tobytes())
        _add(found, values.flatten())
    elif pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            found.update(kind.field(i).name.encode())
            _add(found, pc.struct_field(values, [i]))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found.update(pc.fill_null(values, pa.scalar(0, kind)).to_numpy(zero_copy_only=False).tobytes())
    elif pa.types.is_temporal(kind):
        _add(found, values.cast(pa.int64() if kind.bit_width == 64 else pa.int32()))
    else:
        raise InputError(f"columns of type {kind} have no place in the lake")


def bucket_of(ids: pa.ChunkedArray | pa.Array, buckets: int) -> NDArray[np.int64]:
    """Bucket (0 to `buckets` - 1) of each id, by a fixed hash of its text; a null falls into bucket 0."""
    from pandas.util import hash_array

    texts = np.asarray(pc.fill_null(ids.cast(pa.string()), "").to_numpy(zero_copy_only=False), dtype=object)
    if not len(texts):
        return np.empty(0, np.int64)
    numbers = (hash_array(texts, categorize=False) % np.uint64(buckets)).astype(np.int64)
    return np.where(np.asarray(ids.is_null()), 0, numbers)
