"""Columns as a survey's config declares them, and answers cast to them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from astropy.table import Table

from stellar.profile import TYPES as CURATED_TYPES
from stellar.surveys.http.checks import AnswerError

TYPES = {**CURATED_TYPES, "int16": pa.int16()}


def schema_of(columns: Mapping[str, str]) -> pa.Schema:
    """Arrow schema of a config's `columns`: name -> "type" or "type unit"."""
    fields = []
    for name, declared in columns.items():
        kind, _, unit = declared.partition(" ")
        fields.append(pa.field(name, TYPES[kind], metadata={"unit": unit} if unit else None))
    return pa.schema(fields)


def to_arrow(table: Table, schema: pa.Schema) -> pa.Table:
    """An astropy table, its columns found whatever their case, as Arrow of this schema; masked and NaN become null.

    Raises
    ------
    AnswerError
        When a column is missing or does not fit its type.
    """
    names = {name.lower(): name for name in table.colnames}
    columns = []
    for field in schema:
        if field.name.lower() not in names:
            raise AnswerError(f"the answer lacks the column {field.name}")
        try:
            columns.append(_column(table[names[field.name.lower()]], field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, TypeError) as error:
            raise AnswerError(f"column {field.name} is not {field.type}: {error}") from error
    return pa.Table.from_arrays(columns, schema=schema)


def _column(column: Table.Column, kind: pa.DataType) -> pa.Array:
    values = np.asarray(getattr(column, "data", column))
    mask = np.broadcast_to(np.asarray(getattr(column, "mask", False)), len(column)).copy()
    if pa.types.is_string(kind):
        text = ["" if hidden else _text(value) for value, hidden in zip(values.tolist(), mask, strict=True)]
        return pa.array([value or None for value in text], kind)
    if values.dtype.kind in "OSU":  # a column without any value is parsed as text
        words = [None if hidden else _text(value) or None for value, hidden in zip(values.tolist(), mask, strict=True)]
        if pa.types.is_boolean(kind):
            return pa.array([None if word is None else word.lower() in ("true", "t", "1") for word in words], kind)
        return pa.array(words, pa.string()).cast(kind)
    if values.dtype.kind == "f":
        mask |= np.isnan(values)
        if pa.types.is_integer(kind):
            values = np.where(mask, 0, values)
            if (values != np.round(values)).any():
                raise ValueError("fractions where whole numbers belong")
    return pa.array(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))), mask=mask).cast(kind)


def _text(value: object) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    return "" if text == "null" else text  # SkyServer writes nulls so
