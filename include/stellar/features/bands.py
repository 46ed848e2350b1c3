"""Signal to noise and synthetic colours in broad bands."""

from __future__ import annotations

import numpy as np

from stellar.features.line_indices import window_weights
from stellar.features.rebin import Grid

LIGHT_ANGSTROM_S = 2.99792458e18
# Box filters of the SDSS bands: effective wavelength -+ half the full width at half maximum, vacuum Angstrom (Fukugita
# et al. 1996, AJ 111, 1748, table 2a: 4770 and 1379, 6231 and 1382, 7625 and 1535). No dependency ships the measured
# curves; against them such boxes are off by a few hundredths of a magnitude in colours of stars.
BANDS = {"g": (4080.5, 5459.5), "r": (5540.0, 6922.0), "i": (6857.5, 8392.5)}
COLOURS = (("g", "r"), ("r", "i"))
MIN_COVERAGE = 0.8


def band_sn(wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray) -> dict[str, float]:
    """Median signal to noise of the good pixels of one spectrum in each band, NaN where there are none.

    Parameters
    ----------
    wave, flux, ivar : float64[m]
        Vacuum Angstrom; flux density and inverse variance, 0 where bad.
    """
    found = {}
    for band, (low, high) in BANDS.items():
        inside = (wave >= low) & (wave <= high) & (ivar > 0)
        found[f"sn_{band}"] = float(np.median(flux[inside] * np.sqrt(ivar[inside]))) if inside.any() else float("nan")
    return found


def synthetic_colours(flux: np.ndarray, ivar: np.ndarray, grid: Grid) -> dict[str, np.ndarray]:
    """AB colours `syn_g_r` and `syn_r_i` in mag with errors, float64[n] each; NaN where a band is not well covered.

    The AB magnitude of a photon counter is -2.5 log10 of the integral of f_lambda lambda over that of c / lambda, plus
    a constant (Fukugita et al. 1996, equation 7, for a box). Of a relatively calibrated spectrum magnitudes mean
    nothing, and colours as much as its calibration.

    Parameters
    ----------
    flux, ivar : float64[n, p]
        Flux density per Angstrom on `grid` before normalisation, ivar 0 where masked.
    """
    wave, good = grid.wavelength_angstrom, ivar > 0
    magnitude, variance = {}, {}
    for band, (low, high) in BANDS.items():
        width = window_weights(grid, low, high)
        inside = np.where(good, width, 0.0)
        photons = (inside * wave * np.where(good, flux, 0.0)).sum(axis=1)
        noise = ((inside * wave) ** 2 / np.where(good, ivar, 1.0)).sum(axis=1)
        zero = (inside * LIGHT_ANGSTROM_S / wave).sum(axis=1)
        usable = (inside.sum(axis=1) >= MIN_COVERAGE * width.sum()) & (photons > 0)
        safe, zero = np.where(usable, photons, 1.0), np.where(zero > 0, zero, 1.0)
        magnitude[band] = np.where(usable, -2.5 * np.log10(safe / zero), np.nan)
        variance[band] = np.where(usable, (2.5 / np.log(10)) ** 2 * noise / safe**2, np.nan)
    found = {}
    for one, other in COLOURS:
        found[f"syn_{one}_{other}"] = magnitude[one] - magnitude[other]
        found[f"syn_{one}_{other}_err"] = np.sqrt(variance[one] + variance[other])
    return found
