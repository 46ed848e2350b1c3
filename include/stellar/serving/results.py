"""Columns and rows of results: Arrow's types as VOTable's, rows as what every format can write, and their cutting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from stellar.errors import InputError

_NUMBERS: dict[pa.DataType, tuple[str, pa.DataType]] = {
    pa.bool_(): ("boolean", pa.bool_()),
    pa.uint8(): ("unsignedByte", pa.uint8()),
    pa.int8(): ("short", pa.int16()),
    pa.int16(): ("short", pa.int16()),
    pa.uint16(): ("int", pa.int32()),
    pa.int32(): ("int", pa.int32()),
    pa.uint32(): ("long", pa.int64()),
    pa.int64(): ("long", pa.int64()),
    pa.uint64(): ("long", pa.int64()),
    pa.float16(): ("float", pa.float32()),
    pa.float32(): ("float", pa.float32()),
    pa.float64(): ("double", pa.float64()),
}
TEXT = "unicodeChar"
#: Of times, which DALI (3.3.3) has as plain characters.
TIME = "char"


@dataclass(frozen=True)
class Column:
    """A column of a result, or as it is published.

    Attributes
    ----------
    name : str
        Without quotation marks.
    datatype, arraysize, xtype : str
        VOTable's type; empty where there is none.
    unit, ucd, utype, description : str
    principal, indexed, std : bool
        As TAP_SCHEMA means them.
    """

    name: str
    datatype: str = ""
    arraysize: str = ""
    xtype: str = ""
    unit: str = ""
    ucd: str = ""
    utype: str = ""
    description: str = ""
    principal: bool = True
    indexed: bool = False
    std: bool = False


class Cut:
    """Batches up to a number of rows, and whether there were more."""

    def __init__(self, batches: Iterable[pa.RecordBatch], most: int) -> None:
        self._batches, self._most = batches, most
        #: Rows that were handed on.
        self.rows = 0
        #: Whether there were more.
        self.overflow = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            left = self._most - self.rows
            if batch.num_rows > left:
                self.overflow = True
                batch = batch.slice(0, left)
            self.rows += batch.num_rows
            if batch.num_rows:
                yield batch
            if self.overflow:
                return


def is_published(type_: pa.DataType) -> bool:
    """Whether columns of a type can be asked for: numbers, text and times; not lists, structures and bytes."""
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_timestamp, pa.types.is_date)
    return type_ in _NUMBERS or any(kind(type_) for kind in kinds)


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type that is written for one of DuckDB's results."""
    if type_ in _NUMBERS:
        return _NUMBERS[type_][1]
    if pa.types.is_decimal(type_):
        return pa.int64() if type_.scale == 0 else pa.float64()
    if pa.types.is_list(type_):
        return pa.list_(pa.float64())
    return pa.string()


def typed(column: Column, type_: pa.DataType) -> Column:
    """A column with VOTable's type for Arrow's."""
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return replace(column, datatype=TIME, arraysize="*", xtype="timestamp")
    plain = plain_type(type_)
    if pa.types.is_list(plain):
        return replace(column, datatype="double", arraysize={"point": "2", "circle": "3"}.get(column.xtype, "*"))
    if plain in _NUMBERS:
        return replace(column, datatype=_NUMBERS[plain][0], arraysize="", xtype="")
    return replace(column, datatype=TIME if column.xtype == "timestamp" else TEXT, arraysize="*")


def plain(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterable[pa.RecordBatch]:
    """Batches with every column of a plain type, for writing.

    Raises
    ------
    InputError
        When a whole number does not fit into 64 bits.
    """
    told = pa.schema([pa.field(field.name, plain_type(field.type)) for field in schema])
    for batch in batches:
        yield pa.RecordBatch.from_arrays(
            [_plain(column, field) for column, field in zip(batch.columns, told, strict=True)], schema=told
        )


def _plain(column: pa.Array, field: pa.Field) -> pa.Array:
    if column.type == field.type:
        return column
    if pa.types.is_timestamp(column.type):
        text = pc.strftime(column.cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%S")
        return text
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid:
        raise InputError(
            f"column {field.name} has numbers beyond 64 bits; write CAST(… AS DOUBLE PRECISION) around it"
        ) from None
