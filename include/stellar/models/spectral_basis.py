"""Spectra of a frame as few numbers each: depths below the mean spectrum, weighted by how well each bin is measured.

The weight belongs to the bin, not to the spectrum: a line must not look shallower because the star is faint. (Shrinking
each depth by its own noise cost a third in the error of Teff on LAMOST.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stellar.models.spectra import Spectra


def degraded(spectra: Spectra, survey: np.ndarray, rng: np.random.Generator) -> Spectra:
    """The survey's spectra (`survey`, bool[n]) as they are, the others with normal noise added.

    Each of the others gets the variance of a survey's spectrum drawn at random, bin by bin, less what it has already.
    """
    own = np.flatnonzero(survey)
    flux, ivar = spectra.flux.copy(), spectra.ivar.copy()
    good = spectra.good
    usual = spectra.noise()[:, None]
    for row in np.flatnonzero(~survey):
        like = rng.choice(own)
        # a bin that the survey's spectrum lacks gets that spectrum's usual noise
        wanted = np.where(good[like], 1 / np.where(good[like], ivar[like], 1.0), usual[like])
        has = 1 / np.where(good[row], ivar[row], 1.0)
        added = np.where(good[row], np.maximum(wanted - has, 0.0), 0.0)
        flux[row] += np.sqrt(added) * rng.normal(size=len(added))
        ivar[row] = np.where(good[row], 1 / (has + added), 0.0)
    return Spectra(flux, ivar)


def running_mean(values: np.ndarray, weight: np.ndarray, bins: int) -> np.ndarray:
    """Weighted mean over `bins` neighbours (odd), float64[n, p]; fewer at the ends, NaN where none has weight."""
    half = bins // 2

    def total(part: np.ndarray) -> np.ndarray:
        sums = np.cumsum(np.pad(part, ((0, 0), (half + 1, half))), axis=1)
        return sums[:, 2 * half + 1 :] - sums[:, : -2 * half - 1]

    weights = total(weight)
    return np.where(weights > 1e-9, total(values * weight) / np.where(weights > 1e-9, weights, 1.0), np.nan)


@dataclass(frozen=True)
class SpectralBasis:
    """Mean spectrum, weights of the bins and principal components.

    Parameters
    ----------
    high_pass_bins : int
        Flux is divided by its running mean over so many bins; 0 leaves it alone.
    clip : float
        Depths and emission beyond so many continua are cut.
    mean, weight : float64[p]
    components : float64[q, p]
        Orthonormal rows.
    scale : float
        Scores are divided by it.
    """

    high_pass_bins: int
    clip: float
    mean: np.ndarray
    weight: np.ndarray
    components: np.ndarray
    scale: float

    @classmethod
    def fit(cls, spectra: Spectra, survey: np.ndarray, params: Mapping[str, Any]) -> Self:
        """Basis of all spectra; means, weights and scale are those of the survey's own (`survey`, bool[n]).

        `params`: `high_pass_bins`, `clip`, `noise_scale` (a bin of this relative error counts half), `weight_power`,
        `components` (at most so many).
        """
        high_pass, clip = int(params["high_pass_bins"]), float(params["clip"])
        depth = _depths(spectra, high_pass, clip)
        own = spectra.ivar[survey]
        share = own / (own + params["noise_scale"] ** -2)
        total = share.sum(axis=0)
        mean = (share * depth[survey]).sum(axis=0) / np.where(total > 0, total, 1.0)
        weight = (total / len(own)) ** float(params["weight_power"])
        centred = np.where(spectra.good, depth - mean, 0.0) * weight
        size = float(np.sqrt((centred[survey] ** 2).sum(axis=1).mean())) or 1.0
        return cls(high_pass, clip, mean, weight, _principal(centred, int(params["components"])), size)

    def scores(self, spectra: Spectra) -> np.ndarray:
        """Float64[n, q]: a bin that must not be used stands for the mean spectrum."""
        depth = _depths(spectra, self.high_pass_bins, self.clip)
        centred = np.where(spectra.good, depth - self.mean, 0.0) * self.weight
        return centred @ self.components.T / self.scale


def _depths(spectra: Spectra, high_pass_bins: int, clip: float) -> np.ndarray:
    flux = spectra.flux
    if high_pass_bins:
        mean = running_mean(flux, spectra.good.astype(np.float64), high_pass_bins)
        flux = flux / np.where(mean > 0.1, mean, 0.1)  # NaN compares false
    return np.clip(np.where(spectra.good, flux, 1.0) - 1, -clip, clip)


def _principal(centred: np.ndarray, most: int) -> np.ndarray:
    """Leading principal axes, float64[q, p], each with its largest element positive so that signs are settled."""
    n, p = centred.shape
    # the smaller of the two products of the matrix with itself has the same non-zero eigenvalues
    gram = centred @ centred.T if n <= p else centred.T @ centred
    values, vectors = np.linalg.eigh(gram)
    kept = np.flatnonzero(values > 1e-10 * max(float(values[-1]), 1e-30))[::-1][:most]
    axes = vectors[:, kept].T
    if n <= p:
        axes = (axes @ centred) / np.sqrt(values[kept])[:, None]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return axes * np.sign(largest)
