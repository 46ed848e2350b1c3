"""Tables of a user's own as spectra: FITS tables, CSV, ECSV, VOTable, and columns of text with or without names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from stellar.errors import InputError
from stellar.surveys.readers.fits import card
from stellar.surveys.readers.members import Member
from stellar.surveys.readers.spectrum_columns import MARKS, Found, checked_roles, found_of, is_spectrum, spectra_of
from stellar.surveys.readers.spectrum_rows import Spectrum
from stellar.surveys.readers.votable_streams import refuse_streams

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eEdD][+-]?\d+)?|[+-]?(nan|inf(inity)?)", re.IGNORECASE)
_KEYWORD = re.compile(r"[A-Za-z_][\w ]*")
_UNNAMED = {2: ("wavelength", "flux"), 3: ("wavelength", "flux", "error")}
_TRUTHS = {"true": "1", "false": "0"}
_EMPTY = ("", "null", "none", "n/a", "--", "masked")
LAYOUT = "table"
MOST_SHARED = 1 << 24  # values of rows that share their bytes
_LOST = (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError, csv.Error)


def is_fits_table(hdus: Any) -> bool:
    """Whether a table of it has columns of wavelength and flux."""
    return _table_of(hdus) is not None


def _table_of(hdus: Any) -> Any:
    return next((hdu for hdu in hdus if hasattr(hdu, "columns") and is_spectrum(list(hdu.columns.names))), None)


def read_fits_table(hdus: Any, name: str) -> list[Spectrum]:
    """The first table with a wavelength and a flux: a row for each pixel, or for each spectrum."""
    hdu = _table_of(hdus)
    headers = [hdu.header, hdus[0].header]
    told = {key.lower(): value for header in reversed(headers) for key, value in header.items() if key}
    columns = {}
    role_of = {column: role for role, column in checked_roles(list(hdu.columns.names), name).items()}
    for number, column in enumerate(hdu.columns, start=1):
        if column.name not in role_of:
            continue
        values = np.asarray(hdu.data[column.name])
        if values.dtype.kind == "O":
            _check_size(values, hdu.size, column.name, name)
        null = values == column.null if column.null is not None and values.dtype.kind in "iu" else None
        ucd = str(hdu.header.get(f"TUCD{number}") or "")
        columns[column.name] = found_of(
            role_of[column.name], column.name, values, name, unit=column.unit or "", ucd=ucd, null=null
        )
    told_of = _about(lambda *keys: _first(headers, *keys))
    return spectra_of({key: one for key, one in columns.items() if one is not None}, told_of, told, name)


def _check_size(rows: np.ndarray, size: int, column: str, name: str) -> None:
    """Refuse rows that hold far more than the file: descriptors of rows may all point to the same bytes."""
    pixels = sum(np.size(one) for one in rows)
    if pixels > max(size, MOST_SHARED):
        raise InputError(f"{name}: column {column}: its rows have {pixels} values, the table has {size} bytes")


def _first(headers: list[Any], *keys: str) -> Any:
    return next((found for header in headers if (found := card(header, *keys)) is not None), None)


def _about(told: Any) -> dict[str, Any]:
    """What a file says of its star: `told` gives the value of the first of some keywords that it has."""
    ra, dec = told("RA", "RA_OBJ", "RA_TARG"), told("DEC", "DEC_OBJ", "DEC_TARG")
    place = (_number(ra), _number(dec))
    named = told("OBJECT", "TARGNAME", "DESIG", "OBJECT_ID", "STAR")
    mjd = _number(told("MJD", "MJD-OBS"))
    return {
        "layout": LAYOUT,
        "object_name": None if named is None else str(named).strip() or None,
        "ra": place[0] if None not in place else None,
        "dec": place[1] if None not in place else None,
        "mjd": None if mjd is None else int(mjd),
    }


def _about_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The same from keywords by lower-case name."""
    return _about(lambda *keys: next((told[key.lower()] for key in keys if key.lower() in told), None))


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None


def read_text(member: Member) -> list[Spectrum]:
    """Spectra of a text file, by what it begins with: VOTable, ECSV, or lines of fields.

    Fields are set apart by commas, semicolons, tabs or white space. Names stand in the first line, or in the last
    comment before the numbers; two or three columns without names are wavelength, flux and error. Comments may hold
    keywords (`# medium: air`).

    Raises
    ------
    InputError
        When it is no such table, with the row that is wrong.
    """
    try:
        text = member.data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise InputError(
            f"{member.name}: neither FITS nor text (byte {fault.start}); no layout that is known"
        ) from None
    start = text.lstrip()[:2000]
    try:
        if start.startswith("<"):
            return _of_astropy(member, "votable")
        if re.match(r"#\s*%ECSV", start):
            return _of_astropy(member, "ascii.ecsv")
        return _of_lines(text, member.name)
    except _LOST as fault:
        raise InputError(f"{member.name}: a damaged table: {fault!r}") from None


