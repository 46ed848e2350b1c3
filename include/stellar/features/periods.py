"""Periods of light curves: periodogram, its significance, the true period among its multiples, Fourier shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

HARMONICS = 5
FACTORS = (2, 3, 5)


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


def common_course(time: np.ndarray, value: np.ndarray, period: float) -> np.ndarray:
    """The curve folded at the period, as bin means joined by straight lines, at each time."""
    bins = int(np.clip(len(time) // 20, 6, 60))
    phase = fold(time, period, time[0])
    cell = np.minimum((phase * bins).astype(np.int64), bins - 1)
    count = np.bincount(cell, minlength=bins)
    seen = np.flatnonzero(count)
    centre, mean = (np.bincount(cell, of, bins)[seen] / count[seen] for of in (phase, value))
    return np.interp(phase, centre, mean, period=1.0)


def cycles_differ(time: np.ndarray, value: np.ndarray, period: float, factor: int, sigmas: float = 7.0) -> bool:
    """Whether the curve folded at `factor` times the period shows cycles that are not alike.

    What all cycles share is taken off first, because an even cadence samples its slopes unevenly from cycle to cycle.
    Then the mean of each phase bin is compared between the `factor` cycles; the error of a mean comes from the scatter
    in its own bin, so that one flare or a drifting level, which do not come back, do not count.
    """
    bins = int(np.clip(len(time) // (25 * factor), 6, 60))
    phase = fold(time, period * factor, time[0]) * factor
    value = value - common_course(time, value, period)
    cycle = np.minimum(phase.astype(np.int64), factor - 1)
    cell = cycle * bins + np.minimum(((phase - cycle) * bins).astype(np.int64), bins - 1)
    size = factor * bins
    count = np.bincount(cell, minlength=size)
    mean = np.bincount(cell, value, size) / np.maximum(count, 1)
    variance = np.bincount(cell, (value - mean[cell]) ** 2, size) / np.maximum(count * (count - 1), 1)
    seen = (count >= 10).reshape(factor, bins)
    table, error = mean.reshape(factor, bins), variance.reshape(factor, bins)
    high, low = np.where(seen, table, -np.inf), np.where(seen, table, np.inf)
    top, bottom = high.argmax(axis=0), low.argmin(axis=0)
    columns = np.flatnonzero(seen.sum(axis=0) >= 2)
    difference = table[top[columns], columns] - table[bottom[columns], columns]
    spread = np.sqrt(error[top[columns], columns] + error[bottom[columns], columns])
    return bool((difference > sigmas * spread).any())


def resolve_multiple(
    time: np.ndarray, value: np.ndarray, error: np.ndarray, period: float, *, longest: float
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
    multiple = 1
    while factor := next(
        (f for f in FACTORS if period * multiple * f <= longest and cycles_differ(time, value, period * multiple, f)), 0
    ):
        multiple *= factor
    if multiple == 1:
        return 1, 1.0
    weight = 1 / error**2
    bins = int(np.clip(len(time) // 10, 8, 60))
    base, found = (folded_scatter(fold(time, period * m, time[0]), value, weight, bins) for m in (1, multiple))
    return multiple, found / base if base > 0 else 1.0


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
