"""Columns of a table of one's own as a spectrum: which is which by its name, in what unit, in air or in vacuum."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stellar.errors import InputError
from stellar.photometry.refraction import air_to_vacuum
from stellar.surveys.readers.spectrum_rows import BAD, Spectrum, estimated_ivar, ordered

_MEDIUM = r"(air|vac|vacuum)"
_WAVE = r"(wavelengths?|wave|wav|wvl?|lambda|lam|lbda|wl|spectral_axis|spectral_coordinate)"
#: What a column is -> names that it goes by, in lower case, units and other signs taken off.
ROLES = {
    "loglam": re.compile(rf"log(10)?_?({_WAVE})(_{_MEDIUM})?"),
    "wave": re.compile(rf"(obs_|observed_)?({_MEDIUM}_?)?{_WAVE}(_?({_MEDIUM}|obs|observed))*"),
    "frequency": re.compile(r"(freq|frequency|nu|energy|wavenumber|wave_number)"),
    "flux": re.compile(
        r"(flux|fluxes|flam|f_?lam(bda)?|flux_?lam(bda)?|fnu|f_nu|flux_nu|flux_density|intensity|counts|spectrum|spec|"
        r"(norm|normali[sz]ed|rel|relative|calibrated|reduced)_flux|flux_(norm|normali[sz]ed|rel|reduced|cal))"
    ),
    "ivar": re.compile(r"(ivar|invvar|inverse_variance|flux_ivar|ivar_flux|inv_var)"),
    "variance": re.compile(r"(var|variance|flux_var|flux_variance)"),
    "sigma": re.compile(
        r"(e|err|errs|error|errors|sigma|sig|e_flux|dflux|d_flux|std|stdev|stddev|unc|uncertainty|noise|"
        r"flux_?(e|err|error|sigma|std|unc|uncertainty)|(err|error|sigma|unc)_?flux|(norm_)?flux_err(or)?)"
    ),
    "and_mask": re.compile(r"and_?mask"),
    "mask": re.compile(r"(mask|masked|flag|flags|quality|qual|dq|bad|bad_pixel|pixel_flags)"),
    "id": re.compile(
        r"(id|name|spec_?id|spec_?name|object|object_?id|obj_?id|source_?id|star|star_?id|target|target_?id|file)"
    ),
}
AXES = ("loglam", "wave", "frequency")
MARKS = ("mask", "and_mask")
_LONGEST_NAME = 200  # longer headers are no names, and patterns are slow on them
_PER_FREQUENCY = ("fnu", "f_nu", "flux_nu")
_LOG = re.compile(r"^\s*log_?(10)?\s*[(\[]?\s*|\s*[)\]]?\s*$", re.IGNORECASE)
_BRACKETED = re.compile(r"^(.*?)\s*[\[(]\s*([^\])]*?)\s*[\])]\s*$")
#: Endings of names that say a wavelength's unit.
_ENDINGS = {
    "angstrom": "Angstrom", "angstroms": "Angstrom", "ang": "Angstrom", "aa": "Angstrom", "a": "Angstrom",
    "nm": "nm", "um": "um", "micron": "um", "microns": "um", "hz": "Hz", "ghz": "GHz", "ev": "eV",
}  # fmt: skip
_UNITS = {"": "", "a": "Angstrom", "å": "Angstrom", "ang": "Angstrom", "angs": "Angstrom", "microns": "micron"}
_ANGSTROM = re.compile(r"(?<![A-Za-z])(Å|A|Ang|Angs|Angstroms)(?![A-Za-z])")
_PHYSICAL = "1e-17 erg / (s cm2 Angstrom)"  # SDSS's unit of flux density
_NO_UNIT = {"", "none", "unitless", "dimensionless", "-", "relative", "normalized", "normalised", "arbitrary", "counts"}


@dataclass(frozen=True)
class Found:
    """A table's column: values float64[n], [spectra, n], or objects that are float64[n of the spectrum]; of ids, texts.

    Its unit is a text, empty where none was given.
    """

    name: str
    values: np.ndarray
    unit: str = ""
    ucd: str = ""

    @property
    def is_cells(self) -> bool:
        """Whether a cell has the numbers of a whole spectrum."""
        return self.values.ndim > 1 or self.values.dtype.kind == "O"


def base_and_unit(name: str) -> tuple[str, str]:
    """A header as a bare name in lower case, and the unit that stands in brackets or at its end.

    `Wavelength (nm)` is `wavelength` in `nm`, `wave_angstrom` is `wave` in `Angstrom`.
    """
    bracketed = _BRACKETED.match(name) if len(name) <= _LONGEST_NAME else None
    text, unit = bracketed.groups() if bracketed else (name, "")
    base = re.sub(r"[^a-z0-9]+", "_", text.strip().lower()).strip("_")
    head, _, ending = base.rpartition("_")
    if head and not unit and ending in _ENDINGS and ROLES["wave"].fullmatch(head):
        return head, _ENDINGS[ending]
    return base, unit


def roles(names: list[str]) -> dict[str, str]:
    """What each column is: role of `ROLES` -> the first column with such a name; in vacuum before in air."""
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda one: "air" in base_and_unit(one)[0].split("_")):
        base = base_and_unit(name[: _LONGEST_NAME + 1])[0]
        role = next((role for role, pattern in ROLES.items() if pattern.fullmatch(base)), None)
        if role is not None:
            found.setdefault(role, name)
    return found


def is_spectrum(names: list[str]) -> bool:
    """Whether columns of these names are a spectrum's."""
    found = roles(names)
    return "flux" in found and bool({*AXES} & set(found))