def _of_astropy(member: Member, kind: str) -> list[Spectrum]:
    from astropy.table import Table

    source: Any = member.data.decode("utf-8-sig").splitlines()
    if kind == "votable":
        refuse_streams(member)
        source = io.BytesIO(member.data)  # text by now: astropy finds nothing to unpack in it
    try:
        table = Table.read(source, format=kind)
    except Exception as fault:  # astropy raises a dozen kinds
        shown = {"votable": "VOTable", "ascii.ecsv": "ECSV table"}[kind]
        raise InputError(f"{member.name}: not a readable {shown}: {fault}") from None
    if not len(table):
        raise InputError(f"{member.name}: it has no rows")
    told = {str(key).lower(): value for key, value in table.meta.items()}
    columns = {}
    for role, name in checked_roles(table.colnames, member.name).items():
        column = table[name]
        masked = np.ma.asarray(column) if not hasattr(column, "unmasked") else np.ma.asarray(np.asarray(column))
        ucd = str(getattr(column, "meta", {}).get("ucd", "")) if getattr(column, "meta", None) else ""
        unit = "" if getattr(column, "unit", None) is None else str(column.unit)
        null = np.ma.getmaskarray(masked) if masked.dtype.kind != "O" else None
        found = found_of(role, name, np.ma.getdata(masked), member.name, unit=unit, ucd=ucd, null=null)
        if found is not None:
            columns[name] = found
    return spectra_of(
        columns, _about(lambda *keys: next((told[k] for k in keys if k in told), None)), told, member.name
    )


def _of_lines(text: str, name: str) -> list[Spectrum]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    comments = [line.lstrip()[1:].strip() for _, line in lines if line.lstrip().startswith("#")]
    rows = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
    if not rows:
        raise InputError(f"{name}: there is no line of numbers in it")
    first = rows[0][1]
    delimiter = next((mark for mark in (",", ";", "\t") if mark in first), None)
    fields = [(number, _cells(line, delimiter, number, name)) for number, line in rows]
    names = _names(fields, comments, delimiter, name)
    if not all(_NUMBER.fullmatch(cell) or cell.lower() in _EMPTY for cell in fields[0][1]) and fields[0][1] == names:
        fields = fields[1:]
    for number, cells in fields:
        if len(cells) != len(names):
            raise InputError(f"{name}: row {number}: {len(cells)} fields instead of {len(names)}")
    if not fields:
        raise InputError(f"{name}: there is no line of numbers in it")
    told = {key.strip().lower().replace(" ", "_"): value for key, value in _keywords(comments)}
    columns = {}
    for role, column in checked_roles(names, name).items():
        place = names.index(column)
        cells = [cells[place] for _, cells in fields]
        if role == "id":
            columns[column] = Found(column, np.array(cells, object))
            continue
        words = {**dict.fromkeys(_EMPTY, "nan"), **(_TRUTHS if role in MARKS else {})}
        texts = [words.get(cell.lower(), cell) for cell in cells]
        wrong = next((i for i, text in enumerate(texts) if not _NUMBER.fullmatch(text)), None)
        if wrong is None:
            columns[column] = Found(column, np.array([float(re.sub("[dD]", "e", text)) for text in texts]))
        elif role not in MARKS:  # marks in words of the file's own are left out
            raise InputError(f"{name}: row {fields[wrong][0]}: {column}: {cells[wrong][:80]!r} is no number")
    return spectra_of(columns, _about_of(told), told, name)


def _cells(line: str, delimiter: str | None, number: int, name: str) -> list[str]:
    try:
        return _split(line, delimiter)
    except csv.Error as fault:
        raise InputError(f"{name}: row {number}: {fault}") from None


def _split(line: str, delimiter: str | None) -> list[str]:
    cells = next(csv.reader([line], delimiter=delimiter)) if delimiter else line.split()
    return [cell.strip() for cell in cells]


def _names(fields: list[tuple[int, list[str]]], comments: list[str], delimiter: str | None, name: str) -> list[str]:
    first = fields[0][1]
    if any(not _NUMBER.fullmatch(cell) and cell.lower() not in _EMPTY for cell in first) and is_spectrum(first):
        twice = sorted({one for one in first if first.count(one) > 1})
        if twice:
            raise InputError(f"{name}: column {', '.join(twice)} stands twice in the header; keep one")
        return first
    for comment in reversed(comments):
        told = _split(comment, delimiter)
        if len(told) == len(first) and is_spectrum(told) and len(set(told)) == len(told):
            return told
    if all(_NUMBER.fullmatch(cell) for cell in first) and len(first) in _UNNAMED:
        return list(_UNNAMED[len(first)])
    raise InputError(
        f"{name}: no columns of wavelength and flux; it begins with {' '.join(first)[:80]!r}: name the columns in the "
        "first line, such as wavelength, flux, error"
    )


def _keywords(comments: list[str]) -> list[tuple[str, str]]:
    """`name: value` and `name = value`, each comment parted at the first of these signs."""
    parted = [comment.partition(min(":=", key=lambda sign: comment.find(sign) % (1 << 62))) for comment in comments]
    pairs = [(key.strip(), value.strip()) for key, _, value in parted]
    return [(key, value) for key, value in pairs if value and _KEYWORD.fullmatch(key)]
