"""Spectra of SDSS-V: BOSS `spec-FIELD-MJD-CATALOGID.fits`, Astra's `mwmStar` and `mwmVisit`, APOGEE `apStar`.

Wavelengths are in vacuum. Those of BOSS `spec` files are heliocentric; Astra and the APOGEE pipeline have shifted
theirs to the star's rest frame, so that no redshift is given with them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from stellar.errors import InputError
from stellar.surveys.readers.fits import card, native
from stellar.surveys.readers.spectrum_rows import BAD, Spectrum

# APOGEE_PIXMASK (https://www.sdss4.org/dr17/irspec/apogee-bitmasks/): BADPIX 0, CRPIX 1, SATPIX 2, UNFIXABLE 3,
# BADDARK 4, BADFLAT 5, BADERR 6, NOSKY 7, NOT_ENOUGH_PSF 14.
_APOGEE_BAD = sum(1 << bit for bit in (0, 1, 2, 3, 4, 5, 6, 7, 14))
_NO_ERROR = 1e8  # apStar's error of a pixel without data is 1e10


def is_boss(hdus: Any) -> bool:
    """Whether it is `spec-FIELD-MJD-CATALOGID.fits`, lite or full, of DR18 and later.

    https://data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/lite/PLATE4/spec.html: HDUs COADD, SPALL,
    ZALL, ZLINE and, in full files, those of the exposures.
    """
    return "COADD" in hdus and "SPALL" in hdus and {"CATALOGID", "FIELD"} <= _names(hdus["SPALL"])


def read_boss(hdus: Any, name: str) -> list[Spectrum]:
    """The co-added spectrum, with what the pipeline found (row of SPALL)."""
    about, coadd = hdus["SPALL"].data, hdus["COADD"].data
    if len(about) != 1:
        raise InputError(f"{name}: SPALL has {len(about)} rows instead of 1")
    row = _row(hdus["SPALL"], 0)
    field = str(row.get("FIELD")).zfill(6)
    masks = {one.upper() for one in coadd.names} & {"AND_MASK"}
    found = {
        "spec_name": f"{field}-{row.get('MJD')}-{row.get('CATALOGID')}",
        "layout": "SDSS-V BOSS spec",
        "object_name": _sdss_id(row.get("SDSS_ID")) or f"catalogid-{row.get('CATALOGID')}",
        **_position(row, ("FIBER_RA", "FIBER_DEC"), ("RACAT", "DECCAT"), ("PLUG_RA", "PLUG_DEC"), ("RA", "DEC")),
        "mjd": row.get("MJD"),
        "class": row.get("CLASS"),
        "subclass": row.get("SUBCLASS"),
        "z": row.get("Z"),
        "zerr": _positive(row.get("Z_ERR")),
        "zwarning": row.get("ZWARNING"),
        "fibertype": row.get("OBJTYPE"),
        "medium": "vacuum",
        "noise": "given",
    }
    flux = native(coadd["FLUX"], np.float64)
    mask = native(coadd["AND_MASK"], np.int64) if masks else np.zeros(len(flux), np.int64)
    return [Spectrum(native(coadd["LOGLAM"], np.float64), flux, native(coadd["IVAR"], np.float64), mask, found)]


def is_mwm(hdus: Any) -> bool:
    """Whether it is Astra's `mwmStar` or `mwmVisit`.

    https://data.sdss.org/datamodel/files/MWM_ASTRA/V_ASTRA/spectra/star/mwmStar.html: tables BOSS/APO, BOSS/LCO,
    APOGEE/APO and APOGEE/LCO, with no row where the star has no such spectrum.
    """
    return "SDSS_ID" in hdus[0].header and any(_is_of_mwm(hdu) for hdu in hdus[1:])


def _is_of_mwm(hdu: Any) -> bool:
    return {"FLUX", "IVAR"} <= _names(hdu) and bool({"PIXEL_FLAGS", "SPECTRUM_PK"} & _names(hdu))


def read_mwm(hdus: Any, name: str) -> list[Spectrum]:
    """Every co-added spectrum (mwmStar), or every visit (mwmVisit), of each instrument and observatory.

    The flags of BOSS pixels say what was set in any exposure, where ours say what was set in all of them; a pixel that
    was bad in all of them has no inverse variance, and that is what counts here.
    """
    star = card(hdus[0].header, "SDSS_ID")
    spectra = []
    for number, hdu in enumerate(hdus[1:], start=1):
        nights = Counter(_row(hdu, index).get("MJD") for index in range(len(hdu.data))) if _is_of_mwm(hdu) else {}
        for index in range(len(hdu.data) if _is_of_mwm(hdu) else 0):
            row = _row(hdu, index)
            flux = _pixels(row["FLUX"])
            wave = _pixels(row["WAVELENGTH"]) if "WAVELENGTH" in row else _wavelengths(hdu.header, len(flux), name)
            place = (hdu.name or f"{card(hdu.header, 'INSTRMNT')}/{card(hdu.header, 'OBSRVTRY')}").lower()
            is_apogee = "apogee" in place or wave[0] > 14_000
            mask = np.zeros(len(flux), np.int64)
            if is_apogee and "PIXEL_FLAGS" in row:
                flags = np.nan_to_num(_pixels(row["PIXEL_FLAGS"])).astype(np.int64)
                mask = np.where(flags & _APOGEE_BAD, BAD, 0)
            visit = row.get("MJD")
            parts = [str(star), place.strip("/").replace("/", "-") or str(number), visit and str(visit)]
            if visit and nights[visit] > 1:  # visits of one night are told apart by their own key
                parts.append(str(row.get("SPECTRUM_PK") or index + 1))
            found = {
                "spec_name": "-".join(part for part in parts if part),
                "layout": "SDSS-V mwmVisit" if visit else "SDSS-V mwmStar",
                "object_name": _sdss_id(star),
                "ra": card(hdus[0].header, "RA"),
                "dec": card(hdus[0].header, "DEC"),
                "mjd": visit or row.get("MAX_MJD"),
                "medium": "vacuum",
                "noise": "given",
            }
            spectra.append(Spectrum(np.log10(wave), flux, np.nan_to_num(_pixels(row["IVAR"])), mask, found))
    return spectra


def is_apstar(hdus: Any) -> bool:
    """Whether it is APOGEE's `apStar` or `asStar`.

    https://data.sdss.org/datamodel/files/APOGEE_REDUX/APRED_VERS/stars/TELESCOPE/FIELD/apStar.html: images of flux,
    error and mask, the first row of each the combined spectrum, those after it the visits.
    """
    images = [getattr(hdu, "data", None) for hdu in hdus[1:4]]
    is_image = len(images) == 3 and all(
        getattr(one, "dtype", None) is not None and not one.dtype.names for one in images
    )
    return is_image and "NVISITS" in hdus[0].header and "CRVAL1" in hdus[1].header and "OBJID" in hdus[0].header


def read_apstar(hdus: Any, name: str) -> list[Spectrum]:
    """The combined spectrum."""
    header = hdus[0].header
    flux, error, flags = (np.atleast_2d(np.asarray(hdu.data))[0] for hdu in hdus[1:4])
    wave = _wavelengths(hdus[1].header, len(flux), name)
    error = np.nan_to_num(error.astype(np.float64))
    usable = (error > 0) & (error < _NO_ERROR)
    ivar = np.where(usable, 1 / np.where(usable, error, 1.0) ** 2, 0.0)
    mask = np.where(flags.astype(np.int64) & _APOGEE_BAD, BAD, 0)
    found = {
        "spec_name": str(card(header, "OBJID")),
        "layout": "APOGEE apStar",
        "object_name": str(card(header, "OBJID")),
        "ra": card(header, "RA"),
        "dec": card(header, "DEC"),
        "medium": "vacuum",
        "noise": "given",
    }
    return [Spectrum(np.log10(wave), flux.astype(np.float64), ivar, mask, found)]


def _wavelengths(header: Any, pixels: int, name: str) -> np.ndarray:
    """Vacuum Angstrom of a log-linear axis: CRVAL and CDELT, or CRVAL1 and CDELT1, are log10."""
    start, step = card(header, "CRVAL", "CRVAL1"), card(header, "CDELT", "CDELT1", "CD1_1")
    if start is None or step is None or not 2 < start < 6:
        raise InputError(f"{name}: no column of wavelengths and no log-linear CRVAL and CDELT")
    return 10 ** (start + step * np.arange(pixels))


def _names(hdu: Any) -> set[str]:
    return {one.upper() for one in getattr(getattr(hdu, "columns", None), "names", ())}


def _row(hdu: Any, index: int) -> dict[str, Any]:
    """A row of a table by upper-case names; texts without blanks, None for empty ones."""
    values = {one.upper(): hdu.data[one][index] for one in hdu.columns.names}
    return {one: _plain(value) for one, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str | bytes):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return text.strip() or None
    return value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value


def _pixels(values: Any) -> np.ndarray:
    return native(np.ravel(values), np.float64)


def _position(row: dict[str, Any], *pairs: tuple[str, str]) -> dict[str, float | None]:
    """The first pair of columns that hold a position; -9999 and 0, 0 are none."""
    for ra, dec in pairs:
        place = row.get(ra), row.get(dec)
        if None not in place and np.isfinite(place).all() and place[0] > -1000 and tuple(place) != (0, 0):
            return {"ra": float(place[0]), "dec": float(place[1])}
    return {"ra": None, "dec": None}


def _sdss_id(value: Any) -> str | None:
    return f"sdss_id-{value}" if value is not None and int(value) > 0 else None


def _positive(value: Any) -> float | None:
    return float(value) if value is not None and value > 0 else None
