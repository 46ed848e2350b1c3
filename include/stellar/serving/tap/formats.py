"""Formats of results: which ones there are, what they are called, and how rows are written to a file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.lake.voparquet import votable_footer
from stellar.serving import votable
from stellar.serving.results import Column, Cut


@dataclass(frozen=True)
class Format:
    """A format of results.

    Attributes
    ----------
    key : str
    mime : str
        Of the answer.
    alias : str
        Its short name.
    called : tuple of str
        What else RESPONSEFORMAT may say, in lower case.
    suffix : str
        Of a file of it.
    """

    key: str
    mime: str
    alias: str
    suffix: str
    called: tuple[str, ...] = ()


BINARY2 = Format(
    "votable_b2",
    votable.MIME,
    "votable",
    "vot",
    ("votable/b2", "application/x-votable+xml;serialization=binary2", "application/x-votable+xml;serialization=binary"),
)
FORMATS = (
    BINARY2,
    Format(
        "votable_td",
        "application/x-votable+xml;serialization=tabledata",
        "votable/td",
        "vot",
        ("votable_td", "application/x-votable+xml;serialization=text"),
    ),
    Format("votable_xml", "text/xml", "xml", "xml"),
    Format("csv", "text/csv", "csv", "csv", ("text/csv;header=present",)),
    Format("tsv", "text/tab-separated-values", "tsv", "tsv"),
    Format("fits", "application/fits", "fits", "fits", ("image/fits",)),
    Format("parquet", "application/vnd.apache.parquet", "parquet", "parquet", ("application/x-parquet",)),
)


def chosen(name: str | None) -> Format:
    """The format of a RESPONSEFORMAT; BINARY2 where it says nothing.

    Raises
    ------
    InputError
        When there is no such format.
    """
    if not name:
        return BINARY2
    asked = "".join(name.lower().split()).replace('"', "")
    for one in FORMATS:
        if asked in (one.mime, one.alias, *one.called):
            return one
    raise InputError(f"RESPONSEFORMAT={name}: there is no such format; use {', '.join(one.alias for one in FORMATS)}")


def write(
    path: Path,
    format_: Format,
    columns: Sequence[Column],
    rows: Cut,
    infos: Sequence[tuple[str, str]],
    schema: pa.Schema,
) -> None:
    """Write rows to a file.

    Parameters
    ----------
    path : Path
    format_ : Format
    columns : sequence of Column
        With their types.
    rows : Cut
        Of plain types.
    infos : sequence of (name, value)
        What VOTable says before the table.
    schema : pyarrow.Schema
        Of the rows.
    """
    if format_.key.startswith("votable"):
        with path.open("wb") as file:
            for piece in votable.document(columns, rows, infos, binary=format_.key == "votable_b2"):
                file.write(piece)
            file.write(votable.tail(rows.overflow))
    elif format_.key in ("csv", "tsv"):
        _write_text(path, columns, rows, "," if format_.key == "csv" else "\t")
    else:
        told = pa.schema([_arrow(column, field) for column, field in zip(columns, schema, strict=True)])
        table = pa.Table.from_batches(list(rows), schema).cast(told)
        (_write_fits if format_.key == "fits" else _write_parquet)(path, table, columns)


def _write_text(path: Path, columns: Sequence[Column], rows: Cut, separator: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        writer.writerow([column.name for column in columns])
        for batch in rows:
            values = [_plain_text(column).to_pylist() for column in batch.columns]
            lines = zip(*values, strict=True)
            while part := list(islice(lines, 10_000)):
                writer.writerows(part)


def _plain_text(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        return pa.array([None if row is None else " ".join(map(repr, row)) for row in column.to_pylist()], pa.string())
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _arrow(column: Column, field: pa.Field) -> pa.Field:
    given = {"unit": column.unit, "ucd": column.ucd, "description": column.description}
    return pa.field(column.name, field.type, metadata={key: value for key, value in given.items() if value} or None)


def _write_parquet(path: Path, table: pa.Table, columns: Sequence[Column]) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table.replace_schema_metadata(votable_footer(table)), path, compression="zstd")


def _write_fits(path: Path, table: pa.Table, columns: Sequence[Column]) -> None:
    from astropy.io import fits

    made = [
        _fits_column(fits, column, array.combine_chunks()) for column, array in zip(columns, table.columns, strict=True)
    ]
    fits.BinTableHDU.from_columns(made, nrows=table.num_rows).writeto(path, overwrite=True)


def _fits_column(fits: Any, column: Column, array: pa.Array) -> Any:
    """A column as FITS has it: a whole number's null is the smallest of its type, other characters than ASCII a `?`."""
    given: dict[str, Any] = {"name": column.name, "unit": column.unit or None}
    if pa.types.is_string(array.type):
        texts = [(text or "").encode("ascii", "replace") for text in array.to_pylist()]
        width = max(1, *map(len, texts)) if texts else 1
        return fits.Column(**given, format=f"{width}A", array=np.array(texts, f"S{width}"))
    if pa.types.is_list(array.type):
        rows = [np.array([np.nan if x is None else x for x in row or ()], float) for row in array.to_pylist()]
        if column.arraysize.isdigit():
            size = int(column.arraysize)
            full = [row if len(row) == size else np.full(size, np.nan) for row in rows]
            return fits.Column(**given, format=f"{size}D", array=np.array(full).reshape(-1, size))
        return fits.Column(**given, format="PD()", array=np.array([*rows, None], object)[:-1])
    if pa.types.is_boolean(array.type) and not array.null_count:
        return fits.Column(**given, format="L", array=array.to_numpy(zero_copy_only=False).astype(bool))
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int16())
    kind = np.dtype(array.type.to_pandas_dtype())
    format_ = {"f4": "E", "f8": "D", "i2": "I", "i4": "J", "i8": "K", "u1": "B"}[kind.str[1:]]
    if kind.kind == "f":
        values = array.fill_null(pa.scalar(np.nan, array.type)).to_numpy(zero_copy_only=False)
        return fits.Column(**given, format=format_, array=values)
    null = int(np.iinfo(kind).min if kind.kind == "i" else np.iinfo(kind).max)
    told = {"null": null} if array.null_count else {}
    values = array.fill_null(pa.scalar(null, array.type)).to_numpy(zero_copy_only=False)
    return fits.Column(**given, **told, format=format_, array=values)
