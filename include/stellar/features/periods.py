"""Periods of light curves: periodogram, its significance, the true period among its multiples, Fourier shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

HARMONICS = 5
MULTIPLES = (1, 2, 3, 4, 5, 6)


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


def frequency_grid(span_d: float, fmin: float | None, fmax: float, samples_per_peak: int) -> tuple[float, int]:
    """First frequency (per day) and number of grid points with spacing 1 / (samples_per_peak * span)."""
    first = 1 / span_d if fmin is None else fmin
    return first, max(int(np.ceil((fmax - first) * span_d * samples_per_peak)), 16) + 1


def log10_false_alarm(power: float, n: int, fmax: float, time_variance: float) -> float:
    """log10 of the probability that noise alone gives such a peak anywhere up to `fmax` (Baluev 2008, table 1).

    Worked in logarithms, because astropy's own underflows to 0 for any real variable.
    """
    z = min(power, 1 - 1e-15)
    if n < 6:
        return 0.0
    log_single = 0.5 * (n - 3) * np.log1p(-z)
    log_gamma = 0.5 * np.log(2 / (n - 1)) + gammaln((n - 1) / 2) - gammaln((n - 2) / 2)
    width = fmax * np.sqrt(4 * np.pi * time_variance)
    log_tau = log_gamma + np.log(max(width, 1e-300)) + 0.5 * (n - 4) * np.log1p(-z) + 0.5 * np.log(0.5 * (n - 1) * z)
    if log_tau < -30:  # 1 - (1 - single) exp(-tau) = single + tau there
        return float(np.logaddexp(log_single, log_tau) / np.log(10))
    tau = np.exp(min(log_tau, 50))
    return float(np.log10(max(-np.expm1(np.log1p(-min(np.exp(log_single), 1 - 1e-16)) - tau), 1e-300)))


def strongest_peak(
    time: np.ndarray, value: np.ndarray, error: np.ndarray, *, fmax: float, fmin: float | None, samples_per_peak: int
) -> Peak:
    """Lomb-Scargle with floating mean by nifty-ls, and its highest peak.

    Parameters
    ----------
    time : float64[n]
        Days, sorted.
    value, error : float64[n]
    fmax, fmin : float
        Range of frequencies, per day; `fmin` None is one cycle in the span.
    samples_per_peak : int
    """
    import nifty_ls  # a second of imports, so not for those who only want the schema

    span = float(time[-1] - time[0])
    first, count = frequency_grid(span, fmin, fmax, samples_per_peak)
    # times from the middle: single cycles counted from a far-away zero would cost precision
    found = nifty_ls.lombscargle(
        time - time[0], value, error, fmin=first, fmax=fmax, Nf=count, backend="finufft", nthreads=1
    )
    power = np.nan_to_num(np.asarray(found.power, dtype=np.float64))
    best = int(np.argmax(power))
    frequency, height = first + best * found.df, float(power[best])
    if 0 < best < count - 1:  # parabola through the peak
        left, right = power[best - 1], power[best + 1]
        bend = left - 2 * height + right
        if bend < 0:
            frequency += 0.5 * (left - right) / bend * found.df
    n = len(time)
    scatter_over_amplitude = np.sqrt(max(1 - height, 1e-12) / max(2 * height, 1e-12))
    return Peak(
        frequency=float(frequency),
        frequency_err=float(np.sqrt(6 / n) / (np.pi * span) * scatter_over_amplitude),
        power=height,
        log10_fap=log10_false_alarm(height, n, fmax, float(np.var(time))),
        second_power=_second(power, first, found.df, frequency, span) / max(height, 1e-12),
    )


def _second(power: np.ndarray, first: float, df: float, frequency: float, span: float) -> float:
    """Highest power outside two resolution elements around f/3, f/2, f, 2f, 3f, ..."""
    rest = power.copy()
    reach = int(np.ceil(2 / (span * df)))
    for factor in (1 / 3, 1 / 2, 2 / 3, 1, 3 / 2, 2, 3, 4, 5, 6):
        middle = round((frequency * factor - first) / df)
        rest[max(middle - reach, 0) : max(middle + reach + 1, 0)] = 0
    return float(rest.max(initial=0.0))


def fold(time: np.ndarray, period: float, epoch: float) -> np.ndarray:
    """Phase in [0, 1)."""
    return np.mod((time - epoch) / period, 1.0)


def folded_scatter(phase: np.ndarray, value: np.ndarray, weight: np.ndarray, bins: int) -> float:
    """Weighted variance about the means of phase bins, per degree of freedom (Stellingwerf 1978)."""
    cell = np.minimum((phase * bins).astype(np.int64), bins - 1)
    total = np.bincount(cell, weight, bins)
    mean = np.bincount(cell, weight * value, bins) / np.where(total > 0, total, 1.0)
    used = int((total > 0).sum())
    return float((weight * (value - mean[cell]) ** 2).sum() / max(len(value) - used, 1))


def resolve_multiple(
    time: np.ndarray, value: np.ndarray, error: np.ndarray, period: float, *, longest: float
) -> tuple[int, float]:
    """Which multiple of the periodogram's period is the whole cycle, and how much better it folds than the period.

    A sine fits an eclipsing binary best at half its period (or at a smaller part, where eclipses are narrow); folded
    there, the two minima lie on each other and scatter. A multiple is taken only where it folds significantly better
    than every smaller one, since all multiples of a true period fold as well as it does.

    Returns
    -------
    multiple : int
    ratio : float
        Folded variance at the multiple over that at `period`; 1 where the multiple is 1.
    """
    weight = 1 / error**2
    bins = int(np.clip(len(time) // 10, 8, 60))
    # the spread of a variance ratio of noise, three sigma, and never less than a tenth
    threshold = 1 - max(0.1, 3 * np.sqrt(4 / len(time)))
    base = folded_scatter(fold(time, period, time[0]), value, weight, bins)
    best, best_scatter = 1, base
    for multiple in MULTIPLES[1:]:
        if period * multiple > longest:
            break
        scatter = folded_scatter(fold(time, period * multiple, time[0]), value, weight, bins)
        if scatter < threshold * best_scatter:
            best, best_scatter = multiple, scatter
    return best, best_scatter / base if base > 0 else 1.0


@dataclass(frozen=True)
class Fourier:
    """Weighted least-squares Fourier series at one period.

    `amplitude[k]` and `phase[k]` (radians) belong to harmonic k + 1 of `mean + sum amplitude cos(2 pi (k+1) t / P +
    phase)`; errors from the covariance, scaled by the residuals; `model` is the series at the times.
    """

    amplitude: np.ndarray
    amplitude_err: np.ndarray
    phase: np.ndarray
    phase_err: np.ndarray
    model: np.ndarray
    explained: float


def fit_fourier(
    time: np.ndarray, value: np.ndarray, error: np.ndarray, period: float, harmonics: int = HARMONICS
) -> Fourier:
    """Fit `harmonics` terms; `explained` is the share of the weighted variance that the series takes away."""
    weight = 1 / error**2
    turn = np.exp(2j * np.pi * (time - time[0]) / period)
    powers = np.cumprod(np.broadcast_to(turn, (harmonics, len(time))), axis=0)
    design = np.concatenate([np.ones((1, len(time))), powers.real, powers.imag])
    normal = (design * weight) @ design.T
    # a gap in phase makes harmonics trade against each other; the ridge keeps them finite
    normal[np.diag_indices_from(normal)] *= 1 + 1e-6
    covariance = np.linalg.inv(normal)
    coefficients = covariance @ ((design * weight) @ value)
    model = coefficients @ design
    mean = np.average(value, weights=weight)
    total, left = (weight * (value - mean) ** 2).sum(), (weight * (value - model) ** 2).sum()
    covariance = covariance * max(left / max(len(time) - len(coefficients), 1), 1e-300)
    a, b = coefficients[1 : harmonics + 1], coefficients[harmonics + 1 :]
    var_a, var_b = np.diag(covariance)[1 : harmonics + 1], np.diag(covariance)[harmonics + 1 :]
    cross = np.diag(covariance[1 : harmonics + 1, harmonics + 1 :])
    amplitude = np.hypot(a, b)
    safe = np.maximum(amplitude, 1e-300)
    amplitude_err = np.sqrt(np.maximum(a**2 * var_a + b**2 * var_b + 2 * a * b * cross, 0)) / safe
    phase_err = np.sqrt(np.maximum(b**2 * var_a + a**2 * var_b - 2 * a * b * cross, 0)) / safe**2
    return Fourier(
        amplitude,
        amplitude_err,
        np.arctan2(-b, a),
        np.minimum(phase_err, np.pi),
        model,
        float(1 - left / total) if total > 0 else 0.0,
    )
