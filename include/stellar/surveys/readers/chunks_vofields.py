"""VOTable FIELDs: what they say of a column, and the Arrow type of its values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers.chunks_schema import field

# VOTable 1.4, section 6: datatype, its Arrow type and its form in BINARY streams
_TYPES: dict[str, tuple[pa.DataType, str]] = {
    "boolean": (pa.bool_(), "u1"),
    "bit": (pa.bool_(), "u1"),
    "unsignedByte": (pa.uint8(), "u1"),
    "short": (pa.int16(), ">i2"),
    "int": (pa.int32(), ">i4"),
    "long": (pa.int64(), ">i8"),
    "char": (pa.string(), "S"),
    "unicodeChar": (pa.string(), "S"),
    "float": (pa.float32(), ">f4"),
    "double": (pa.float64(), ">f8"),
    "floatComplex": (pa.float32(), ">f4"),
    "doubleComplex": (pa.float64(), ">f8"),
}


@dataclass
class VoField:
    """A FIELD element."""

    name: str
    datatype: str
    arraysize: str = ""
    unit: str | None = None
    ucd: str | None = None
    description: str = ""
    null: str | None = None

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> VoField:
        """From the element's attributes; the name is its `name`, as astropy's and TOPCAT's columns have it."""
        name = attributes.get("name") or attributes.get("ID") or ""
        size = attributes.get("arraysize", "")
        given = attributes.get("unit"), attributes.get("ucd")
        return cls(name.strip(), attributes.get("datatype", "char"), size.strip(), *given)

    @property
    def scalar(self) -> pa.DataType:
        """The type of a single value."""
        if self.datatype not in _TYPES:
            raise InputError(f"FIELD {self.name}: datatype {self.datatype!r} is none of {', '.join(_TYPES)}")
        return _TYPES[self.datatype][0]

    @property
    def code(self) -> str:
        """NumPy's code of a single value in a BINARY stream."""
        return _TYPES[self.datatype][1]

    @property
    def is_text(self) -> bool:
        return self.datatype in ("char", "unicodeChar")

    @property
    def shape(self) -> tuple[list[int], bool]:
        """Its fixed dimensions, first the fastest, and whether one more varies from row to row."""
        if not re.fullmatch(r"(\d+x)*(\d+\*?|\*)?", self.arraysize):
            raise InputError(f"FIELD {self.name}: arraysize {self.arraysize!r} is not like 3, 3x4, * or 3x*")
        sizes = [int(part) for part in self.arraysize.split("x") if part and not part.endswith("*")]
        return [2, *sizes] if self.datatype.endswith("Complex") else sizes, self.arraysize.endswith("*")

    @property
    def varies(self) -> bool:
        """Whether rows have different numbers of values."""
        return self.shape[1]

    @property
    def count(self) -> int | None:
        """Values (text: characters of all its texts) in a row; None where that varies."""
        sizes, varies = self.shape
        total = 1
        for size in sizes:
            total *= size
        return None if varies else total

    @property
    def text_width(self) -> int | None:
        """Characters of one text in a row of several; None where a row is one text."""
        sizes, varies = self.shape
        return sizes[0] if self.is_text and len(sizes) + varies > 1 else None

    @property
    def type(self) -> pa.DataType:
        """The column's type: several values are a list, flattened where they have more dimensions than one."""
        element = pa.field("element", self.scalar)
        sizes, varies = self.shape
        if self.is_text:
            if self.text_width is None:
                return pa.string()
            return pa.list_(element) if varies else pa.list_(element, (self.count or 0) // max(self.text_width, 1))
        if varies:
            return pa.list_(element)
        return self.scalar if sizes in ([], [1]) else pa.list_(element, self.count or 0)

    def to_arrow(self) -> pa.Field:
        """As an Arrow field with unit, UCD and description."""
        return field(self.name, self.type, self.unit, self.ucd, self.description)
