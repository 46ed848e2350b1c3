"""One period from several bands at once: a shared frequency, and a mean, an amplitude and a phase for each band.

VanderPlas & Ivezic (2015), the multi-phase model (no base terms, one term a band, eq. 25): the power is the mean of the
bands' own generalised Lomb-Scargle powers, weighted by their chi-squares about their means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from stellar.errors import InputError
from stellar.features.aliases import CANDIDATES, LEAST_GAIN, LEAST_POWER, are_aliases, harmonics_for
from stellar.features.harmonics import fit_series
from stellar.features.nufft import rows_of
from stellar.features.periodogram import Window, grid_of, peaks, power_at, reach_of

LEAST_POINTS = 6  # of a band: three are taken by its mean and its sinusoid


@dataclass(frozen=True)
class Band:
    """Measurements in one band: time in days, value, error; float64[n] each, sorted by time."""

    time: np.ndarray
    value: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class MultibandPeak:
    """Highest peak of a multi-band periodogram.

    Attributes
    ----------
    frequency : float
        Per day.
    power : float
        Share of the chi-square about the bands' means that the model takes away.
    log10_fap : float
        Of the whole range: an upper bound (Bonferroni over the independent frequencies of Baluev 2008, sect. 3).
    bands : int
        Bands that took part.
    """

    frequency: float
    power: float
    log10_fap: float
    bands: int


def multiband_peak(
    bands: Sequence[Band], *, fmax: float, fmin: float | None = None, samples_per_peak: int = 5
) -> MultibandPeak:
    """Strongest common period of several bands.

    Parameters
    ----------
    bands : sequence of Band
        Those with fewer than `LEAST_POINTS` take no part.
    fmax, fmin : float
        Range of frequencies, per day; `fmin` None is one cycle in the span of all bands.
    samples_per_peak : int

    Raises
    ------
    InputError
        No band has enough points, or all points are of one time.
    """
    used = [band for band in bands if len(band.time) >= LEAST_POINTS]
    if not used:
        sizes = ", ".join(str(len(band.time)) for band in bands)
        raise InputError(f"no band has {LEAST_POINTS} points (they have {sizes}); give more measurements")
    start = min(float(band.time[0]) for band in used)
    span = max(float(band.time[-1]) for band in used) - start
    if not span > 0:
        raise InputError("all measurements are of one time; a period needs some span")
    grid = grid_of(span, fmin, fmax, samples_per_peak)
    times = [np.ascontiguousarray(band.time - start, np.float64) for band in used]
    values = [np.ascontiguousarray(band.value, np.float64) for band in used]
    weights = [1 / np.ascontiguousarray(band.error, np.float64) ** 2 for band in used]
    shares = np.array([_chi_square(value, weight) for value, weight in zip(values, weights, strict=True)])
    shares = shares / shares.sum() if shares.sum() > 0 else np.full(len(used), 1 / len(used))
    power = np.zeros(grid.last + 1, np.float32)
    rows = rows_of(grid.size)
    for first in range(0, len(used), rows):
        some = slice(first, first + rows)
        window = Window(times[some], weights[some], [grid] * len(times[some]))
        for share, one in zip(shares[some], window.powers(values[some]), strict=True):
            power += np.float32(share) * one

    def exact(frequency: float) -> float:
        found = (power_at(*band, frequency) for band in zip(times, values, weights, strict=True))
        return float(sum(share * one for share, one in zip(shares, found, strict=True)))

    at = np.full(CANDIDATES, grid.first)
    at = at[: max(peaks(power, grid.first, reach_of(grid, span), at), 1)]
    top = at[0] * grid.step
    best, best_gain = None, -np.inf
    points = sum(len(time) for time in times)
    for k in at:
        if k != at[0] and (power[k] < LEAST_POWER * power[at[0]] or not are_aliases(top, k * grid.step)):
            continue
        middle = k * grid.step
        frequency = _summit(exact, middle - grid.step, middle + grid.step)
        if exact(frequency) < exact(middle):  # the peak stands at the border of the grid
            frequency = middle
        left = 1.0 - sum(
            share * fit_series(*band, frequency, harmonics_for(len(band[0])), np.empty(len(band[0])))[2]
            for share, band in zip(shares, zip(times, values, weights, strict=True), strict=True)
        )
        gain = -points * np.log(max(left, 1e-12)) + (LEAST_GAIN if k == at[0] else 0.0)
        if gain > best_gain:
            best, best_gain = frequency, gain
    frequency, height = best, exact(best)
    every = np.concatenate(times)
    independent = max(grid.last * grid.step * np.sqrt(4 * np.pi * np.var(every)), 1.0)
    single = beta.logsf(height, len(used), max((points - 3 * len(used)) / 2, 0.5)) / np.log(10)
    return MultibandPeak(frequency, height, float(min(single + np.log10(independent), 0.0)), len(used))


def _chi_square(value: np.ndarray, weight: np.ndarray) -> float:
    mean = weight @ value / weight.sum()
    return float(weight @ (value - mean) ** 2)


def _summit(function: Callable[[float], float], low: float, high: float, steps: int = 24) -> float:
    """Highest place of a function with one summit, by golden sections."""
    golden = (np.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(steps):
        if at_left < at_right:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = function(right)
        else:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = function(left)
    return (low + high) / 2