def checked_roles(names: list[str], file: str) -> dict[str, str]:
    """Role -> column of a table that is a spectrum's; raises `InputError` when it has no wavelength or no flux."""
    found = roles(names)
    if is_spectrum(names):
        return found
    lacking = "wavelength" if "flux" in found else "flux"
    raise InputError(f"{file}: no column of {lacking} among {', '.join(names) or 'none'}; name one so")


def found_of(
    role: str,
    name: str,
    values: np.ndarray,
    file: str,
    *,
    unit: str = "",
    ucd: str = "",
    null: np.ndarray | None = None,
) -> Found | None:
    """A column as its role needs it, None for one that is left out: ids as exact texts, all others as float64.

    Parameters
    ----------
    role : str
        Of `ROLES`.
    values : array
        [rows], [rows, n], or objects that are lists, one a row.
    null : bool array of the shape of `values`, optional
        Where there is no value: NaN, or no id.

    Raises
    ------
    InputError
        When a column of wavelengths, fluxes or errors holds no numbers. Marks of other kinds, such as texts of quality,
        are left out.
    """
    if role == "id":
        if values.ndim > 1 and values.size != len(values):
            return None
        labels = [_label(one) for one in np.ravel(values).tolist()]
        if null is not None:
            labels = ["" if is_null else one for one, is_null in zip(labels, np.ravel(null), strict=True)]
        return Found(name, np.array(labels, object), unit, ucd)
    try:
        if values.dtype.kind == "O":
            made = np.empty(len(values), object)
            made[:] = [np.ravel(np.ma.filled(np.ma.asarray(one).astype(np.float64), np.nan)) for one in values]
        elif values.dtype.kind in "fiub":
            made = values.astype(np.float64) if null is None else np.where(null, np.nan, values.astype(np.float64))
        else:
            raise TypeError
    except (TypeError, ValueError):
        if role in MARKS:
            return None
        raise InputError(f"{file}: column {name} holds no numbers") from None
    return Found(name, made, unit, ucd)


def _label(value: Any) -> str:
    """An id as text: integers with all their digits, those that were stored as floats without a fraction, too."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else repr(value)
    return "" if value is None or value is np.ma.masked else str(value).strip()


def spectra_of(
    columns: Mapping[str, Found], about: Mapping[str, Any], told: Mapping[str, Any], file: str
) -> list[Spectrum]:
    """Spectra of a table: one a row where cells are arrays, one for each id where rows are pixels and one is given.

    Parameters
    ----------
    columns : mapping
        By their names in the file, as `found_of` makes them.
    about : mapping
        Values of `spectrum_rows.COLUMNS` for each of the spectra.
    told : mapping
        Cards or keywords of the file, by lower-case name: `airorvac`, `medium`, `ctype1` and the like say the medium,
        `wavelength_unit` and `flux_unit` units that stand nowhere else.
    file : str
        The file's name, for what is said of it.

    Raises
    ------
    InputError
        When there is no wavelength or flux, or a unit that is not known, or none from which wavelengths could be told.
    """
    used = {role: columns[name] for role, name in checked_roles(list(columns), file).items()}
    axis = axis_of(used)
    ids = used.pop("id", None)
    labels = None if ids is None else ids.values.tolist()
    if used["flux"].is_cells:
        many = len(used["flux"].values)
        rows = [
            {role: _row(one, number, used["flux"], file, is_axis=role == axis) for role, one in used.items()}
            for number in range(many)
        ]
        names = [""] * many if labels is None else labels
    else:
        used = {role: _of_pixels(one, role, used["flux"], file) for role, one in used.items()}
        groups: dict[str, list[int]] = {}
        for pixel, label in enumerate([""] * len(used["flux"].values) if labels is None else labels):
            groups.setdefault(label, []).append(pixel)
        names = list(groups)
        rows = [{role: _taken(one, pixels) for role, one in used.items()} for pixels in groups.values()]
    stem = str(about.get("spec_name") or file.partition(".")[0])
    made = []
    for number, (name, row) in enumerate(zip(names, rows, strict=True), start=1):
        own = name or (stem if len(rows) == 1 else f"{stem}-{number}")
        made.append(spectrum_of(row, {**about, "spec_name": own}, told, file))
    return made


def axis_of(used: Mapping[str, Any]) -> str:
    """The role that wavelengths are taken from."""
    return next(role for role in AXES if role in used)


def _row(column: Found, number: int, flux: Found, file: str, *, is_axis: bool) -> Found:
    """One spectrum's part of a column; what has one number a row holds for all pixels of it."""
    values, pixels = column.values[number], np.size(flux.values[number])
    if column.is_cells:
        return replace(column, values=np.ravel(values))
    if is_axis:
        raise InputError(f"{file}: column {column.name} has one number a row, {flux.name} has {pixels}")
    return replace(column, values=np.full(pixels, values))


