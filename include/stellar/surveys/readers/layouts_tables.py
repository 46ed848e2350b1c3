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
from stellar.surveys.readers.spectrum_columns import Found, is_spectrum, spectra_of
from stellar.surveys.readers.spectrum_rows import Spectrum

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?|[+-]?(nan|inf(inity)?)", re.IGNORECASE)
_KEYWORD = re.compile(r"^\s*([A-Za-z_][\w ]*?)\s*[:=]\s*(.+?)\s*$")
_UNNAMED = {2: ("wavelength", "flux"), 3: ("wavelength", "flux", "error")}
_EMPTY = ("", "null", "none", "n/a", "--", "masked")
LAYOUT = "table"


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
    for number, column in enumerate(hdu.columns, start=1):
        values = np.asarray(hdu.data[column.name])
        if values.dtype.kind in "fiub":
            if values.dtype.kind != "b":
                values = np.where(values == column.null, np.nan, values) if column.null is not None else values
            values = values.astype(np.float64)
        elif values.dtype.kind == "O":  # rows of different lengths
            values = _padded(values, column.name, name)
        ucd = str(hdu.header.get(f"TUCD{number}") or "")
        columns[column.name] = Found(column.name, values, column.unit or "", ucd)
    columns = {key: one for key, one in columns.items() if one.values.dtype.kind == "f" or one.values.ndim == 1}
    return spectra_of(columns, _about(lambda *keys: _first(headers, *keys)), told, name)


def _padded(values: np.ndarray, column: str, name: str) -> np.ndarray:
    try:
        parts = [np.asarray(one, np.float64) for one in values]
    except (TypeError, ValueError):
        raise InputError(f"{name}: column {column} holds no numbers") from None
    made = np.full((len(parts), max(map(len, parts), default=0)), np.nan)
    for row, part in zip(made, parts, strict=True):
        row[: len(part)] = part
    return made


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
    if start.startswith("<"):
        return _of_astropy(member, "votable")
    if re.match(r"#\s*%ECSV", start):
        return _of_astropy(member, "ascii.ecsv")
    return _of_lines(text, member.name)


def _of_astropy(member: Member, kind: str) -> list[Spectrum]:
    from astropy.table import Table

    source: Any = io.BytesIO(member.data) if kind == "votable" else member.data.decode("utf-8-sig").splitlines()
    try:
        table = Table.read(source, format=kind)
    except Exception as fault:  # astropy raises a dozen kinds
        shown = {"votable": "VOTable", "ascii.ecsv": "ECSV table"}[kind]
        raise InputError(f"{member.name}: not a readable {shown}: {fault}") from None
    if not len(table):
        raise InputError(f"{member.name}: it has no rows")
    told = {str(key).lower(): value for key, value in table.meta.items()}
    columns = {}
    for name in table.colnames:
        column = table[name]
        values = np.ma.asarray(column) if not hasattr(column, "unmasked") else np.asarray(column)
        ucd = str(getattr(column, "meta", {}).get("ucd", "")) if getattr(column, "meta", None) else ""
        unit = "" if getattr(column, "unit", None) is None else str(column.unit)
        if values.dtype.kind in "fiub":
            numbers = np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)
            columns[name] = Found(name, np.asarray(numbers), unit, ucd)
        elif values.ndim == 1 and values.dtype.kind in "SU":
            columns[name] = Found(name, np.asarray(values).astype(str), unit, ucd)
        elif values.dtype.kind == "O":
            columns[name] = Found(name, _padded(np.asarray(values), name, member.name), unit, ucd)
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
    fields = [(number, _split(line, delimiter)) for number, line in rows]
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
    for place, (column, cells) in enumerate(zip(names, zip(*(cells for _, cells in fields), strict=True), strict=True)):
        wrong = next((i for i, c in enumerate(cells) if not _NUMBER.fullmatch(c) and c.lower() not in _EMPTY), None)
        if wrong is None:
            numbers = [float("nan") if c.lower() in _EMPTY else float(re.sub("[dD]", "e", c)) for c in cells]
            columns[column] = Found(column, np.array(numbers))
        elif is_spectrum([column, "flux"]) or is_spectrum([column, "wave"]):
            raise InputError(f"{name}: row {fields[wrong][0]}: {column}: {fields[wrong][1][place]!r} is no number")
        else:
            columns[column] = Found(column, np.array(cells))
    return spectra_of(columns, _about_of(told), told, name)


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
    return [match.groups() for comment in comments if (match := _KEYWORD.match(comment))]
