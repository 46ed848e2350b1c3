"""Values of survey files to Arrow types, with the cells named that cannot be read as such."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_INTEGER = r"^[+-]?\d{1,19}(\.0*)?$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$|^[+-]?(inf|Inf|INF|infinity|nan|NaN|NAN)$"
_TRUE = pa.array(["true", "t", "1", "yes", "y"])
_FALSE = pa.array(["false", "f", "0", "no", "n"])
_EXACT_IN_FLOAT = 2**53
#: Key of a schema's metadata: what a reader tells of a whole file
TOLD = b"stellar.told"
NULLS = ("", "null", "NULL", "None", "N/A", "--", "\\N")


def to_type(values: pa.ChunkedArray | pa.Array, target: pa.DataType) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """`values` as `target`, and which cells could not be read: null in the result, True in the mask, shape (n,).

    An integer is never taken from text such as `1.24E+18`, nor from a float beyond 2**53 or with a fraction: such an
    id has lost digits and would name another star.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ChunkedArray):  # combine_chunks of no chunks
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if array.type == target and not _is_text(target):
        return array, np.zeros(len(array), bool)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), target), np.zeros(len(array), bool)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _is_text(array.type):
        return _from_text(_valid(array.cast(pa.string())), target)
    if _is_text(target):
        return _text_of(array), np.zeros(len(array), bool)
    if pa.types.is_integer(target) and pa.types.is_floating(array.type):
        whole = pc.and_(pc.equal(array, pc.floor(array)), pc.less_equal(pc.abs(array), _EXACT_IN_FLOAT))
        missing = pc.is_null(array, nan_is_null=True)
        return _cast_where(array, pc.and_not(pc.fill_null(whole, False), missing), missing, target)
    if pa.types.is_boolean(target) and not pa.types.is_boolean(array.type):
        array = pc.not_equal(array, pa.scalar(0, array.type))
    try:
        return array.cast(target), np.zeros(len(array), bool)
    except pa.ArrowInvalid:
        return _cast_singly(array, target)
    except pa.ArrowNotImplementedError:
        return pa.nulls(len(array), target), np.asarray(pc.is_valid(array))


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _text_of(array: pa.Array) -> pa.Array:
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return pa.array([None if b is None else b.decode("utf-8", "replace").strip() for b in array.to_pylist()])
    return array.cast(pa.string())


def _valid(text: pa.Array) -> pa.Array:
    """Text whose bytes are UTF-8: others, which a Parquet file may hold, are replaced as in columns of bytes."""
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return _text_of(text.cast(pa.binary()))
    return text


def _from_text(text: pa.Array, target: pa.DataType) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    text = pc.utf8_trim_whitespace(text)
    missing = pc.or_(pc.is_null(text), pc.fill_null(pc.is_in(text, pa.array(NULLS)), False))
    if _is_text(target):
        return pc.if_else(missing, pa.scalar(None, pa.string()), text), np.zeros(len(text), bool)
    if pa.types.is_boolean(target):
        lower = pc.utf8_lower(text)
        yes, no = pc.is_in(lower, _TRUE), pc.is_in(lower, _FALSE)
        bad = pc.and_not(pc.invert(pc.or_(yes, no)), missing)
        return pc.if_else(pc.or_(missing, bad), pa.scalar(None, pa.bool_()), yes), np.asarray(bad)
    if pa.types.is_integer(target):
        missing = pc.or_(missing, pc.fill_null(pc.match_substring_regex(text, "(?i)^[+-]?nan$"), False))
        good = pc.fill_null(pc.match_substring_regex(text, _INTEGER), False)
        text = pc.replace_substring_regex(text, r"^\+|\.0*$", "")
    elif pa.types.is_floating(target):
        good = pc.fill_null(pc.match_substring_regex(text, _NUMBER), False)
        text = pc.replace_substring_regex(pc.replace_substring_regex(text, "[dD]([+-]?[0-9])", r"e\1"), r"^\+", "")
    else:
        return pa.nulls(len(text), target), np.asarray(pc.invert(missing))
    return _cast_where(text, pc.and_not(good, missing), missing, target)


def _cast_where(
    array: pa.Array, good: pa.Array, missing: pa.Array, target: pa.DataType
) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    bad = np.asarray(pc.invert(pc.or_(good, missing)))
    kept = pc.if_else(good, array, pa.scalar(None, array.type))
    try:
        return kept.cast(target), bad
    except pa.ArrowInvalid:  # out of the integer's range
        values, worse = _cast_singly(kept, target)
        return values, bad | worse


def _cast_singly(array: pa.Array, target: pa.DataType) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    values, bad = [], np.zeros(len(array), bool)
    for i, cell in enumerate(array):
        try:
            values.append(cell.cast(target).as_py())
        except pa.ArrowInvalid:
            values.append(None)
            bad[i] = True
    return pa.array(values, target), bad
