"""Tables as files of other formats, and missing numbers as a sentinel for those who want one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from stellar.errors import InputError

Writer = Callable[[pa.Table, Path], None]


def with_sentinel(table: pa.Table, missing: float) -> pa.Table:
    """The table with `missing` for each null and NaN of its numeric columns; texts, flags and lists stay.

    Raises
    ------
    InputError
        When a column cannot hold the sentinel, or holds it as a value: then it would be taken for a missing one.
    """
    for place, column in enumerate(table.schema):
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            continue
        try:
            sentinel = pa.scalar(missing).cast(column.type)
        except pa.ArrowInvalid:
            raise InputError(
                f"--missing {missing:g}: column {column.name} is {column.type}, which cannot hold it; take a whole "
                "number within its range"
            ) from None
        values = table.column(place)
        if pc.any(pc.equal(values, sentinel)).as_py():
            raise InputError(
                f"--missing {missing:g}: column {column.name} has {missing:g} as a value; take a number that is none"
            )
        if pa.types.is_floating(column.type):
            values = pc.if_else(pc.is_nan(values), sentinel, values)
        table = table.set_column(place, column, pc.fill_null(values, sentinel))
    return table


def write_csv(table: pa.Table, path: Path) -> None:
    """Comma-separated values; a missing value is an empty field."""
    _refuse_lists(table, "csv")
    pyarrow.csv.write_csv(table, path)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Parquet with the units and UCDs of the schema."""
    pq.write_table(table, path, compression="zstd")


def write_fits(table: pa.Table, path: Path) -> None:
    r"""A FITS binary table: missing floats are NaN, integers TNULL, texts empty.

    A column of flags some of which are missing is one of the numbers 1, 0 and TNULL. A letter beyond ASCII, which FITS
    has not, is written as its number: \u2212. Descriptions and UCDs stand in TCOMM and TUCD, where TOPCAT reads them.
    """
    from astropy.io import fits

    _refuse_lists(table, "fits")
    for place, one in enumerate(table.schema):
        if pa.types.is_string(one.type) and not pc.all(pc.string_is_ascii(table.column(one.name))).as_py():
            texts = [text and text.encode("ascii", "backslashreplace").decode() for text in table[one.name].to_pylist()]
            table = table.set_column(place, one, pa.array(texts, pa.string()))
    hdu = fits.table_to_hdu(_as_astropy(table, flags_as_numbers=True))
    for number, one in enumerate(table.schema, 1):
        told = {key.decode(): value.decode() for key, value in (one.metadata or {}).items()}
        for card, key in (("TCOMM", "description"), ("TUCD", "ucd")):
            if told.get(key):
                hdu.header[f"{card}{number}"] = told[key].encode("ascii", "backslashreplace").decode()
    hdu.writeto(path)


def write_votable(table: pa.Table, path: Path) -> None:
    """A VOTable (BINARY2), with units, UCDs and descriptions."""
    from astropy.io.votable import from_table

    _refuse_lists(table, "votable")
    from_table(_as_astropy(table, flags_as_numbers=False)).to_xml(str(path), tabledata_format="binary2")


WRITERS: dict[str, tuple[str, Writer]] = {
    "parquet": ("parquet", write_parquet),
    "csv": ("csv", write_csv),
    "fits": ("fits", write_fits),
    "votable": ("vot", write_votable),
}


def _refuse_lists(table: pa.Table, form: str) -> None:
    lists = [one.name for one in table.schema if pa.types.is_nested(one.type)]
    if lists:
        raise InputError(f"--format {form}: {', '.join(lists)} hold lists, which such files cannot; take parquet")


def _as_astropy(table: pa.Table, *, flags_as_numbers: bool) -> Any:
    from astropy.table import Table

    return Table([_column(table.column(one.name), one, flags_as_numbers) for one in table.schema])


def _column(values: pa.ChunkedArray, about: pa.Field, flags_as_numbers: bool) -> Any:
    from astropy.table import Column, MaskedColumn

    told = {key.decode(): value.decode() for key, value in (about.metadata or {}).items()}
    what = {"name": about.name, "unit": _unit(told.get("unit")), "description": told.get("description")}
    what["meta"] = {"ucd": told["ucd"]} if "ucd" in told else {}
    array = values.combine_chunks()
    mask = array.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(about.type):
        return Column(array.to_numpy(zero_copy_only=False), **what)
    if pa.types.is_integer(about.type):
        numbers = array.fill_null(0).to_numpy(zero_copy_only=False)
    elif pa.types.is_boolean(about.type):
        numbers = array.fill_null(False).to_numpy(zero_copy_only=False)
        numbers = numbers.astype(np.int16) if flags_as_numbers and mask.any() else numbers
    else:
        # texts, and times as texts
        return Column(np.asarray(array.cast(pa.string()).fill_null("").to_pylist(), dtype=str), **what)
    if not mask.any():
        return Column(numbers, **what)
    fill = np.iinfo(numbers.dtype).min if numbers.dtype.kind == "i" else None
    return MaskedColumn(numbers, mask=mask, fill_value=fill, **what)


def _unit(text: str | None) -> Any:
    from astropy import units

    return units.Unit(text, format="vounit", parse_strict="silent") if text else None
