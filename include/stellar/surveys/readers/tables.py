"""Readers of tables: CSV, whitespace columns, Parquet, FITS, VOTable, ECSV. Text stays text until the column map."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers.members import Member
from stellar.surveys.readers.parse import NULLS
from stellar.surveys.readers.votable_streams import refuse_streams

FAULT = "fault"
ROW = "file_row"


def read_csv(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """Delimited text with a header line; every column as text.

    A row with another number of fields keeps its place with nulls and says so in the column `fault`.

    Parameters
    ----------
    options
        `delimiter` (a comma unless given), `encoding` (UTF-8), `comment` (lines that start with it are left out).
    """
    import pyarrow.csv as pa_csv

    text = _text(member, options)
    delimiter = options.get("delimiter", ",")
    header = next(csv.reader(io.StringIO(text.partition("\n")[0]), delimiter=delimiter), [])
    names = _unique([name.strip() for name in header], member)
    bad: dict[int, str] = {}

    def keep_aside(row: Any) -> str:
        bad[row.number - 1] = f"{row.actual_columns} fields instead of {row.expected_columns}: {row.text[:80]!r}"
        return "skip"

    try:
        table = pa_csv.read_csv(
            io.BytesIO(text.encode()),
            read_options=pa_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep_aside
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                strings_can_be_null=True,
                null_values=[*NULLS],
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as fault:
        if "Empty CSV" in str(fault):
            return _numbered(pa.table({name: pa.array([], pa.string()) for name in names}), {})
        raise InputError(f"{member.name}: not a readable CSV: {fault}") from None
    # the header is row 1 for the handler
    return _numbered(table, {number: text for number, text in bad.items()})


def read_ascii(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """Columns set apart by white space; every column as text.

    Parameters
    ----------
    options
        `names`: the columns, where no line names them; `comment`: `#` unless given.
    """
    lines = _text(member, {"comment": "#", **options}).splitlines()
    rows = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    names = list(options["names"]) if "names" in options else rows.pop(0)[1] if rows else []
    names = _unique(names, member)
    good = [fields for _, fields in rows if len(fields) == len(names)]
    bad = {
        place: f"{len(fields)} fields instead of {len(names)}: {' '.join(fields)[:80]!r}"
        for place, (_, fields) in enumerate(rows, start=1)
        if len(fields) != len(names)
    }
    columns = list(zip(*good, strict=True)) if good else [()] * len(names)
    return _numbered(pa.table({n: pa.array(c, pa.string()) for n, c in zip(names, columns, strict=True)}), bad)


def read_parquet(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """A Parquet file, with its own types."""
    import pyarrow.parquet as pq

    try:
        return _numbered(pq.ParquetFile(io.BytesIO(member.data)).read().replace_schema_metadata(None), {})
    except pa.ArrowInvalid as fault:
        raise InputError(f"{member.name}: not a readable Parquet file: {fault}") from None


def read_fits_table(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """A binary or ASCII table of a FITS file; the primary header's cards as columns `header.<KEYWORD>`.

    Parameters
    ----------
    options
        `hdu`: number or name of the extension, 1 unless given.
    """
    from stellar.surveys.readers.fits import opened

    hdu = options.get("hdu", 1)
    with opened(member, options) as hdus:
        try:
            found = hdus[hdu]
        except (KeyError, IndexError):
            raise InputError(f"{member.name}: no extension {hdu!r}; it has {[h.name for h in hdus]}") from None
        if not hasattr(found, "columns"):
            raise InputError(f"{member.name}: extension {hdu!r} is no table; name one in `options: {{hdu: ...}}`")
        columns = {c.name: _fits_column(found.data[c.name], c.null) for c in found.columns}
        header = {k: v for k, v in hdus[0].header.items() if isinstance(v, str | int | float | bool) and k}
        n = len(found.data)
    columns |= {f"header.{key}": pa.array([value] * n) for key, value in header.items() if key not in _COMMENTARY}
    return _numbered(pa.table(columns), {})


_COMMENTARY = ("COMMENT", "HISTORY")


def _fits_column(values: Any, null: Any) -> pa.Array:
    array = np.asarray(values)
    if array.dtype.kind in "SU":
        return pa.array(np.char.strip(np.asarray(values, dtype=str)).tolist(), pa.string())
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    mask = (array == null) if null is not None and array.dtype.kind in "iu" else None
    return arrow_column(array, mask)


def arrow_column(array: Any, mask: Any = None) -> pa.Array:
    """A NumPy column as Arrow; rows of more than one value become lists."""
    if array.ndim > 1:
        return pa.array([row.ravel().tolist() for row in array])
    if array.dtype.kind == "O":
        return pa.array([None if v is None or v is np.ma.masked else v for v in array.tolist()])
    return pa.array(array, mask=mask)


def read_votable(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """The first table of a VOTable; an OVERFLOW or an error in it is an error here."""
    from astropy.io.votable import parse

    refuse_streams(member)
    try:
        tree = parse(io.BytesIO(member.data).read, verify="ignore")  # of a file, it would unpack what is packed in it
        table = tree.get_first_table()
    except Exception as fault:  # astropy raises a dozen kinds
        raise InputError(f"{member.name}: not a readable VOTable: {fault}") from None
    for info in [i for resource in tree.resources for i in resource.infos]:
        if info.name == "QUERY_STATUS" and str(info.value).upper() in ("OVERFLOW", "ERROR"):
            raise InputError(f"{member.name}: QUERY_STATUS is {info.value}: rows are missing; ask the archive again")
    return _numbered(_of_astropy(table.to_table(use_names_over_ids=True)), {})


def read_ecsv(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """An ECSV table, with the types that its header declares."""
    from astropy.table import Table

    try:
        table = Table.read(_text(member, {}).splitlines(), format="ascii.ecsv")
    except Exception as fault:  # astropy raises a dozen kinds
        raise InputError(f"{member.name}: not a readable ECSV table: {fault}") from None
    return _numbered(_of_astropy(table), {})


def _of_astropy(table: Any) -> pa.Table:
    columns = {}
    for name in table.colnames:
        column = table[name]
        mask = np.asarray(getattr(column, "mask", np.zeros(len(column), bool)))
        values = np.asarray(getattr(column, "filled", lambda c=column: c)())
        if values.dtype.kind in "SUO" and values.ndim == 1:
            columns[name] = pa.array([None if m else _plain(v) for v, m in zip(values, mask, strict=True)])
        else:
            native = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("=")))
            columns[name] = arrow_column(native, mask if mask.ndim == 1 and mask.any() else None)
    return pa.table(columns)


def _plain(cell: Any) -> Any:
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    return cell.tolist() if isinstance(cell, np.ndarray) else cell


def _numbered(table: pa.Table, bad: Mapping[int, str]) -> pa.Table:
    """Add `file_row` (1 is the first row of data) and, for rows that could not be split into fields, `fault`."""
    total = len(table) + len(bad)
    good = np.array([n for n in range(1, total + 1) if n not in bad], np.int64)
    table = table.append_column(ROW, pa.array(good)).append_column(FAULT, pa.nulls(len(table), pa.string()))
    if not bad:
        return table
    broken = pa.table({ROW: pa.array(sorted(bad), pa.int64()), FAULT: [bad[n] for n in sorted(bad)]})
    return pa.concat_tables([table, broken], promote_options="default").sort_by(ROW)


def _text(member: Member, options: Mapping[str, Any]) -> str:
    encoding = options.get("encoding", "utf-8-sig")
    try:
        text = member.data.decode(encoding)
    except UnicodeDecodeError as fault:
        raise InputError(
            f"{member.name}: byte {fault.start} is not {encoding}; give the encoding in `options: {{encoding: ...}}`"
        ) from None
    comment = options.get("comment")
    if comment:
        text = "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith(comment))
    return text


def _unique(names: list[str], member: Member) -> list[str]:
    twice = sorted({n for n in names if names.count(n) > 1})
    if not names or twice:
        what = f"column {', '.join(twice)} stands twice in the header" if twice else "there is no header line"
        raise InputError(f"{member.name}: row 1: {what}; mend the file's first line")
    return names
