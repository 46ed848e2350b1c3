"""Spectra on one grid: flux-conserving rebinning with inverse variance and mask, and the continuum."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.polynomial import legendre


@dataclass(frozen=True)
class Grid:
    """Bins of equal width in log10 of the vacuum wavelength in Angstrom.

    The default is three SDSS pixels wide (207 km/s; SDSS and LAMOST resolve about 165), over what SDSS, BOSS and
    LAMOST all cover.
    """

    first_angstrom: float = 3850.0
    last_angstrom: float = 9150.0
    step_dex: float = 3e-4

    @property
    def size(self) -> int:
        return int(np.floor((np.log10(self.last_angstrom) - np.log10(self.first_angstrom)) / self.step_dex + 1e-9))

    @property
    def edges_dex(self) -> np.ndarray:
        return np.log10(self.first_angstrom) + self.step_dex * np.arange(self.size + 1)

    @property
    def centres_dex(self) -> np.ndarray:
        return self.edges_dex[:-1] + self.step_dex / 2

    @property
    def edges_angstrom(self) -> np.ndarray:
        return 10**self.edges_dex

    @property
    def wavelength_angstrom(self) -> np.ndarray:
        return 10**self.centres_dex

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"size": self.size, "medium": "vacuum"}


def rebin(
    loglam: np.ndarray, flux: np.ndarray, ivar: np.ndarray, grid: Grid, min_coverage: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """One spectrum on the grid: mean flux density per bin, weighted by overlap in wavelength.

    The integral of the flux over any run of bins whose pixels are all good equals that of the input. Bad pixels
    (`ivar` 0) take no part; a bin with less than `min_coverage` of its width in good pixels is masked. Variances are
    propagated; the covariance of neighbouring bins that share a pixel is not kept.

    Parameters
    ----------
    loglam : float[m]
        log10 of the pixel centres in Angstrom, increasing.
    flux, ivar : float[m]
        Flux density and inverse variance, `ivar` 0 where bad.
    grid : Grid
    min_coverage : float

    Returns
    -------
    flux, ivar : float64[grid.size]
        NaN and 0 where masked.
    """
    middle = (loglam[1:] + loglam[:-1]) / 2
    edges_dex = np.concatenate([[2 * loglam[0] - middle[0]], middle, [2 * loglam[-1] - middle[-1]]])
    pixel = 10**edges_dex
    out = grid.edges_angstrom
    first = np.clip(np.searchsorted(pixel, out[:-1], side="right") - 1, 0, len(flux) - 1)
    last = np.clip(np.searchsorted(pixel, out[1:], side="left") - 1, 0, len(flux) - 1)
    share = first[:, None] + np.arange(int((last - first).max()) + 1)[None, :]  # pixels that each bin may touch
    touched = np.minimum(share, len(flux) - 1)
    overlap = np.minimum(out[1:, None], pixel[touched + 1]) - np.maximum(out[:-1, None], pixel[touched])
    good = ivar > 0
    overlap = np.where((share <= last[:, None]) & good[touched], np.maximum(overlap, 0), 0.0)
    total = overlap.sum(axis=1)
    variance = np.divide(1.0, ivar, out=np.zeros(len(ivar)), where=good)
    clean = np.where(good, flux, 0.0)
    kept = total >= min_coverage * np.diff(out)
    safe = np.where(kept, total, 1.0)
    spread = (overlap**2 * variance[touched]).sum(axis=1)
    kept &= spread > 0
    mean = np.where(kept, (overlap * clean[touched]).sum(axis=1) / safe, np.nan)
    return mean, np.where(kept, safe**2 / np.where(kept, spread, 1.0), 0.0)


def fit_continuum(
    flux: np.ndarray,
    ivar: np.ndarray,
    *,
    degree: int = 7,
    iterations: int = 6,
    clip_below: float = 1.0,
    clip_above: float = 3.0,
) -> np.ndarray:
    """Pseudo-continuum of many spectra at once: a Legendre series that lets go of absorption lines.

    After each least-squares fit, bins lower than `clip_below` or higher than `clip_above` robust standard deviations
    are left out of the next one, lines (and M stars' bands) being mostly below. The deviation is at least that of the
    noise, so that a noisy spectrum is not pulled to its upper envelope.

    Parameters
    ----------
    flux, ivar : float64[n, p]
        On one grid; masked bins have ivar 0.
    degree : int

    Returns
    -------
    float64[n, p]
        Continuum in the flux's unit; NaN rows where fewer good bins than twice the coefficients are left.
    """
    n, p = flux.shape
    basis = legendre.legvander(np.linspace(-1, 1, p), degree)
    products = basis[:, :, None] * basis[:, None, :]
    good = ivar > 0
    values = np.where(good, flux, 0.0)
    level = np.median(np.abs(np.where(good, flux, 0.0)), axis=1, keepdims=True)
    scaled = values / np.where(level > 0, level, 1.0)
    noise = np.where(good, 1 / np.sqrt(np.where(good, ivar, 1.0)), np.inf) / np.where(level > 0, level, 1.0)
    # equal weights: with inverse variances the bright end of a hot or cool star would decide everything
    kept = good.copy()
    ridge = 1e-9 * np.eye(degree + 1)
    flat = products.reshape(p, -1)
    continuum = np.full((n, p), np.nan)
    enough = good.sum(axis=1) >= 2 * (degree + 1)
    for _ in range(iterations):
        weight = kept.astype(np.float64)
        normal = (weight @ flat).reshape(n, degree + 1, degree + 1) + ridge
        coefficients = np.linalg.solve(normal, ((weight * scaled) @ basis)[:, :, None])[:, :, 0]
        continuum = coefficients @ basis.T
        residual = scaled - continuum
        spread = _robust_spread(residual, kept)
        sigma = np.maximum(spread[:, None], noise)
        next_kept = good & (residual > -clip_below * sigma) & (residual < clip_above * sigma)
        # never let go of so much that the fit hangs in the air
        next_kept[next_kept.sum(axis=1) < 4 * (degree + 1)] = kept[next_kept.sum(axis=1) < 4 * (degree + 1)]
        kept = next_kept
    return np.where(enough[:, None], continuum * level, np.nan)


def _robust_spread(residual: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """1.4826 times the median absolute residual of the kept bins of each row."""
    absolute = np.where(kept, np.abs(residual), np.inf)
    absolute.sort(axis=1)
    middle = np.maximum(kept.sum(axis=1) // 2, 0)
    found = absolute[np.arange(len(residual)), np.minimum(middle, residual.shape[1] - 1)]
    return 1.4826 * np.where(np.isfinite(found), found, 0.0)


def normalise(flux: np.ndarray, ivar: np.ndarray, continuum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flux over continuum with its inverse variance; bins where the continuum is lost in the noise are masked.

    A continuum under a twentieth of its own median cannot be divided by.
    """
    middle = np.nanmedian(np.where(np.isfinite(continuum), continuum, 0.0), axis=1, keepdims=True)
    usable = (ivar > 0) & np.isfinite(continuum) & (continuum > 0.05 * middle) & (middle > 0)
    safe = np.where(usable, continuum, 1.0)
    return np.where(usable, flux / safe, np.nan), np.where(usable, ivar * safe**2, 0.0)
