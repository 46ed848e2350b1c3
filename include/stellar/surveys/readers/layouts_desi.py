"""Spectra of DESI: `coadd-*.fits` and `spectra-*.fits`, many targets a file and three arms a target.

https://desidatamodel.readthedocs.io/en/latest/DESI_SPECTRO_REDUX/SPECPROD/healpix/SURVEY/PROGRAM/PIXGROUP/PIXNUM/coadd-SURVEY-PROGRAM-PIXNUM.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stellar.errors import InputError
from stellar.surveys.readers.fits import card, native
from stellar.surveys.readers.spectrum_rows import BAD, Spectrum

_SUFFIX = "_WAVELENGTH"
_SAME_PIXEL = 0.01  # of a pixel's width: the arms of DESI share one grid of 0.8 Angstrom

Arm = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Wavelength float64[n], and flux, inverse variance and whether a pixel is bad, each [targets, n]."""


def is_desi(hdus: Any) -> bool:
    """Whether it has a FIBERMAP with TARGETIDs, and arms X_WAVELENGTH with X_FLUX and X_IVAR."""
    names = {hdu.name for hdu in hdus}
    columns = getattr(getattr(hdus["FIBERMAP"], "columns", None), "names", ()) if "FIBERMAP" in names else ()
    return "TARGETID" in columns and bool(_arms(names))


def _arms(names: set[str]) -> list[str]:
    found = sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
    return [arm for arm in found if {f"{arm}_FLUX", f"{arm}_IVAR"} <= names]


def read_desi(hdus: Any, name: str) -> list[Spectrum]:
    """A spectrum for each row of FIBERMAP, its arms joined.

    An id is the TARGETID; of `spectra` files, which have a row for each exposure, TARGETID-EXPID-FIBER.
    """
    names = {hdu.name for hdu in hdus}
    fibers = hdus["FIBERMAP"].data
    columns = set(hdus["FIBERMAP"].columns.names)
    arms = [_arm(hdus, arm, len(fibers), name) for arm in _arms(names)]
    wave, flux, ivar, bad = joined(arms)
    loglam = np.log10(wave)
    redshifts = _redshifts(hdus) if "REDSHIFTS" in names else {}
    by_exposure = "EXPID" in columns

    def of(column: str, row: int) -> Any:
        value = fibers[column][row] if column in columns else None
        return value.strip() or None if isinstance(value, str) else value if value is None else value.item()

    spectra = []
    for row, target in enumerate(native(fibers["TARGETID"], np.int64)):
        parts = [target, of("EXPID", row), of("FIBER", row)] if by_exposure else [target]
        about = {
            "spec_name": "-".join(str(part) for part in parts if part is not None),
            "layout": "DESI spectra" if by_exposure else "DESI coadd",
            "object_name": f"desi-{target}",
            "ra": of("TARGET_RA", row),
            "dec": of("TARGET_DEC", row),
            "epoch": of("REF_EPOCH", row) or None,
            "mjd": None if of("MJD", row) is None else int(of("MJD", row)),
            "fibertype": of("OBJTYPE", row),
            "medium": "vacuum",
            "noise": "given",
            **redshifts.get(int(target), {}),
        }
        spectra.append(Spectrum(loglam, flux[row], ivar[row], np.where(bad[row], BAD, 0), about))
    return spectra


def _arm(hdus: Any, arm: str, targets: int, name: str) -> Arm:
    from astropy import units

    wave = native(hdus[arm + _SUFFIX].data, np.float64)
    unit = units.Unit(card(hdus[arm + _SUFFIX].header, "BUNIT") or "Angstrom")
    wave = wave * unit.to(units.AA)
    flux, ivar = (native(hdus[f"{arm}_{part}"].data, np.float64) for part in ("FLUX", "IVAR"))
    shape = (targets, len(wave))
    has_mask = f"{arm}_MASK" in {hdu.name for hdu in hdus}
    mask = np.asarray(hdus[f"{arm}_MASK"].data) != 0 if has_mask else np.zeros(shape, bool)
    for part, values in (("FLUX", flux), ("IVAR", ivar), ("MASK", mask)):
        if values.shape != shape:
            raise InputError(f"{name}: {arm}_{part} is {values.shape} instead of {shape}, targets by wavelengths")
    if not (np.diff(wave) > 0).all():
        raise InputError(f"{name}: {arm}{_SUFFIX} does not increase")
    return wave, flux, ivar, mask


def joined(arms: Sequence[Arm]) -> Arm:
    """One spectrum of several arms: pixels at the same wavelength are averaged, weighted by inverse variance.

    Bad pixels and those without inverse variance take no part; a pixel is bad where it is so in every arm that has it.
    Pixels of arms on grids of their own stay side by side, in the order of their wavelengths, with their own weights.

    Returns
    -------
    Arm
        Inverse variances are the sums of the parts'.
    """
    width = min(float(np.diff(wave).min()) for wave, *_ in arms if len(wave) > 1)
    every = np.concatenate([wave for wave, *_ in arms])
    order = np.argsort(every, kind="stable")
    place = np.empty(len(every), np.int64)
    place[order] = np.concatenate([[0], np.cumsum(np.diff(every[order]) > _SAME_PIXEL * width)])
    pixels, targets = int(place.max()) + 1, len(arms[0][1])
    wave = np.bincount(place, every) / np.bincount(place)
    weight, total = np.zeros((targets, pixels)), np.zeros((targets, pixels))
    plain, bad = np.zeros((targets, pixels)), np.ones((targets, pixels), bool)
    start = 0
    for one, flux, ivar, is_bad in arms:
        here = place[start : start + len(one)]
        start += len(one)
        good = ~is_bad & np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
        weight[:, here] += np.where(good, ivar, 0.0)
        total[:, here] += np.where(good, ivar * np.where(good, flux, 0.0), 0.0)
        plain[:, here] = np.nan_to_num(flux)
        bad[:, here] &= ~good
    return wave, np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), plain), weight, bad


def _redshifts(hdus: Any) -> dict[int, dict[str, Any]]:
    """What Redrock found, by TARGETID, where its table was put beside the spectra."""
    table = hdus["REDSHIFTS"].data
    rows = zip(*(table[name] for name in ("TARGETID", "Z", "ZERR", "ZWARN", "SPECTYPE")), strict=True)
    return {
        int(target): {
            "z": float(z),
            "zerr": float(error) if error > 0 else None,
            "zwarning": int(warning),
            "class": str(kind).strip() or None,
        }
        for target, z, error, warning, kind in rows
    }
