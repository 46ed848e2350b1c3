"""Layouts that the library specutils knows, for FITS files that are none of ours."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from stellar.errors import InputError
from stellar.surveys.readers.members import Member
from stellar.surveys.readers.spectrum_rows import BAD, Spectrum, estimated_ivar, ordered

_CUBES = ("cube", "rss", "s3d", "s2d", "spPlate")  # images of the sky, and plates of hundreds of fibres


def described(hdus: Any) -> str:
    """A FITS file's parts, for people: `PRIMARY (image 3 x 40), COADD (table of flux, loglam)`."""
    parts = []
    for hdu in hdus[:12]:
        if hasattr(hdu, "columns"):
            names = hdu.columns.names
            about = f"table of {', '.join(names[:8])}{' and more' if len(names) > 8 else ''}"
        else:
            about = f"image {' x '.join(map(str, hdu.shape))}" if getattr(hdu, "shape", ()) else "no data"
        parts.append(f"{hdu.name or 'unnamed'} ({about})")
    return ", ".join([*parts, *([f"and {len(hdus) - 12} more"] if len(hdus) > 12 else [])])


def read(member: Member, about: str, known: Sequence[str]) -> list[Spectrum]:
    """Spectra of a file by the loader of specutils that says that it is of its layout.

    Parameters
    ----------
    about : str
        What the file consists of, and `known`, layouts that are read, for the refusal.

    Raises
    ------
    InputError
        When none does, with the file's parts; or naming the layout, when it holds no single spectra or is damaged.
    """
    unknown = f"{member.name}: of no layout of spectra that is known: {about}; read are {', '.join(known)}"
    try:
        from specutils import Spectrum as One
        from specutils import SpectrumList
    except ImportError:
        raise InputError(f"{unknown} (it is not installed here; `make install` does)") from None
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / PurePosixPath(member.name).name
        path.write_bytes(member.data)
        faults = {}
        for kind in (One, SpectrumList):
            for layout in _layouts(kind, path):
                if any(part in layout for part in _CUBES):
                    raise InputError(f"{member.name}: {layout}: its spectra are no single stars'; cut them out first")
                try:
                    found = kind.read(path, format=layout)
                    if made := _spectra([found] if kind is One else list(found), layout, member.name):
                        return made
                except Exception as fault:  # loaders raise whatever a file that is not quite theirs leads to
                    faults[layout] = str(fault).removeprefix(f"{member.name}: ")
    tried = "; ".join(f"as {layout}: {fault}" for layout, fault in faults.items())
    raise InputError(f"{unknown}{f' ({tried})' if tried else ''}")


def _layouts(kind: Any, path: Path) -> list[str]:
    from astropy.io import registry

    with path.open("rb") as stream:
        found = registry.identify_format("read", kind, str(path), stream, [str(path)], {})
    general = ("tabular-fits", "wcs1d-fits", "iraf", "ASCII", "ECSV")
    return sorted(found, key=lambda one: (one in general, one))


def _spectra(found: list[Any], layout: str, name: str) -> list[Spectrum]:
    from astropy import units

    made = []
    stem = name.partition(".")[0]
    for one in found:
        try:
            wave = one.spectral_axis.to_value(units.AA, equivalencies=units.spectral())
        except units.UnitConversionError:
            raise InputError(f"{name}: its axis is in {one.spectral_axis.unit}, no wavelength") from None
        values = np.atleast_2d(one.flux.value)
        if values.shape[-1] != len(wave):
            raise InputError(f"{name}: {values.shape} fluxes at {len(wave)} wavelengths")
        sigma = None
        if one.uncertainty is not None:
            from astropy.nddata import StdDevUncertainty

            sigma = np.atleast_2d(one.uncertainty.represent_as(StdDevUncertainty).array)
        mask = (
            np.zeros(values.shape, bool) if one.mask is None else np.broadcast_to(np.atleast_2d(one.mask), values.shape)
        )
        for row, flux in enumerate(values.reshape(-1, len(wave))):
            level = np.nanmedian(np.abs(flux)) if np.isfinite(flux).any() else 1.0
            flux = flux.astype(np.float64) / (level if level > 0 else 1.0)
            ivar = estimated_ivar(flux) if sigma is None else _weights(sigma.reshape(-1, len(wave))[row], level)
            bits = np.where(mask.reshape(-1, len(wave))[row], BAD, 0)
            wave_row, flux, ivar, bits = ordered(wave, flux, ivar, bits)
            made.append((wave_row, flux, ivar, bits, "estimated" if sigma is None else "given"))
    return [
        Spectrum(
            np.log10(wave),
            flux,
            ivar,
            bits,
            {
                "spec_name": stem if len(made) == 1 else f"{stem}-{number}",
                "layout": layout,
                "medium": "vacuum (not said)",
                "noise": noise,
            },
        )
        for number, (wave, flux, ivar, bits, noise) in enumerate(made, start=1)
    ]


def _weights(sigma: np.ndarray, level: float) -> np.ndarray:
    scaled = np.nan_to_num(sigma.astype(np.float64)) / (level if level > 0 else 1.0)
    good = np.isfinite(scaled) & (scaled > 0)
    return np.where(good, 1 / np.where(good, scaled, 1.0) ** 2, 0.0)
