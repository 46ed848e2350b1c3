"""Columns of FITS tables: their form, and their bytes as Arrow arrays (FITS standard 4.0, sections 7.2 and 7.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers.chunks_arrays import (
    BadCell,
    bits,
    counted_text,
    fixed_lists,
    lists,
    logical,
    numbers,
    padded_text,
    parsed,
)
from stellar.surveys.readers.chunks_schema import field
from stellar.surveys.readers.chunks_sources import SourceFile

# letter of TFORM: NumPy's code of one value
_CODES = {"L": "u1", "X": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "A": "S1"}
_CODES |= {"E": ">f4", "D": ">f8", "C": ">f4", "M": ">f8"}
_ARROW = {"u1": pa.uint8(), ">i2": pa.int16(), ">i4": pa.int32(), ">i8": pa.int64(), ">f4": pa.float32()}
_ARROW |= {">f8": pa.float64(), "S1": pa.string()}
# TZERO that makes a signed column unsigned or the reverse (section 7.3.3, table 19)
_FLIPPED = {"B": (-128, np.int8), "I": (2**15, np.uint16), "J": (2**31, np.uint32), "K": (2**63, np.uint64)}


@dataclass(frozen=True)
class FitsColumn:
    """One column of a table.

    Parameters
    ----------
    letter : str
        Of TFORM: the kind of value; of a varying column its elements' kind.
    repeat : int
        Values in a row (characters, bits); in an ASCII table the characters of the field.
    varying : str
        ``P`` or ``Q`` for a column of descriptors into the heap, else empty.
    ascii : bool
        Whether the table is an ASCII table.
    texts : int
        Texts in a row of an ``A`` column, 0 where the row is one text.
    """

    name: str
    letter: str
    repeat: int
    offset: int
    varying: str = ""
    ascii: bool = False
    texts: int = 0
    scale: float = 1.0
    zero: float = 0.0
    null: Any = None
    unit: str | None = None
    ucd: str | None = None
    description: str | None = None

    @property
    def layout(self) -> np.dtype[Any]:
        """NumPy's form of the column in a row."""
        if self.ascii:
            return np.dtype(f"S{self.repeat}")
        if self.varying:
            return np.dtype(({"P": ">i4", "Q": ">i8"}[self.varying], (2,)))
        if self.letter == "A":
            one = np.dtype(f"S{self.repeat // (self.texts or 1)}")
            return np.dtype((one, (self.texts,))) if self.texts else one
        if self.letter == "X":
            return np.dtype(("u1", ((self.repeat + 7) // 8,)))
        count = self.repeat * (2 if self.letter in "CM" else 1)
        return np.dtype((_CODES[self.letter], () if count == 1 else (count,)))

    @property
    def scalar(self) -> pa.DataType:
        """The type of one value, scaled."""
        if self.letter in "LX":
            return pa.bool_()
        if self.ascii and self.letter == "I":
            return pa.int64()
        if self._flipped:
            return pa.from_numpy_dtype(_FLIPPED[self.letter][1])
        if self.scale != 1 or self.zero != 0:
            whole = self.scale == 1 and self.letter in "BIJ" and self.zero == int(self.zero)
            return pa.int64() if whole else pa.float64()
        return _ARROW[_CODES[self.letter]]

    @property
    def _flipped(self) -> bool:
        flipped = _FLIPPED.get(self.letter)
        return flipped is not None and not self.ascii and self.scale == 1 and self.zero == flipped[0]

    @property
    def type(self) -> pa.DataType:
        element = pa.field("element", self.scalar)
        if self.ascii:
            return self.scalar
        if self.varying:
            return self.scalar if self.letter == "A" else pa.list_(element)
        if self.letter == "A":
            return pa.list_(element, self.texts) if self.texts else self.scalar
        count = self.repeat * (2 if self.letter in "CM" else 1)
        return self.scalar if count == 1 else pa.list_(element, count)

    def to_arrow(self) -> pa.Field:
        """As an Arrow field with unit, UCD and description."""
        return field(self.name, self.type, self.unit, self.ucd, self.description)

    def heap_bytes(self, cells: npt.NDArray[Any]) -> int:
        """Bytes that these cells take from the heap."""
        return int(self._sizes(cells[:, 0].astype(np.int64)).sum()) if self.varying else 0

    def _sizes(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if self.letter == "X":
            return (counts + 7) // 8
        return counts * np.dtype(_CODES[self.letter]).itemsize * (2 if self.letter in "CM" else 1)

    def to_array(
        self, cells: npt.NDArray[Any], heap: npt.NDArray[np.uint8] | None, start: int, source: SourceFile
    ) -> pa.Array:
        """The cells of rows from `start` on, shape (n,) or (n, k).

        Raises
        ------
        InputError
            When a cell points out of the heap or, in an ASCII table, is no number.
        """
        if self.ascii:
            return self._of_text(cells, start, source)
        if self.varying:
            return self._from_heap(cells, heap, start, source)
        if self.letter == "A":
            return padded_text(cells)
        if self.letter == "X":
            flags = bits(cells, self.repeat)
            return fixed_lists(flags, len(cells), 0) if self.repeat == 0 else flags
        return self._scaled(cells)

    def _scaled(self, values: npt.NDArray[Any]) -> pa.Array:
        if self.letter == "L":
            return logical(values, b"T", b"F")
        null = values == self.null if self.null is not None and self.letter in "BIJK" else None
        if self._flipped:
            wanted = np.dtype(_FLIPPED[self.letter][1])
            native = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).view(wanted)
            top = wanted.type(1 << (8 * wanted.itemsize - 1)) if wanted.kind == "u" else np.int8(-128)
            return numbers(native ^ top, null)
        if self.scale != 1 or self.zero != 0:
            if pa.types.is_int64(self.scalar):
                return numbers(values.astype(np.int64) + np.int64(self.zero), null)
            values = values.astype(np.float64) * self.scale + self.zero
        return numbers(values, null)

    def _from_heap(
        self, cells: npt.NDArray[Any], heap: npt.NDArray[np.uint8] | None, start: int, source: SourceFile
    ) -> pa.Array:
        counts, places = (np.ascontiguousarray(cells[:, i], np.int64) for i in (0, 1))
        sizes = self._sizes(counts)
        assert heap is not None
        wrong = np.flatnonzero((counts < 0) | (sizes > 0) & ((places < 0) | (places + sizes > len(heap))))
        if len(wrong):
            raise InputError(
                f"{source}: row {start + int(wrong[0]) + 1}, column {self.name}: points out of the file's heap: "
                "the file is cut or damaged; fetch it again"
            )
        data = b"".join(heap[at : at + size] for at, size in zip(places, sizes, strict=True))
        if self.letter == "A":
            return counted_text(data, counts)
        if self.letter == "X":
            ends = np.cumsum(sizes)
            raw = np.unpackbits(np.frombuffer(data, np.uint8))
            kept = [
                raw[8 * (end - size) : 8 * (end - size) + n] for end, size, n in zip(ends, sizes, counts, strict=True)
            ]
            return lists(pa.array(np.concatenate(kept).astype(bool)), counts)
        flat = self._scaled(np.frombuffer(data, _CODES[self.letter]))
        return lists(flat, counts * (2 if self.letter in "CM" else 1))

    def _of_text(self, cells: npt.NDArray[np.bytes_], start: int, source: SourceFile) -> pa.Array:
        null = str(self.null).strip() if self.null is not None else None
        kind = pa.float64() if self.scale != 1 or self.zero != 0 else self.scalar
        try:
            values = parsed(padded_text(cells), kind, null)
        except BadCell as bad:
            raise InputError(
                f"{source}: row {start + bad.index + 1}, column {self.name}: {bad}; mend the cell or fetch it again"
            ) from None
        if kind == self.scalar:
            return values
        return pa.compute.add(pa.compute.multiply(values, self.scale), self.zero)


def columns_of(header: Mapping[str, Any], source: SourceFile) -> list[FitsColumn]:
    """The columns that a table's header declares.

    Raises
    ------
    InputError
        When two have one name, a TFORM is unknown, or they do not fill the row.
    """
    is_text = str(header.get("XTENSION", "")).strip() == "TABLE"
    columns: list[FitsColumn] = []
    offset = 0
    for number in range(1, int(header.get("TFIELDS", 0)) + 1):
        name = str(header.get(f"TTYPE{number}", "")).strip() or f"col{number}"
        form = str(header.get(f"TFORM{number}", "")).strip().upper()
        try:
            column, width = (
                _ascii(header, number, name, form) if is_text else _binary(header, number, name, form, offset)
            )
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{source}: column {name}: TFORM{number} {form!r} is none that FITS knows") from None
        offset += width
        columns.append(column)
    names = [column.name for column in columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{source}: column {twice} stands twice in the table; rename one of them")
    if not columns:
        raise InputError(f"{source}: its table has no columns")
    if not is_text and offset != int(header["NAXIS1"]):
        raise InputError(
            f"{source}: its columns take {offset} bytes a row, NAXIS1 says {header['NAXIS1']}; fetch it again"
        )
    return columns


def _about(header: Mapping[str, Any], number: int) -> dict[str, Any]:
    def card(key: str) -> str | None:
        value = header.get(f"{key}{number}")
        return str(value).strip() or None if value is not None else None

    scale, zero = header.get(f"TSCAL{number}", 1), header.get(f"TZERO{number}", 0)
    if not all(isinstance(value, int | float) for value in (scale, zero)):
        raise ValueError(scale, zero)
    about = {"unit": card("TUNIT"), "ucd": card("TUCD"), "description": card("TCOMM")}
    return {"scale": scale, "zero": zero, "null": header.get(f"TNULL{number}")} | about


def _binary(header: Mapping[str, Any], number: int, name: str, form: str, offset: int) -> tuple[FitsColumn, int]:
    found = re.fullmatch(r"(\d*)(?:([PQ])([LXBIJKAEDCM])(?:\(\d*\))?|([LXBIJKAEDCM])(\d*).*)", form)
    if found is None:
        raise ValueError(form)
    count, varying, element, letter, sub = found.groups()
    repeat, about = int(count or 1), _about(header, number)
    about["null"] = about["null"] if isinstance(about["null"], int) else None
    if varying:
        # a repeat of 0 means that no row has values: there is no descriptor
        if repeat != 1:
            raise ValueError(form)
        column = FitsColumn(name, element, 1, offset, varying, **about)
        return column, column.layout.itemsize
    texts = 0
    if letter == "A":
        dims = [int(size) for size in re.findall(r"\d+", str(header.get(f"TDIM{number}", "")))]
        inner = dims[0] if len(dims) > 1 else int(sub or 0)
        texts = repeat // inner if inner and inner < repeat and repeat % inner == 0 else 0
        about |= {"scale": 1, "zero": 0}
    if letter in "LX":
        about |= {"scale": 1, "zero": 0}
    column = FitsColumn(name, letter, repeat, offset, "", False, texts, **about)
    return column, column.layout.itemsize


def _ascii(header: Mapping[str, Any], number: int, name: str, form: str) -> tuple[FitsColumn, int]:
    found = re.fullmatch(r"([AIFED])(\d+)(?:\.\d+)?", form)
    if found is None:
        raise ValueError(form)
    letter = {"F": "D", "E": "D"}.get(found[1], found[1])
    return FitsColumn(
        name, letter, int(found[2]), int(header[f"TBCOL{number}"]) - 1, ascii=True, **_about(header, number)
    ), 0
