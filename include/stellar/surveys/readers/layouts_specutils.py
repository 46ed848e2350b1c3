"""Layouts that the library specutils knows, for FITS files that are none of ours."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from stellar.errors import InputError
from stellar.surveys.readers.members import Member
from stellar.surveys.readers.spectrum_columns import Found, spectrum_of
from stellar.surveys.readers.spectrum_rows import Spectrum

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
    """Spectra of the library as our own, by the same rules of units and media as columns of tables."""
    made = []
    stem = name.partition(".")[0]
    for one in found:
        axis = Found("spectral_axis", np.asarray(one.spectral_axis.value, np.float64), _unit(one.spectral_axis.unit))
        pixels = len(axis.values)
        parts = {"flux": (np.asarray(one.flux.value, np.float64), _unit(one.flux.unit))}
        if parts["flux"][0].shape[-1] != pixels:
            raise InputError(f"{name}: {parts['flux'][0].shape} fluxes at {pixels} wavelengths")
        if one.uncertainty is not None:
            from astropy.nddata import StdDevUncertainty

            sigma = one.uncertainty.represent_as(StdDevUncertainty)
            errors = sigma.array if sigma.unit is None else sigma.quantity.to_value(one.flux.unit)
            parts["sigma"] = np.asarray(errors, np.float64), ""
        if one.mask is not None:
            parts["mask"] = np.broadcast_to(one.mask, parts["flux"][0].shape).astype(np.float64), ""
        told = {str(key).lower(): value for key, value in dict(one.meta.get("header") or {}).items()}
        columns = {role: (values.reshape(-1, pixels), unit) for role, (values, unit) in parts.items()}
        for row in range(len(columns["flux"][0])):
            taken = {role: Found(role, values[row], unit) for role, (values, unit) in columns.items()}
            made.append(spectrum_of({"wave": axis, **taken}, {"spec_name": stem, "layout": layout}, told, name))
    if len(made) == 1:
        return made
    return [
        replace(one, about={**one.about, "spec_name": f"{stem}-{number}"}) for number, one in enumerate(made, start=1)
    ]


def _unit(unit: Any) -> str:
    return "" if unit is None else unit.to_string()
