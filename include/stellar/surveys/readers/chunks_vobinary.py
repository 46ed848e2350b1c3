"""Rows of a VOTable's BINARY and BINARY2 streams (VOTable 1.4, section 5.4)."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers.chunks_arrays import (
    bits,
    counted_text,
    fixed_lists,
    lists,
    logical,
    numbers,
    padded_text,
    trimmed,
)
from stellar.surveys.readers.chunks_sources import SourceFile
from stellar.surveys.readers.chunks_vofields import VoField

_TRUE, _FALSE = b"Tt1", b"Ff0"
_SPACE = str.maketrans("", "", " \t\r\n")


class BinaryRows:
    """Base64 text in, tables out.

    A row is cut into its runs of fixed-width fields and its varying ones; each run is gathered as one structured array,
    so that a table without varying fields costs no step per row.
    """

    def __init__(self, source: SourceFile, fields: Sequence[VoField], columns: Sequence[str], masked: bool) -> None:
        self.source, self.columns, self.fields = source, list(columns), list(fields)
        self.count = self._before = 0
        self.mask_bytes = (len(fields) + 7) // 8 if masked else 0
        self._runs = list(_runs(fields, self.mask_bytes))
        self._fixed = [bytearray() for _ in self._runs]
        self._varying: list[tuple[list[int], bytearray]] = [([], bytearray()) for _ in self._runs]
        self._text, self._data = "", bytearray()

    @property
    def nbytes(self) -> int:
        return sum(map(len, self._fixed)) + sum(len(data) + 8 * len(counts) for counts, data in self._varying)

    def feed(self, text: str) -> None:
        """More of the stream's base64."""
        text = self._text + text.translate(_SPACE)
        whole = len(text) // 4 * 4
        self._text = text[whole:]
        try:
            self._data += binascii.a2b_base64(text[:whole])
        except binascii.Error as fault:
            raise InputError(f"{self.source}: its STREAM is no base64 ({fault}); fetch the file again") from None
        self._split()

    def end(self, fault: Callable[[str], InputError]) -> None:
        if self._text or self._data:
            left = len(self._data)
            raise fault(
                f"the STREAM ends within row {self._before + self.count + 1} ({left} bytes over); fetch it again"
            )

    def _split(self) -> None:
        """Whole rows of the decoded bytes, each part to its run."""
        data, at, size = self._data, 0, len(self._data)
        if len(self._runs) == 1 and self._runs[0][1] is None:
            width = self._runs[0][0].itemsize
            rows = size // width if width else 0
            self._fixed[0] += data[: rows * width]
            self.count += rows
            del data[: rows * width]
            return
        while at < size:
            places, cursor = [], at
            for dtype, column in self._runs:
                head = cursor + dtype.itemsize
                if column is None:
                    places.append((cursor, head, head, 0))
                    cursor = head
                    continue
                if head + 4 > size:
                    cursor = size + 1
                    break
                many = int.from_bytes(data[head : head + 4], "big")
                end = head + 4 + _bytes_of(column, many)
                places.append((cursor, head, end, many))
                cursor = end
                if end > size:
                    break
            if cursor > size:
                break
            for fixed, (counts, varying), (start, head, end, many) in zip(
                self._fixed, self._varying, places, strict=True
            ):
                fixed += data[start:head]
                if end > head:
                    counts.append(many)
                    varying += data[head + 4 : end]
            at = cursor
            self.count += 1
        del data[:at]

    def take(self) -> pa.Table:
        """The rows since the last call."""
        arrays: dict[str, pa.Array] = {}
        structs = [
            np.frombuffer(bytes(data), dtype) if dtype.itemsize else np.zeros(self.count, dtype)
            for data, (dtype, _) in zip(self._fixed, self._runs, strict=True)
        ]
        null = self._null(structs[0]) if self.mask_bytes else None
        wanted = set(self.columns)
        for place, column in enumerate(self.fields):
            if column.name not in wanted:
                continue
            key = f"f{place}"
            missing = null[:, place] if null is not None else None
            for struct, (_, varying), (counts, data) in zip(structs, self._runs, self._varying, strict=True):
                if key in (struct.dtype.names or ()):
                    arrays[column.name] = _fixed(column, struct[key], missing)
                elif varying is column:
                    arrays[column.name] = _varied(column, bytes(data), np.asarray(counts, np.int64), missing)
        table = pa.table({name: arrays[name] for name in self.columns}) if self.columns else pa.table({})
        self._before += self.count
        self.count = 0
        self._fixed = [bytearray() for _ in self._runs]
        self._varying = [([], bytearray()) for _ in self._runs]
        return table

    def _null(self, struct: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
        flags = np.unpackbits(struct["mask"].reshape(len(struct), self.mask_bytes), axis=1)
        return flags[:, : len(self.fields)].astype(bool)


def _runs(fields: Sequence[VoField], mask_bytes: int) -> Iterator[tuple[np.dtype, VoField | None]]:
    """Runs of fixed-width fields, each with the varying field that ends it (None at the end of the row)."""
    run: list[tuple[str, str, tuple[int, ...]]] = [("mask", "u1", (mask_bytes,))] if mask_bytes else []
    for place, column in enumerate(fields):
        if column.varies:
            yield np.dtype(run), column
            run = []
        else:
            run.append((f"f{place}", *_layout(column)))
    if run or not fields:
        yield np.dtype(run), None


def _layout(column: VoField) -> tuple[str, tuple[int, ...]]:
    count = column.count or 0
    if column.datatype == "bit":
        return "u1", ((count + 7) // 8,)
    if column.is_text:
        width, letter = column.text_width, 2 if column.datatype == "unicodeChar" else 1
        return (f"S{count * letter}", ()) if width is None else (f"S{width * letter}", (count // max(width, 1),))
    return column.code, () if not pa.types.is_fixed_size_list(column.type) else (count,)


def _bytes_of(column: VoField, many: int) -> int:
    """Bytes of a varying field whose last dimension is so long."""
    for size in column.shape[0]:
        many *= size
    if column.datatype == "bit":
        return (many + 7) // 8
    if column.is_text:
        return many * (2 if column.datatype == "unicodeChar" else 1)
    return many * np.dtype(column.code).itemsize


def _fixed(column: VoField, values: npt.NDArray, missing: npt.NDArray[np.bool_] | None) -> pa.Array:
    if column.is_text:
        array = _utf16(values) if column.datatype == "unicodeChar" else padded_text(values)
    elif column.datatype == "bit":
        # astropy writes a single bit as 8 where the standard has 128
        array = numbers(values[:, 0] != 0) if column.count == 1 else bits(values, column.count or 0)
    elif column.datatype == "boolean":
        array = logical(values, _TRUE, _FALSE)
    else:
        return numbers(values, _or(_sentinel(column, values), missing))
    return _blank(array, missing)


def _varied(column: VoField, data: bytes, counts: npt.NDArray[np.int64], missing: npt.NDArray | None) -> pa.Array:
    per = int(np.prod(column.shape[0], dtype=np.int64))
    lengths = counts * per
    if column.is_text and column.text_width is None:
        if column.datatype == "unicodeChar":
            ends = np.cumsum(lengths * 2)
            texts = [
                data[end - 2 * n : end].decode("utf-16-be", "replace") for end, n in zip(ends, lengths, strict=True)
            ]
            return _blank(trimmed(pa.array(texts, pa.string())), missing)
        return _blank(counted_text(data, lengths), missing)
    if column.is_text:
        wide = (column.text_width or 1) * (2 if column.datatype == "unicodeChar" else 1)
        flat = np.frombuffer(data, f"S{wide}")
        return lists(_utf16(flat) if column.datatype == "unicodeChar" else padded_text(flat), counts, missing)
    if column.datatype == "bit":
        ends = np.cumsum((lengths + 7) // 8)
        starts = ends - (lengths + 7) // 8
        flags = [
            np.unpackbits(np.frombuffer(data[a:b], np.uint8))[:n].astype(bool)
            for a, b, n in zip(starts, ends, lengths, strict=True)
        ]
        return lists(pa.array(np.concatenate(flags) if flags else np.zeros(0, bool)), lengths, missing)
    values = np.frombuffer(data, column.code)
    if column.datatype == "boolean":
        return lists(logical(values, _TRUE, _FALSE), lengths, missing)
    return lists(numbers(values, _sentinel(column, values)), lengths, missing)


def _utf16(values: npt.NDArray) -> pa.Array:
    """Fixed-width UCS-2 text, shape (n,) or (n, k); NumPy drops the NUL that may end the last character."""
    wide = values.dtype.itemsize
    raw = np.ascontiguousarray(values).tobytes()
    texts = [raw[i : i + wide].decode("utf-16-be", "replace").partition("\0")[0] for i in range(0, len(raw), wide or 1)]
    flat = trimmed(pa.array(texts, pa.string()))
    return flat if values.ndim == 1 else fixed_lists(flat, *values.shape)


def _sentinel(column: VoField, values: npt.NDArray) -> npt.NDArray[np.bool_] | None:
    """Where an integer is the one that VALUES declares to mean null."""
    if column.null is None or values.dtype.kind not in "iu":
        return None
    try:
        return values == int(column.null, 0)
    except (ValueError, OverflowError):
        return None


def _or(cells: npt.NDArray | None, rows: npt.NDArray | None) -> npt.NDArray | None:
    if cells is None or rows is None:
        return rows if cells is None else cells
    return cells | (rows if cells.ndim == 1 else rows[:, None])


def _blank(array: pa.Array, missing: npt.NDArray[np.bool_] | None) -> pa.Array:
    if missing is None or not missing.any():
        return array
    return pa.compute.if_else(pa.array(missing), pa.scalar(None, array.type), array)
