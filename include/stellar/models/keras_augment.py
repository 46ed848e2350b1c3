"""Random changes of training examples that follow from how they are measured: noise, velocity, resolution, gaps.

Each change keeps flux and inverse variance in step, so that the network learns what the weights mean. Strengths are
parameters, 0 turns one off, and the same generator gives the same changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stellar.errors import InputError

LIGHT_KMS = 299792.458
SPECTRA: dict[str, float] = {
    "share": 0.7,  # of the examples that are changed at all
    "noise": 1.6,  # the errors grow by up to this factor, the noise with them; 1 is off
    "velocity_kms": 60.0,  # left over after the redshift is taken out, one sigma
    "blur_bins": 0.5,  # resolution: largest sigma of a Gaussian, in bins
    "tilt": 0.03,  # reddening and flux calibration left in the continuum: relative, from end to end of the grid
    "gap_bins": 40.0,  # longest run of bins that is masked
}
CURVES: dict[str, float] = {
    "share": 0.7,
    "noise": 1.5,  # as of spectra
    "crop": 0.5,  # shortest share of the span that is kept
    "gap": 0.1,  # longest share of the span that is lost
    "thin": 0.3,  # largest share of points that is lost one by one: another cadence
    "stretch": 0.05,  # of time and periods, natural log, one sigma
}


def strengths(architecture: str, defaults: Mapping[str, float], given: Mapping[str, Any] | None) -> dict[str, float]:
    """Defaults with the given strengths on top; None or `{"share": 0}` turns every change off."""
    if given is None:
        return {**defaults, "share": 0.0}
    if unknown := sorted(set(given) - set(defaults)):
        raise InputError(f"{architecture}: augment: unknown {', '.join(unknown)}; known are {', '.join(defaults)}")
    merged = {**defaults, **given}
    if wrong := [name for name, value in merged.items() if not np.isfinite(value) or value < 0]:
        raise InputError(f"{architecture}: augment: {', '.join(wrong)} must be a number of 0 or more")
    return merged


class SpectrumAugmenter:
    """Changes batches of normalised spectra (flux, ivar), float32[n, bins], ivar 0 where masked."""

    def __init__(self, settings: Mapping[str, float], step_dex: float) -> None:
        self.settings = settings
        self.bin_kms = (10.0**step_dex - 1) * LIGHT_KMS

    def __call__(self, flux: np.ndarray, ivar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        n, own = len(flux), self.settings
        chosen = rng.random(n) < own["share"]
        shift = np.where(chosen, rng.normal(size=n) * own["velocity_kms"] / self.bin_kms, 0.0)
        sigma = np.where(chosen, rng.uniform(0, own["blur_bins"], n), 0.0)
        grow = np.where(chosen, np.exp(rng.uniform(0, np.log(max(own["noise"], 1.0)), n)), 1.0)
        tilt = np.where(chosen, rng.normal(size=n) * own["tilt"] / 2, 0.0)
        bend = np.where(chosen, rng.normal(size=n) * own["tilt"] / 4, 0.0)
        if own["velocity_kms"] > 0:
            flux, ivar = shifted(flux, ivar, shift)
        if own["blur_bins"] > 0:
            flux, ivar = blurred(flux, ivar, sigma)
        x = np.linspace(-1, 1, flux.shape[1])
        factor = (1 + tilt[:, None] * x + bend[:, None] * (x * x - 1 / 3)).astype(np.float32)
        flux, ivar = flux * factor, ivar / factor**2
        flux, ivar = noisier(flux, ivar, grow, rng)
        if own["gap_bins"] >= 1:
            length = np.where(chosen, rng.integers(0, int(own["gap_bins"]) + 1, n), 0)
            first = rng.integers(0, flux.shape[1], n)
            bins = np.arange(flux.shape[1])
            lost = (bins >= first[:, None]) & (bins < (first + length)[:, None])
            ivar = np.where(lost, 0, ivar)
        return np.where(ivar > 0, flux, 1).astype(np.float32), ivar.astype(np.float32)


def noisier(
    flux: np.ndarray, ivar: np.ndarray, factor: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Errors times `factor` (1 or more, per row): Gaussian noise of variance (factor^2 - 1) / ivar is added."""
    seen = ivar > 0
    sigma = np.sqrt((factor[:, None] ** 2 - 1) / np.where(seen, ivar, 1))
    noise = rng.standard_normal(flux.shape, dtype=np.float32) * sigma.astype(np.float32)
    return np.where(seen, flux + noise, flux), ivar / (factor[:, None] ** 2).astype(np.float32)


