"""Spectra of any layout as rows of one table, and what is missing in a layout made good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

#: Bit of SPPIXMASK (NODATA) that stands for a pixel that another survey's own bits call bad.
BAD = 1 << 24
COLUMNS = {
    "spec_name": pa.string(),
    "layout": pa.string(),
    "object_name": pa.string(),
    "ra": pa.float64(),
    "dec": pa.float64(),
    "epoch": pa.float64(),
    "mjd": pa.int32(),
    "class": pa.string(),
    "subclass": pa.string(),
    "z": pa.float64(),
    "zerr": pa.float64(),
    "zwarning": pa.int32(),
    "fibertype": pa.string(),
    "medium": pa.string(),
    "noise": pa.string(),
}


@dataclass(frozen=True)
class Spectrum:
    """One spectrum: vacuum wavelengths (log10 of Angstrom, increasing), flux density per wavelength, both float64[n].

    `ivar` is 0 and `and_mask` has a bit set where a pixel is bad. `about` has values of `COLUMNS`.
    """

    loglam: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    and_mask: np.ndarray
    about: Mapping[str, Any] = field(default_factory=dict)


def told_apart(spectra: Sequence[Spectrum]) -> tuple[list[Spectrum], list[str]]:
    """Spectra with names of their own, for rows of one id are one object: `name`, `name-2`, `name-3`.

    Returns
    -------
    spectra : list of Spectrum
    twice : list of str
        Names that more than one had.
    """
    counts = Counter(one.about.get("spec_name") for one in spectra)
    taken, numbers, made = set(counts), Counter[Any](), []
    for one in spectra:
        name = one.about.get("spec_name")
        numbers[name] += 1
        if numbers[name] > 1:
            while f"{name}-{numbers[name]}" in taken:
                numbers[name] += 1
            own = f"{name}-{numbers[name]}"
            taken.add(own)
            one = replace(one, about={**one.about, "spec_name": own})
        made.append(one)
    return made, [str(name) for name, count in counts.items() if count > 1]


def to_table(spectra: Sequence[Spectrum]) -> pa.Table:
    """`COLUMNS` (null where a layout says nothing) and the lists loglam, flux, ivar and and_mask."""
    columns = {name: pa.array([one.about.get(name) for one in spectra], kind) for name, kind in COLUMNS.items()}
    kinds = {"loglam": np.float64, "flux": np.float32, "ivar": np.float32, "and_mask": np.int32}
    for name, kind in kinds.items():
        values = [np.ascontiguousarray(getattr(one, name), dtype=kind) for one in spectra]
        columns[name] = pa.array(values, pa.list_(pa.from_numpy_dtype(kind)))
    return pa.table(columns)


def ordered(wave: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Wavelengths increasing, and the other arrays in their order; pixels without a wavelength are left out."""
    good = np.isfinite(wave) & (wave > 0)
    order = np.flatnonzero(good)[np.argsort(wave[good], kind="stable")]
    return wave[order], *(other[order] for other in others)


def estimated_ivar(flux: np.ndarray, window: int = 200) -> np.ndarray:
    """Inverse variance of a spectrum that comes without errors, from its own scatter, float64[n].

    The noise of a stretch of pixels is 1.482602 / sqrt(6) * median |2 f[i] - f[i-2] - f[i+2]| (DER_SNR, Stoehr et al.
    2008, ASPC 394, 505), which is blind to what changes slowly. It counts lines narrower than some pixels as noise.
    A stretch without any scatter gets that of the whole, a spectrum without any a thousandth of its flux.
    """
    finite = np.isfinite(flux)
    values = flux[finite]
    noise = np.full(len(flux), np.nan)
    if len(values) < 5:
        return np.zeros(len(flux))
    jump = np.abs(2 * values[2:-2] - values[:-4] - values[4:])
    starts = np.arange(0, len(jump), window)
    if len(starts) > 1 and len(jump) - starts[-1] < window // 2:
        starts = starts[:-1]
    level = 1.482602 / np.sqrt(6) * np.array([np.median(part) for part in np.split(jump, starts[1:])])
    centres = np.array([part.mean() for part in np.split(np.arange(2, len(values) - 2), starts[1:])])
    whole = 1.482602 / np.sqrt(6) * np.median(jump) or 1e-3 * np.median(np.abs(values)) or 1.0
    noise[finite] = np.interp(np.arange(len(values)), centres, np.where(level > 0, level, whole))
    return np.where(finite, 1 / np.where(finite, noise, 1.0) ** 2, 0.0)
