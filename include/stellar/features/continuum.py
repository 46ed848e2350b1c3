"""Continua for spectra that a polynomial does not follow: bands of cool stars, emission lines, steps of a join.

`rebin.fit_continuum` (a Legendre series) remains what `features.spectra` divides by.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.interpolate import BSpline

from stellar.errors import InputError


def running_quantile(flux: np.ndarray, ivar: np.ndarray, width: int, quantile: float = 0.8) -> np.ndarray:
    """Quantile of the good bins within a sliding window.

    An emission line narrower than a fifth of the window, or bands that take less than four fifths of it, do not move
    the 0.8 quantile. A slope does, by its change over a third of the window; at the ends the window is cut.

    Parameters
    ----------
    flux, ivar : float64[n, p]
        On one grid; masked bins have ivar 0.
    width : int
        Bins of the window, odd or made so.
    quantile : float
        In (0, 1).

    Returns
    -------
    float64[n, p]
        In the flux's unit; NaN where the window holds no good bin.
    """
    if not 0 < quantile < 1 or width < 1:
        raise InputError(f"running_quantile: width {width} and quantile {quantile} must be positive, quantile below 1")
    half = width // 2
    padded = np.pad(np.where(ivar > 0, flux, np.nan), ((0, 0), (half, half)), constant_values=np.nan)
    continuum = np.full(flux.shape, np.nan)
    for row, values in enumerate(padded):  # a row at a time bounds the memory
        windows = np.sort(sliding_window_view(values, 2 * half + 1), axis=1)  # NaN last
        count = np.isfinite(windows).sum(axis=1)
        place = quantile * np.maximum(count - 1, 0)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, np.maximum(count - 1, 0))
        at = np.arange(len(windows))
        continuum[row] = windows[at, low] + (place - low) * (windows[at, high] - windows[at, low])
    return continuum


def asymmetric_spline(
    flux: np.ndarray,
    ivar: np.ndarray,
    *,
    knots: int = 12,
    asymmetry: float = 0.95,
    smoothness: float = 1e-3,
    clip_above: float = 4.0,
    iterations: int = 12,
) -> np.ndarray:
    """Cubic spline through the upper part of each spectrum, by asymmetric penalised least squares.

    Bins above the spline weigh `asymmetry`, those below the rest (Eilers & Boelens 2005; P-splines of Eilers & Marx
    1996, Stat. Sci. 11, 89), so that absorption does not pull it down; bins more than `clip_above` robust standard
    deviations above it (emission, cosmic rays) weigh nothing.

    Parameters
    ----------
    flux, ivar : float64[n, p]
        On one grid; masked bins have ivar 0.
    knots : int
        Intervals of the spline, of equal width.
    asymmetry : float
        In [0.5, 1).
    smoothness : float
        Weight of the squared second differences of the coefficients, relative to the mean weight of the data.
    clip_above : float
    iterations : int

    Returns
    -------
    float64[n, p]
        In the flux's unit; NaN rows where fewer good bins than twice the coefficients are left.
    """
    if not 0.5 <= asymmetry < 1 or knots < 1:
        raise InputError(f"asymmetric_spline: asymmetry {asymmetry} must be in [0.5, 1), knots {knots} at least 1")
    n, p = flux.shape
    ends = np.linspace(0, 1, knots + 1)
    padded = np.concatenate([np.zeros(3), ends, np.ones(3)])
    basis = BSpline.design_matrix(np.linspace(0, 1, p), padded, 3).toarray()
    size = basis.shape[1]
    penalty = np.diff(np.eye(size), 2, axis=0)
    penalty = penalty.T @ penalty
    good = ivar > 0
    level = np.array([np.median(np.abs(row[ok])) if ok.any() else 1.0 for row, ok in zip(flux, good, strict=True)])
    level = np.where(level > 0, level, 1.0)[:, None]
    scaled = np.where(good, flux, 0.0) / level
    weight = good.astype(np.float64)
    continuum = np.zeros((n, p))
    for _ in range(iterations):
        normal = np.einsum("pi,np,pj->nij", basis, weight, basis, optimize=True)
        ridge = smoothness * weight.mean(axis=1) * p / size
        coefficients = np.linalg.solve(
            normal + ridge[:, None, None] * penalty + 1e-9 * np.eye(size), ((weight * scaled) @ basis)[:, :, None]
        )[:, :, 0]
        continuum = coefficients @ basis.T
        residual = scaled - continuum
        higher = good & (residual > 0)
        spread = np.array(
            [np.median(row[ok]) if ok.any() else np.inf for row, ok in zip(residual, higher, strict=True)]
        )
        above = np.where(residual > 0, asymmetry, 1 - asymmetry)
        weight = good.astype(np.float64) * np.where(residual > clip_above * 1.4826 * spread[:, None], 0.0, above)
    enough = good.sum(axis=1) >= 2 * size
    return np.where(enough[:, None], continuum * level, np.nan)
