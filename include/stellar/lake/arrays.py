"""Numbers between NumPy and Arrow without pandas, which `pa.array` and `to_numpy` import (0.4 s) to know its types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def to_arrow(values: NDArray[Any]) -> pa.Array:
    """An Arrow array over the memory of a NumPy array of integers or floats; no value is null."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def to_numpy(values: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """A NumPy array of numbers, over the memory of the Arrow array where that is in one piece; NaN for null."""
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    if isinstance(values, pa.ChunkedArray) or values.null_count or not pa.types.is_primitive(values.type):
        found: NDArray[Any] = values.to_numpy(zero_copy_only=False)
        return found
    found = np.from_dlpack(values)
    return found
