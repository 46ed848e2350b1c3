"""Periods of light curves: periodogram, its significance, the true period among its multiples, Fourier shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stellar.features.folding import whole_cycle
from stellar.features.harmonics import fit_series
from stellar.features.periodogram import Window, grid_of, highest, highest_elsewhere, reach_of, refine

HARMONICS = 5


@dataclass(frozen=True)
class Peak:
    """Highest peak of a Lomb-Scargle periodogram.

    Attributes
    ----------
    frequency : float
        Per day, refined between grid points.
    frequency_err : float
        Per day (Montgomery & O'Donoghue 1999, eq. 14).
    power : float
        Standard normalisation, 0 to 1.
    log10_fap : float
        Of the whole frequency range (Baluev 2008).
    second_power : float
        Highest power away from the peak, its harmonics and subharmonics, over the peak's.
    """

    frequency: float
    frequency_err: float
    power: float
    log10_fap: float
    second_power: float


def log10_false_alarm(power: float, n: int, fmax: float, time_variance: float) -> float:
    """log10 of the probability that noise alone gives such a peak anywhere up to `fmax` (Baluev 2008, table 1).

    Worked in logarithms, because astropy's own underflows to 0 for any real variable.
    """
    z = min(power, 1 - 1e-15)
    if n < 6:
        return 0.0
    log_single = 0.5 * (n - 3) * math.log1p(-z)
    log_gamma = 0.5 * math.log(2 / (n - 1)) + math.lgamma((n - 1) / 2) - math.lgamma((n - 2) / 2)
    width = fmax * math.sqrt(4 * math.pi * time_variance)
    log_height = math.log(max(0.5 * (n - 1) * z, 1e-300))
    log_tau = log_gamma + math.log(max(width, 1e-300)) + 0.5 * (n - 4) * math.log1p(-z) + 0.5 * log_height
    if log_tau < -30:  # 1 - (1 - single) exp(-tau) = single + tau there
        return float(np.logaddexp(log_single, log_tau) / np.log(10))
    tau = math.exp(min(log_tau, 50))
    return math.log10(max(-math.expm1(math.log1p(-min(math.exp(log_single), 1 - 1e-16)) - tau), 1e-300))


def frequency_error(n: int, span_d: float, power: float) -> float:
    """Error of a peak's frequency, per day (Montgomery & O'Donoghue 1999, eq. 14)."""
    scatter_over_amplitude = np.sqrt(max(1 - power, 1e-12) / max(2 * power, 1e-12))
    return float(np.sqrt(6 / n) / (np.pi * span_d) * scatter_over_amplitude)


def strongest_peak(
    time: np.ndarray, value: np.ndarray, error: np.ndarray, *, fmax: float, fmin: float | None, samples_per_peak: int
) -> Peak:
    """Lomb-Scargle with floating mean of one curve, and its highest peak.

    Parameters
    ----------
    time : float64[n]
        Days, sorted.
    value, error : float64[n]
    fmax, fmin : float
        Range of frequencies, per day; `fmin` None is one cycle in the span.
    samples_per_peak : int
    """
    # times from the first: cycles counted from a far-away zero would cost precision
    time = np.ascontiguousarray(time - time[0], dtype=np.float64)
    span = float(time[-1])
    grid = grid_of(span, fmin, fmax, samples_per_peak)
    window = Window([time], [1 / error**2], [grid])
    power = window.powers([value])[0]
    best = int(highest(power, grid.first, grid.last))
    frequency, height = refine(time, value, window.weights[0], best * grid.step, grid.step)
    second = float(highest_elsewhere(power, grid.first, float(best), reach_of(grid, span)))
    return Peak(
        frequency=frequency,
        frequency_err=frequency_error(len(time), span, height),
        power=height,
        log10_fap=log10_false_alarm(height, len(time), grid.last * grid.step, float(np.var(time))),
        second_power=second / max(height, 1e-12),
    )


def resolve_multiple(
    time: np.ndarray, value: np.ndarray, error: np.ndarray, period: float, *, longest: float, sigmas: float = 7.0
) -> tuple[int, float]:
    """Which multiple of the periodogram's period is the whole cycle.

    A sine fits an eclipsing binary best at half its period (or at a smaller part, where eclipses are narrow); folded
    there, the two minima lie on each other. The period is multiplied by 2, 3 or 5 as long as the cycles folded so
    differ; cycles that are all alike (equal minima too) leave it as it is.

    Returns
    -------
    multiple : int
    ratio : float
        Folded variance at the multiple over that at `period`; 1 where the multiple is 1.
    """
    return whole_cycle(time, value, 1 / error**2, 1 / period, longest, sigmas)


@dataclass(frozen=True)
class Fourier:
    """Weighted least-squares Fourier series at one period.

    `amplitude[k]` and `phase[k]` (radians) belong to harmonic k + 1 of `mean + sum amplitude cos(2 pi (k+1) t / P +
    phase)`, time from the first; errors from the covariance, scaled by the residuals; `explained` is the share of the
    weighted variance that the series takes away.
    """

    amplitude: np.ndarray
    amplitude_err: np.ndarray
    phase: np.ndarray
    phase_err: np.ndarray
    explained: float

    @classmethod
    def of(cls, coefficients: np.ndarray, covariance: np.ndarray, explained: float) -> Fourier:
        """From what `fit_series` gives: constant, cosines and sines, and their covariance."""
        harmonics = len(coefficients) // 2
        a, b = coefficients[1 : harmonics + 1], coefficients[harmonics + 1 :]
        diagonal = covariance.diagonal()
        var_a, var_b = diagonal[1 : harmonics + 1], diagonal[harmonics + 1 :]
        cross = covariance.diagonal(harmonics)[1:]
        amplitude = np.hypot(a, b)
        safe = np.maximum(amplitude, 1e-300)
        amplitude_err = np.sqrt(np.maximum(a**2 * var_a + b**2 * var_b + 2 * a * b * cross, 0)) / safe
        phase_err = np.sqrt(np.maximum(b**2 * var_a + a**2 * var_b - 2 * a * b * cross, 0)) / safe**2
        return cls(amplitude, amplitude_err, np.arctan2(-b, a), np.minimum(phase_err, np.pi), explained)


def fit_fourier(
    time: np.ndarray, value: np.ndarray, error: np.ndarray, period: float, harmonics: int = HARMONICS
) -> tuple[Fourier, np.ndarray]:
    """Fit `harmonics` terms to one curve; the series, and its values at the times."""
    model = np.empty(len(time))
    return Fourier.of(*fit_series(time, value, 1 / error**2, 1 / period, harmonics, model)), model
