"""What a light curve says without a period: its scatter on several timescales, and its asymmetry."""

from __future__ import annotations

import numpy as np

from stellar.kernels import kernel

LEAST_PAIRS = 6


@kernel
def point_to_point(value: np.ndarray) -> float:
    """Scatter from point to point: the median step, as a standard deviation of points."""
    return 1.4826 * np.median(np.abs(np.diff(value))) / np.sqrt(2.0)


@kernel
def middle(value: np.ndarray) -> float:
    """Median of what is finite, NaN where nothing is."""
    finite = value[np.isfinite(value)]
    return np.median(finite) if len(finite) else np.nan


@kernel
def usual_step(time: np.ndarray) -> float:
    """Median time between points."""
    return np.median(np.diff(time))


@kernel
def moments(value: np.ndarray) -> tuple[float, float]:
    """Mean, and variance about it over n."""
    mean = total = 0.0
    for i in range(len(value)):
        mean += value[i]
    mean /= len(value)
    for i in range(len(value)):
        total += (value[i] - mean) ** 2
    return mean, total / len(value)


@kernel
def variance(value: np.ndarray) -> float:
    """About the mean, over n."""
    return moments(value)[1]


@kernel
def structure(time: np.ndarray, value: np.ndarray, edges: np.ndarray, found: np.ndarray) -> None:
    """log10 of the mean squared difference of points within bins of lag, over twice the variance; NaN of few pairs.

    First-order structure function (Simonetti, Cordes & Heeschen 1985): 0 on timescales where the points know nothing
    of each other. Each point is compared with its next 4 and then with ones ever farther apart in number, so that
    dense curves cost no more.
    """
    n, bins = len(time), len(edges) - 1
    count, square = np.zeros(bins), np.zeros(bins)
    _, variance = moments(value)
    ahead = 1
    while ahead < n:
        near = False
        for i in range(n - ahead):
            lag = time[i + ahead] - time[i]
            cell = 0
            while cell < bins and lag > edges[cell + 1]:
                cell += 1
            if cell < bins:
                near = True
                if lag > edges[0]:
                    count[cell] += 1
                    square[cell] += (value[i + ahead] - value[i]) ** 2
        if not near:
            break
        ahead += max(ahead // 2, 1)
    for cell in range(bins):
        found[cell] = np.nan
        if count[cell] >= LEAST_PAIRS and variance > 0:
            found[cell] = np.log10(max(square[cell] / count[cell] / (2 * variance), 1e-6))


@kernel
def slow_scatter(time: np.ndarray, value: np.ndarray, length: float, least: int) -> float:
    """Standard deviation of the means of stretches of `length` days with `least` points, over that of the points."""
    n = len(time)
    stretches = int((time[n - 1] - time[0]) / length) + 1
    count, total = np.zeros(stretches), np.zeros(stretches)
    mean, variance = moments(value)
    for i in range(n):
        cell = int((time[i] - time[0]) / length)
        count[cell] += 1
        total[cell] += value[i] - mean
    used, middle, spread = 0, 0.0, 0.0
    for cell in range(stretches):
        if count[cell] >= least:
            total[cell] /= count[cell]
            middle += total[cell]
            used += 1
    if used < 2 or not variance > 0:
        return np.nan
    middle /= used
    for cell in range(stretches):
        if count[cell] >= least:
            spread += (total[cell] - middle) ** 2
    return np.sqrt(spread / used / variance)


@kernel
def quantiles(ordered: np.ndarray, shares: np.ndarray, found: np.ndarray) -> None:
    """Quantiles of sorted values, with straight lines between them."""
    n = len(ordered)
    for i in range(len(shares)):
        at = shares[i] * (n - 1)
        low = int(at)
        found[i] = ordered[low] + (at - low) * (ordered[min(low + 1, n - 1)] - ordered[low])


@kernel
def asymmetry(low: float, middle: float, high: float) -> float:
    """Share of the range between two quantiles that lies below the median: 1/2 of a symmetric curve."""
    return (middle - low) / (high - low) if high > low else np.nan
