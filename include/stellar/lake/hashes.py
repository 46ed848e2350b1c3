"""64-bit hashes of ids: the same on every machine and in every version."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stellar.errors import InputError

from .arrays import to_numpy

_WORD = 8


def hash64(ids: pa.Array | pa.ChunkedArray) -> NDArray[np.uint64]:
    """Hashes of integers, strings or binary values; of nulls too.

    Parameters
    ----------
    ids : pyarrow.Array or ChunkedArray, length n

    Returns
    -------
    ndarray of uint64, shape (n,)
        Integers by SplitMix64 (Steele, Lea & Flood 2014, OOPSLA), so that no two have the same; bytes by chaining it
        over their eight-byte words, little endian, from their length.

    Raises
    ------
    InputError
        When the values are of another type.
    """
    if isinstance(ids, pa.ChunkedArray):
        return np.concatenate([np.empty(0, np.uint64), *(hash64(chunk) for chunk in ids.chunks)])
    if pa.types.is_dictionary(ids.type):
        return hash64(ids.dictionary_decode())
    if pa.types.is_integer(ids.type):
        values = to_numpy(ids.fill_null(0))
        # Sign extended, so that an id has one hash whatever its column's width.
        return _mixed(values.astype(np.int64 if ids.type != pa.uint64() else np.uint64).view(np.uint64))
    if pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type) or pa.types.is_string_view(ids.type):
        return _bytes_hash(ids.cast(pa.large_string()).cast(pa.large_binary()))
    if pa.types.is_binary(ids.type) or pa.types.is_large_binary(ids.type):
        return _bytes_hash(ids.cast(pa.large_binary()))
    raise InputError(f"ids are integers or strings, these are {ids.type}")


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finalizer: a bijection in which every bit depends on every other."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _bytes_hash(ids: pa.LargeBinaryArray) -> NDArray[np.uint64]:
    """Values of one length are hashed together, word by word."""
    ids = ids.fill_null(b"")
    offsets = np.frombuffer(ids.buffers()[1], np.int64)[ids.offset : ids.offset + len(ids) + 1]
    data = np.frombuffer(ids.buffers()[2] or b"", np.uint8)
    starts, lengths = offsets[:-1], np.diff(offsets)
    hashes = np.empty(len(ids), np.uint64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        chained = _mixed(np.full(len(rows), length, np.uint64))
        for first in range(0, length, _WORD):
            word = np.zeros((len(rows), _WORD), np.uint8)
            size = min(_WORD, length - first)
            word[:, :size] = data[starts[rows, None] + np.arange(first, first + size)]
            chained = _mixed(chained ^ word.view("<u8").ravel())
        hashes[rows] = chained
    return hashes
