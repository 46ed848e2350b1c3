"""Columns of binary files (big-endian numbers, padded text, lists) and of text cells, as Arrow arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_PADDING = " \t\r\n\0"
TRUE = ["true", "True", "TRUE", "T", "t"]
FALSE = ["false", "False", "FALSE", "F", "f"]


class BadCell(Exception):  # noqa: N818 - never leaves the readers
    """A cell that is not of its column's type: its index and text."""

    def __init__(self, index: int, text: str, type_: pa.DataType) -> None:
        super().__init__(f"{text[:60]!r} is not {type_}")
        self.index = index


def numbers(values: npt.NDArray[np.generic], null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers of any byte order, shape (n,) or (n, k), the latter as lists of k; `null` marks what is missing.

    `null` has the shape of `values`, or (n,) for whole rows.
    """
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    if native.dtype == np.float16:
        native = native.astype(np.float32)
    if native.ndim == 1:
        return pa.array(native, mask=null if null is not None and null.any() else None)
    rows, width = native.shape
    cells = null.ravel() if null is not None and null.ndim == 2 else None
    flat = pa.array(native.ravel(), mask=cells if cells is not None and cells.any() else None)
    return fixed_lists(flat, rows, width, null if null is not None and null.ndim == 1 else None)


def fixed_lists(flat: pa.Array, rows: int, width: int, null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Lists of `width` values each."""
    type_ = pa.list_(pa.field("element", flat.type), width)
    if not width:  # from_arrays cannot tell how many rows there are
        return pa.array([[]] * rows, type_)
    mask = pa.array(null) if null is not None and null.any() else None
    return pa.FixedSizeListArray.from_arrays(flat, type=type_, mask=mask)


def lists(flat: pa.Array, lengths: npt.NDArray[np.int64], null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Lists of these lengths, which add up to the length of `flat`."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    type_ = pa.list_(pa.field("element", flat.type))
    mask = pa.array(null) if null is not None and null.any() else None
    return pa.ListArray.from_arrays(offsets, flat, type=type_, mask=mask)


def logical(values: npt.NDArray[np.uint8], true: bytes, false: bytes) -> pa.Array:
    """Bytes that stand for true and false, shape (n,) or (n, k); any other is null."""
    yes, no = (np.isin(values, np.frombuffer(marks, np.uint8)) for marks in (true, false))
    return numbers(yes, ~(yes | no))


def bits(values: npt.NDArray[np.uint8], count: int) -> pa.Array:
    """The first `count` bits of each row's bytes, most significant first; one bit is a Boolean, more are a list."""
    flags = np.unpackbits(values, axis=1)[:, :count].astype(bool)
    return numbers(flags[:, 0] if count == 1 else flags)


def padded_text(values: npt.NDArray[np.bytes_]) -> pa.Array:
    """Fixed-width text, shape (n,) or (n, k), without its padding, up to the first NUL; empty is null.

    Bytes that are not UTF-8 are taken as Latin-1.
    """
    flat = trimmed(_decoded(pa.array(np.ascontiguousarray(values).ravel(), pa.binary())))
    return flat if values.ndim == 1 else fixed_lists(flat, *values.shape)


def counted_text(data: bytes, lengths: npt.NDArray[np.int64]) -> pa.Array:
    """Texts that follow one another in `data`; empty is null."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    array = pa.Array.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    return trimmed(_decoded(array))


def _decoded(array: pa.Array) -> pa.Array:
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if cell is None else _text(cell) for cell in array.to_pylist()], pa.string())


def _text(cell: bytes) -> str:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return cell.decode("latin-1")


def trimmed(text: pa.Array) -> pa.Array:
    """Text without white space and NULs at its ends; empty is null."""
    text = pc.ascii_trim(text, characters=_PADDING)
    empty = pc.equal(pc.binary_length(text), 0)
    return pc.if_else(empty, pa.scalar(None, pa.string()), text) if pc.any(empty).as_py() else text


def parsed(cells: Sequence[str | None] | pa.Array, type_: pa.DataType, null: str | None = None) -> pa.Array:
    """Text cells as numbers, Booleans or text; an empty cell and the text `null` are null.

    Integers never pass through a float.

    Raises
    ------
    BadCell
        With the index of the first cell that is not of the type.
    """
    array = cells if isinstance(cells, pa.Array) else pa.array(cells, pa.string())
    array = trimmed(array)
    if null is not None:
        array = pc.if_else(pc.equal(array, null), pa.scalar(None, pa.string()), array)
    if pa.types.is_string(type_):
        return array
    if pa.types.is_boolean(type_):
        yes, no = pc.is_in(array, pa.array([*TRUE, "1"])), pc.is_in(array, pa.array([*FALSE, "0"]))
        unknown = pc.fill_null(pc.equal(array, "?"), True)
        _all_good(array, pc.or_(pc.or_(yes, no), unknown), type_)
        return pc.if_else(unknown, pa.scalar(None, pa.bool_()), yes)
    try:
        return array.cast(type_)
    except pa.ArrowInvalid:
        array = pc.replace_substring_regex(array, r"^\+", "")  # Arrow's integers take no plus sign
        if pa.types.is_floating(type_):
            array = pc.replace_substring_regex(array, "^([0-9.+-]+)[dD]([+-]?[0-9]+)$", r"\1e\2")  # Fortran
    try:
        return array.cast(type_)
    except pa.ArrowInvalid:
        for index, cell in enumerate(array):
            try:
                cell.cast(type_)
            except pa.ArrowInvalid:
                raise BadCell(index, str(cell), type_) from None
        raise


def parsed_lists(cells: Sequence[str | None], type_: pa.DataType, width: int | None) -> pa.Array:
    """Cells of numbers set apart by white space, as lists; of `width` each unless None. An empty cell is null.

    Raises
    ------
    BadCell
        With the index of the first cell that holds something else, or another number of values.
    """
    text = trimmed(pa.array(cells, pa.string()))
    split = pc.ascii_split_whitespace(text)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(split), 0), np.int64)
    missing = np.asarray(pc.is_null(text))
    try:
        flat = parsed(split.flatten(), type_)
    except BadCell as fault:
        at = int(np.searchsorted(np.cumsum(lengths), fault.index, side="right"))
        raise BadCell(at, str(text[at]), type_) from None
    if width is None:
        return lists(flat, lengths, missing)
    wrong = np.flatnonzero(~missing & (lengths != width))
    if len(wrong):
        at = int(wrong[0])
        raise BadCell(at, str(text[at]), pa.list_(type_, width))
    if missing.any():
        places = np.cumsum(~missing) - 1
        rows = pa.array(
            np.repeat(places * width, width) + np.tile(np.arange(width), len(cells)), mask=np.repeat(missing, width)
        )
        flat = flat.take(rows)
    return fixed_lists(flat, len(cells), width, missing)


def _all_good(array: pa.Array, good: pa.Array, type_: pa.DataType) -> None:
    wrong = np.flatnonzero(~np.asarray(good, bool))
    if len(wrong):
        raise BadCell(int(wrong[0]), str(array[int(wrong[0])]), type_)
