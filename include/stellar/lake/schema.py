"""Arrow schemas with units, UCDs and descriptions, in the one form that the lake stores."""

from __future__ import annotations

import pyarrow as pa

from stellar.sky.healpix import INDEX_COLUMN

INDEX_FIELD = pa.field(
    INDEX_COLUMN,
    pa.int64(),
    # in the order in which metadata are stored
    metadata={b"description": b"HEALPix index of the position, order 29, nested", b"ucd": b"pos.HEALPix"},
)

_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)
_PLAIN = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
    pa.time32("s"): pa.time32("ms"),
    pa.date64(): pa.date32(),
}
# Metadata that describe a table's columns once more: wrong as soon as columns are chosen or added.
_HEADERS = (b"pandas", b"IVOA.VOTable-Parquet")


def field(
    name: str, type_: pa.DataType, unit: str | None = None, ucd: str | None = None, description: str = ""
) -> pa.Field:
    """A column with what a reader must know about it.

    Parameters
    ----------
    name : str
        With its unit as suffix, or the survey's published name.
    type_ : pyarrow.DataType
    unit : str, optional
        In VOUnits, for example ``mas.yr**-1``.
    ucd : str, optional
        IVOA UCD1+ word, for example ``pos.pm;pos.eq.ra``.
    description : str

    Returns
    -------
    pyarrow.Field
        Nullable, with metadata keys ``unit``, ``ucd`` and ``description`` where given.
    """
    given = {"unit": unit, "ucd": ucd, "description": description or None}
    return pa.field(name, type_, metadata={key: value for key, value in given.items() if value} or None)


def stored_type(type_: pa.DataType) -> pa.DataType:
    """The one type that the lake stores for a kind of data.

    Large, viewed and dictionary-encoded strings become plain strings, lists of all kinds plain lists whose items have
    the name that Parquet prescribes, and times that Parquet has no type for get the nearest finer one: readers see no
    difference, but the bytes of a file would.
    """
    if isinstance(type_, pa.BaseExtensionType):
        return stored_type(type_.storage_type)
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return stored_type(type_.value_type)
    if pa.types.is_struct(type_):
        return pa.struct([stored_field(type_.field(i)) for i in range(type_.num_fields)])
    if any(is_list(type_) for is_list in _LISTS):
        return pa.list_(pa.field("element", stored_type(type_.value_type)))
    if pa.types.is_timestamp(type_) and type_.unit == "s":
        return pa.timestamp("ms", type_.tz)
    return _PLAIN.get(type_, type_)


def stored_field(column: pa.Field) -> pa.Field:
    """A field as stored: `stored_type`, nullable, its metadata in a fixed order."""
    metadata = dict(sorted(column.metadata.items())) if column.metadata else None
    return pa.field(column.name, stored_type(column.type), nullable=True, metadata=metadata)


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """A schema as stored: every field by `stored_field`, without headers that describe the columns once more."""
    kept = without_headers(schema).metadata or {}
    return pa.schema([stored_field(column) for column in schema], metadata=dict(sorted(kept.items())) or None)


def without_headers(schema: pa.Schema) -> pa.Schema:
    """A schema without what pandas or a VOTable header in its metadata says of the columns."""
    if not schema.metadata:
        return schema
    kept = {key: value for key, value in schema.metadata.items() if not key.startswith(_HEADERS)}
    return schema.with_metadata(kept or None)


def describe(schema: pa.Schema) -> list[dict[str, str]]:
    """Columns as plain rows: name, type, unit, ucd, description."""
    keys = ("unit", "ucd", "description")
    return [
        {"name": column.name, "type": str(column.type)}
        | {key: (column.metadata or {}).get(key.encode(), b"").decode() for key in keys}
        for column in schema
    ]