def shifted(flux: np.ndarray, ivar: np.ndarray, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows moved by `bins` (float, to the red if positive): linear between two bins, masked if one of them is."""
    n, width = flux.shape
    whole = np.floor(-bins).astype(np.int64)
    share = (-bins - whole)[:, None].astype(np.float32)
    left = np.arange(width)[None, :] + whole[:, None]
    inside = (left >= 0) & (left + 1 < width)
    left = np.clip(left, 0, width - 2)
    row = np.arange(n)[:, None]
    right_counts = share > 0
    seen = inside & (ivar[row, left] > 0) & ((ivar[row, left + 1] > 0) | ~right_counts)
    variance = (1 - share) ** 2 / np.where(ivar > 0, ivar, 1)[row, left]
    variance += share**2 / np.where(ivar > 0, ivar, 1)[row, left + 1]
    moved = (1 - share) * flux[row, left] + share * flux[row, left + 1]
    still = (bins == 0)[:, None]
    return np.where(still, flux, moved), np.where(still, ivar, np.where(seen, 1 / variance, 0))


def blurred(flux: np.ndarray, ivar: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows convolved with a Gaussian of `sigma` bins (up to about 1.5); masked bins give nothing and stay masked.

    The variance keeps that of single bins: neighbours are correlated then, and a smaller one would promise more than
    the spectrum holds.
    """
    offsets = np.arange(-4, 5)
    width = np.maximum(sigma, 1e-3)[:, None]
    kernel = np.exp(-0.5 * (offsets / width) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    seen = ivar > 0
    padded = np.pad(np.where(seen, flux, 0), ((0, 0), (4, 4)))
    there = np.pad(seen.astype(np.float32), ((0, 0), (4, 4)))
    total, weight = np.zeros(flux.shape), np.zeros(flux.shape)
    for k in range(9):
        share = kernel[:, k : k + 1]
        total += share * padded[:, k : k + flux.shape[1]]
        weight += share * there[:, k : k + flux.shape[1]]
    out = np.where(seen, total / np.where(weight > 0, weight, 1), flux)
    return out.astype(np.float32), ivar


class CurveAugmenter:
    """Changes one light curve: time [m] in days, value [m] (relative flux), error [m]; returns also the stretch."""

    def __init__(self, settings: Mapping[str, float]) -> None:
        self.settings = settings

    def __call__(
        self, time: np.ndarray, value: np.ndarray, error: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        own = self.settings
        # drawn whether used or not, so that one curve's changes do not hang on those of another
        draw, sizes, places = rng.random(), rng.random(4), rng.random(2)
        stretch = float(np.exp(own["stretch"] * rng.normal()))
        seed = int(rng.integers(2**63))
        if draw >= own["share"] or len(time) < 8:
            return time, value, error, 1.0
        inner = np.random.default_rng(seed)
        span = time[-1] - time[0]
        keep = np.ones(len(time), dtype=bool)
        length = 1 - sizes[0] * (1 - min(own["crop"], 1.0))
        first = time[0] + places[0] * (1 - length) * span
        keep &= (time >= first) & (time <= first + length * span)
        gap = sizes[1] * own["gap"] * span
        hole = time[0] + places[1] * (span - gap)
        keep &= ~((time > hole) & (time < hole + gap))
        keep &= inner.random(len(time)) >= sizes[2] * own["thin"]
        if keep.sum() < 8:
            keep[:] = True
        time, value, error = time[keep], value[keep], error[keep]
        grow = np.exp(sizes[3] * np.log(max(own["noise"], 1.0)))
        value = value + error * np.sqrt(grow**2 - 1) * inner.normal(size=len(value))
        return time * stretch, value, error * grow, stretch