def _of_pixels(column: Found, role: str, flux: Found, file: str) -> Found:
    """A column of one number a pixel; of several marks, whether any is set."""
    if not column.is_cells:
        return column
    if role in MARKS and column.values.ndim > 1:
        marked = np.nan_to_num(column.values).reshape(len(column.values), -1).any(axis=1)
        return replace(column, values=np.where(marked, float(BAD), 0.0))
    raise InputError(f"{file}: column {column.name} has several numbers a row, {flux.name} has one")


def _taken(column: Found, which: list[int]) -> Found:
    return replace(column, values=column.values[which])


def spectrum_of(row: Mapping[str, Found], about: Mapping[str, Any], told: Mapping[str, Any], file: str) -> Spectrum:
    """One spectrum of columns by role, each float64[n] in any order of wavelength; parameters as of `spectra_of`."""
    axis = axis_of(row)
    for one in row.values():
        if len(one.values) != len(row[axis].values):
            raise InputError(
                f"{file}: {len(row[axis].values)} wavelengths and {len(one.values)} fluxes"
                if one is row["flux"]
                else f"{file}: column {one.name}: {len(one.values)} values at {len(row[axis].values)} wavelengths"
            )
    wave, medium = _angstroms(row[axis], axis, told, file)
    roles_of = list(row)
    # noise is told from neighbours, so that pixels are brought in order before
    wave, *values = ordered(wave, *(row[role].values for role in roles_of))
    row = {role: replace(row[role], values=part) for role, part in zip(roles_of, values, strict=True)}
    steps = np.diff(wave) > 0
    if not steps.all():
        raise InputError(
            f"{file}: the wavelength {wave[1:][~steps][0]:g} Angstrom stands twice; a table of several spectra needs a "
            "column `id`"
        )
    flux, scale = _flux(row["flux"], wave, told, file)
    ivar, noise = _ivar(row, flux, scale)
    mask = np.zeros(len(flux), np.int64)
    if "and_mask" in row:
        mask = np.nan_to_num(row["and_mask"].values).astype(np.int64)
    elif "mask" in row:
        mask = np.where(np.nan_to_num(row["mask"].values) != 0, BAD, 0)
    return Spectrum(np.log10(wave), flux, ivar, mask, {**about, "medium": medium, "noise": noise})


def _angstroms(column: Found, axis: str, told: Mapping[str, Any], file: str) -> tuple[np.ndarray, str]:
    """Vacuum Angstrom, and what was said of the medium: `vacuum`, `air`, or `vacuum (not said)`."""
    from astropy import units

    base, own = base_and_unit(column.name)
    text = column.unit or own or str(told.get("wavelength_unit") or "")
    values = column.values
    if axis == "loglam":
        with np.errstate(over="ignore"):
            values = 10**values
        text = _LOG.sub("", text)
        text = "" if text.lower() == "dex" else text
    if text:
        unit = unit_of(text, column.name, file)
    elif axis == "frequency":  # THz or Hz, 1/cm or 1/m: no range tells them
        raise InputError(
            f"{file}: column {column.name} has no unit; write it behind the name, as in `wavenumber [1/cm]`"
        )
    else:
        unit = _by_range(values, column.name, file)
    try:
        wave = (values * unit).to(units.AA, equivalencies=units.spectral()).value
    except units.UnitConversionError:
        raise InputError(f"{file}: column {column.name}: {text} is no unit of a wavelength") from None
    medium = _medium(base, column.ucd, told)
    if medium == "air":
        covered = np.isfinite(wave) & (wave >= 2000.0)  # below, wavelengths are given in vacuum
        wave = wave.copy()
        wave[covered] = air_to_vacuum(wave[covered])
    return wave, medium


