"""List columns of Arrow tables as NumPy, without a Python object per value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stellar.errors import InputError


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one flat array; row i is `flat[starts[i]:stops[i]]`, a null row is empty."""

    flat: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.flat[self.starts[row] : self.stops[row]]

    @property
    def lengths(self) -> np.ndarray:
        return self.stops - self.starts


def ragged(table: pa.Table, column: str, dtype: type) -> Ragged:
    """List column as `Ragged`; nulls inside a list become NaN (floats) or are refused (integers)."""
    if column not in table.column_names:
        raise InputError(f"the table lacks list column {column}; it has {', '.join(table.column_names)}")
    values = table.column(column).combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # an empty column stays chunked
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if pa.types.is_fixed_size_list(values.type):
        values = values.cast(pa.list_(values.type.value_type))
    inner = values.values
    if inner.null_count and not np.issubdtype(dtype, np.floating):
        raise InputError(f"list column {column} has nulls among its integers")
    flat = inner.to_numpy(zero_copy_only=False).astype(dtype, copy=False)
    offsets = values.offsets.to_numpy()
    starts, stops = offsets[:-1].astype(np.int64), offsets[1:].astype(np.int64)
    if values.null_count:
        empty = values.is_null().to_numpy(zero_copy_only=False)
        stops = np.where(empty, starts, stops)
    return Ragged(flat, starts, stops)


def list_column(matrix: np.ndarray, type_: pa.DataType) -> pa.ListArray:
    """Matrix as a list column, one row each."""
    rows, width = matrix.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(matrix).ravel(), type=type_))
