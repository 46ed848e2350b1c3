"""Radial velocity of a spectrum by cross-correlation with templates (Tonry & Davis 1979, AJ 84, 1511)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from stellar.features.libraries import as_spectra
from stellar.features.ragged import ragged
from stellar.features.rebin import Grid, rebin
from stellar.features.wavelengths import spoilt_by_sky

LIGHT_KM_S = 299_792.458
# The pixels of SDSS and LAMOST (69 km/s): a velocity is found to a fraction of a pixel, a wider bin would lose it.
VELOCITY_GRID = Grid(3850.0, 8900.0, 1e-4)
DEFAULTS: dict[str, Any] = {
    "max_velocity_km_s": 1000.0,  # beyond the speed of escape from the Galaxy
    "filter_dex": 0.03,  # structure wider than this (20,700 km/s) is calibration, not lines
    "min_r": 3.0,  # below it the highest peak is often a false one (Tonry & Davis 1979, section III)
    "most_templates": 20,  # of one library
    # which types are taken from which library: that of the SDSS pipeline has giants only among M stars
    "libraries": {"sdss_eigen": "BAFGK", "sdss_templates": "M"},
}
MIN_FEH = -0.75  # of a template that says so: stars of the disc
APODISED = 0.05  # share of the spectrum at each end that a cosine bell takes to zero


@dataclass(frozen=True)
class VelocityTemplates:
    """Templates at rest, ready to be correlated: `spectrum` complex[k, n/2 + 1] of unit variance, and their names."""

    names: tuple[str, ...]
    spectrum: np.ndarray
    length: int


def lines_only(flux: np.ndarray, ivar: np.ndarray, filter_dex: float, spoilt: np.ndarray | None = None) -> np.ndarray:
    """What a correlation sees of spectra on `VELOCITY_GRID`, float64[n, p]: depth under the running mean, apodised.

    Bad bins and those that the sky spoils hold 0, which correlates with nothing.
    """
    good = (ivar > 0) & np.isfinite(flux)
    if spoilt is not None:
        good &= ~spoilt
    width = max(3, round(filter_dex / VELOCITY_GRID.step_dex))
    share = uniform_filter1d(good.astype(np.float64), width, axis=1, mode="nearest")
    mean = uniform_filter1d(np.where(good, flux, 0.0), width, axis=1, mode="nearest") / np.maximum(share, 1e-3)
    usable = good & (mean > 0)
    depth = np.where(usable, np.where(good, flux, 0.0) / np.where(usable, mean, 1.0) - 1, 0.0)
    ends = max(1, int(APODISED * flux.shape[1]))
    bell = np.ones(flux.shape[1])
    bell[:ends] = 0.5 * (1 - np.cos(np.pi * (np.arange(ends) + 0.5) / ends))
    bell[-ends:] = bell[:ends][::-1]
    return np.clip(depth, -1.0, 1.0) * bell


def velocity_templates(
    libraries: Mapping[str, pa.Table], settings: Mapping[str, Any] | None = None
) -> VelocityTemplates | None:
    """Templates from curated libraries; None if there is none of use.

    Peculiar and metal-poor stars, supergiants and what has no MK type are left out; of the rest every so many is taken,
    in the order of their types.

    Parameters
    ----------
    libraries : mapping of str to pa.Table
        Name of a library -> `template_name`, `spectral_type`, and what `as_spectra` reads; `luminosity`, `is_peculiar`
        and `feh_bin` where it has them.
    settings : mapping, optional
        On top of `DEFAULTS`.
    """
    chosen = {**DEFAULTS, **(settings or {})}
    names: list[str] = []
    values: list[tuple[np.ndarray, np.ndarray]] = []
    for library, letters in sorted(chosen["libraries"].items()):
        if library not in libraries or not libraries[library].num_rows:
            continue
        table = libraries[library]
        table = table.take(pa.array(_of_use(table, letters, chosen["most_templates"]), pa.int64()))
        spectra = as_spectra(table, "template_name", 100.0)
        loglam, flux, ivar = (ragged(spectra, name, np.float64) for name in ("loglam", "flux", "ivar"))
        for row in range(table.num_rows):
            good = np.isfinite(flux[row]) & (ivar[row] > 0)
            values.append(rebin(loglam[row], np.where(good, flux[row], 0.0), good.astype(float), VELOCITY_GRID))
        names += spectra["spec_id"].to_pylist()
    if not names:
        return None
    every_flux, every_ivar = (np.array(part) for part in zip(*values, strict=True))
    depth = lines_only(every_flux, every_ivar, chosen["filter_dex"])
    scale = np.sqrt((depth**2).sum(axis=1, keepdims=True))
    reach = int(np.ceil(2 * chosen["max_velocity_km_s"] / LIGHT_KM_S / np.log(10) / VELOCITY_GRID.step_dex))
    length = next_fast_len(VELOCITY_GRID.size + 2 * reach, real=True)
    return VelocityTemplates(tuple(names), rfft(depth / np.where(scale > 0, scale, 1.0), length), length)


def _of_use(library: pa.Table, letters: str, most: int) -> list[int]:
    """Rows of normal stars of these letters, every so many in the order of their types."""
    columns = {
        name: library[name].to_pylist() if name in library.column_names else [None] * library.num_rows
        for name in ("spectral_type", "luminosity", "is_peculiar", "feh_bin")
    }
    rows = []
    for row, (kind, luminosity, odd, feh) in enumerate(zip(*columns.values(), strict=True)):
        poor = feh is not None and feh < MIN_FEH
        if kind and kind[0] in letters and not odd and not poor and luminosity not in ("I", "II"):
            rows.append((letters.index(kind[0]), kind, row))
    rows.sort()
    take = np.unique(np.round(np.linspace(0, len(rows) - 1, min(len(rows), most))).astype(int))
    return [rows[place][2] for place in take]


def velocities(
    flux: np.ndarray, ivar: np.ndarray, templates: VelocityTemplates, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Radial velocity of each spectrum, by the template whose correlation peak stands highest over its noise.

    The noise of a correlation is the part that is not symmetric about the peak; r is the peak's height over sqrt(2)
    times its root mean square (Tonry & Davis 1979, equation 23). The error is 3/8 w / (1 + r), w the full width of the
    peak at half its height (Kurtz & Mink 1998, PASP 110, 934, equation 20).

    Parameters
    ----------
    flux, ivar : float64[n, p]
        On `VELOCITY_GRID`, as observed (vacuum, heliocentric), ivar 0 where bad.
    templates : VelocityTemplates
    settings : mapping, optional
        On top of `DEFAULTS`.

    Returns
    -------
    dict
        `rv_km_s` and `rv_err_km_s` (NaN where r is below `min_r`), `rv_r`: float64[n]; `rv_template`: list of str or
        None.
    """
    chosen = {**DEFAULTS, **(settings or {})}
    spoilt = spoilt_by_sky(VELOCITY_GRID.wavelength_angstrom)
    depth = lines_only(flux, ivar, chosen["filter_dex"], spoilt)
    per_bin = LIGHT_KM_S * np.log(10) * VELOCITY_GRID.step_dex
    reach = int(np.ceil(chosen["max_velocity_km_s"] / per_bin))
    n = len(flux)
    found: dict[str, Any] = {name: np.full(n, np.nan) for name in ("rv_km_s", "rv_err_km_s", "rv_r")}
    found["rv_template"] = [None] * n
    for row in range(n):
        norm = np.sqrt((depth[row] ** 2).sum())
        if not norm > 0:
            continue
        product = rfft(depth[row] / norm, templates.length)[None] * np.conj(templates.spectrum)
        correlation = np.fft.fftshift(irfft(product, templates.length, axis=1), axes=1)
        best: tuple[float, int, float, float] | None = None
        for number, one in enumerate(correlation):
            peak = _peak(one, templates.length // 2, reach)
            if peak is not None and (best is None or peak[0] > best[0]):
                best = (peak[0], number, peak[1], peak[2])
        if best is None:
            continue
        r, number, shift, width = best
        found["rv_r"][row] = r
        if r >= chosen["min_r"]:
            # bins are equal steps of ln(wavelength): 1 + z, not v / c, is what a shift multiplies with
            found["rv_km_s"][row] = LIGHT_KM_S * np.expm1(shift * np.log(10) * VELOCITY_GRID.step_dex)
            found["rv_err_km_s"][row] = 0.375 * width * per_bin / (1 + r)
            found["rv_template"][row] = templates.names[number]
    return found


def _peak(correlation: np.ndarray, middle: int, reach: int) -> tuple[float, float, float] | None:
    """r, shift and full width at half maximum, in bins, of the highest peak within `reach` bins of `middle`."""
    window = correlation[middle - reach : middle + reach + 1]
    place = int(np.argmax(window))
    height = window[place]
    if place in (0, len(window) - 1) or not height > 0:
        return None  # it rises beyond the velocities asked for
    place += middle - reach
    low, high = correlation[place - 1], correlation[place + 1]
    bend = low - 2 * height + high
    offset = 0.5 * (low - high) / bend if bend < 0 else 0.0
    top = height - 0.25 * (low - high) * offset
    side = min(place, len(correlation) - 1 - place)
    steps = np.arange(1, side + 1)
    odd = correlation[place + steps] - correlation[place - steps]
    # Tonry & Davis 1979, equation 20: a sum over all lags, in which each pair of them comes twice
    noise = np.sqrt((odd**2).sum() / (2 * len(steps)))
    half = top / 2
    right = np.argmax(correlation[place:] < half) or len(correlation) - place
    left = np.argmax(correlation[place::-1] < half) or place
    return (top / (np.sqrt(2) * noise) if noise > 0 else np.inf), place - middle + offset, float(left + right)