def _by_range(values: np.ndarray, name: str, file: str) -> Any:
    """Angstrom for a column without a unit, where nothing else can be meant."""
    from astropy import units

    finite = values[np.isfinite(values)]
    if finite.size and finite.min() >= 2500 and finite.max() <= 30_000:  # as nm, beyond 2.5 microns
        return units.AA
    span = f"{finite.min():g} to {finite.max():g}" if finite.size else "no numbers"
    raise InputError(
        f"{file}: column {name} ({span}) has no unit; write it behind the name, as in `wavelength [nm]`, or into the "
        "header of the file"
    )


def _medium(base: str, ucd: str, told: Mapping[str, Any]) -> str:
    """Whether wavelengths are of air: by the column's name, its UCD (`obs.atmos`), or a keyword of the file."""
    words = set(base.split("_"))
    said = " ".join(str(told.get(key, "")) for key in ("airorvac", "medium", "wavelength_medium", "air_or_vac")).lower()
    is_vacuum, is_air = _truth(told.get("vacuum")), _truth(told.get("air"))
    if words & {"vac", "vacuum"} or "vac" in said or is_vacuum or is_air is False:
        return "vacuum"
    is_axis_of_air = str(told.get("ctype1", "")).upper().startswith("AWAV")  # FITS paper III, table 1
    if "air" in words or "air" in said or "obs.atmos" in ucd or is_axis_of_air or is_air or is_vacuum is False:
        return "air"
    return "vacuum (not said)"


def _truth(value: Any) -> bool | None:
    """Yes or no as files write it, None for what is neither."""
    word = str(value).strip().lower()
    return True if word in ("true", "t", "1", "yes") else False if word in ("false", "f", "0", "no") else None


def unit_of(text: str, column: str, file: str) -> Any:
    """A unit of astropy, with the spellings that tables really have (`A` is no Ampere there)."""
    from astropy import units

    plain = text.strip()
    plain = _UNITS.get(plain.lower(), _ANGSTROM.sub("Angstrom", plain))
    plain = re.sub(r"\bergs\b", "erg", plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return units.Unit(plain)
        except ValueError:
            raise InputError(f"{file}: column {column}: {text!r} is no unit that is known") from None


def _flux(column: Found, wave: np.ndarray, told: Mapping[str, Any], file: str) -> tuple[np.ndarray, np.ndarray]:
    """Flux per wavelength, in 1e-17 erg/s/cm2/Angstrom or, where its unit is none of that kind, over its median.

    And by what the file's own numbers were multiplied, float64[n], which their errors are, too.
    """
    from astropy import units

    values = np.asarray(column.values, np.float64)
    text = column.unit or base_and_unit(column.name)[1] or str(told.get("flux_unit") or "")
    factor: Any = None
    if text.strip().lower() not in _NO_UNIT:
        try:
            unit = unit_of(text, column.name, file)
            factor = (np.ones(len(wave)) * unit).to_value(
                _PHYSICAL, equivalencies=units.spectral_density(wave * units.AA)
            )
        except (InputError, units.UnitConversionError, ZeroDivisionError):
            factor = None  # electrons, ADU, solar luminosities: a shape is left
    if factor is None:
        is_per_frequency = base_and_unit(column.name)[0] in _PER_FREQUENCY
        shape = (wave / 5000.0) ** -2 if is_per_frequency else np.ones(len(values))  # F_lambda = F_nu c / lambda^2
        level = np.nanmedian(np.abs(values * shape)) if np.isfinite(values).any() else 1.0
        factor = shape / (level if level > 0 else 1.0)
    return values * factor, factor


def _ivar(row: Mapping[str, Found], flux: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, str]:
    """Inverse variance of the scaled flux, and where it comes from."""
    if "ivar" in row:
        ivar = row["ivar"].values / scale**2
    elif "sigma" in row or "variance" in row:
        sigma = row["sigma"].values if "sigma" in row else np.sqrt(np.maximum(row["variance"].values, 0))
        sigma = np.nan_to_num(np.abs(sigma) * scale)
        ivar = np.where(sigma > 0, 1 / np.where(sigma > 0, sigma, 1.0) ** 2, 0.0)
    else:
        return estimated_ivar(flux), "estimated"
    return np.where(np.isfinite(ivar) & (ivar > 0), ivar, 0.0), "given"
