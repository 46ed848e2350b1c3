"""Fourier series fitted to a light curve at one period, by least squares on the points."""

from __future__ import annotations

import numpy as np

from stellar.features.kernels import waves
from stellar.kernels import kernel

RIDGE = 1e-6  # a gap in phase makes harmonics trade against each other; this keeps them finite


@kernel
def _invert(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive matrix by Cholesky's factors; rows without a pivot come out 0."""
    n = len(matrix)
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                lower[i, i] = np.sqrt(total) if total > 1e-14 * matrix[i, i] else np.inf
            else:
                lower[i, j] = total / lower[j, j]
    back = np.zeros((n, n))
    for j in range(n):
        back[j, j] = 1 / lower[j, j]
        for i in range(j + 1, n):
            total = 0.0
            for k in range(j, i):
                total -= lower[i, k] * back[k, j]
            back[i, j] = total / lower[i, i]
    inverse = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, n):
                total += back[k, i] * back[k, j]
            inverse[i, j] = inverse[j, i] = total
    return inverse


@kernel
def fit_series(
    time: np.ndarray, value: np.ndarray, weight: np.ndarray, frequency: float, harmonics: int, model: np.ndarray
) -> tuple:
    """Weighted least-squares Fourier series; the series itself goes to `model`.

    Parameters
    ----------
    time, value, weight : float64[n]
        Phases count from the first time.
    frequency : float
    harmonics : int
    model : float64[n]
        Written.

    Returns
    -------
    coefficients : float64[2 harmonics + 1]
        Constant, cosines, sines.
    covariance : float64[2 harmonics + 1, 2 harmonics + 1]
        Scaled by the residuals.
    explained : float
        Share of the weighted variance that the series takes away.
    """
    n, size = len(time), 2 * harmonics + 1
    cycles, cosine, sine = np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        cycles[i] = frequency * (time[i] - time[0])
    waves(cycles, cosine, sine)
    # products of two harmonics are single waves of their sum and difference: sums up to 2 * harmonics are enough
    c, s = np.zeros(2 * harmonics + 1), np.zeros(2 * harmonics + 1)
    yc, ys = np.zeros(harmonics + 1), np.zeros(harmonics + 1)
    x, y = np.ones(n), np.zeros(n)
    total_weight = mean = 0.0
    for i in range(n):
        total_weight += weight[i]
        mean += weight[i] * value[i]
    mean /= total_weight
    for order in range(2 * harmonics + 1):
        if order:
            for i in range(n):
                turned = x[i] * cosine[i] - y[i] * sine[i]
                y[i] = x[i] * sine[i] + y[i] * cosine[i]
                x[i] = turned
        a = b = 0.0
        for i in range(n):
            a += weight[i] * x[i]
            b += weight[i] * y[i]
        c[order], s[order] = a, b
        if order <= harmonics:
            a = b = 0.0
            for i in range(n):
                w = weight[i] * (value[i] - mean)
                a += w * x[i]
                b += w * y[i]
            yc[order], ys[order] = a, b
    normal, right = np.empty((size, size)), np.empty(size)
    for j in range(harmonics + 1):
        right[j] = yc[j]
        if j:
            right[harmonics + j] = ys[j]
        for k in range(j + 1):
            normal[j, k] = normal[k, j] = 0.5 * (c[j - k] + c[j + k])
            if k:
                normal[harmonics + j, harmonics + k] = 0.5 * (c[j - k] - c[j + k])
                normal[harmonics + k, harmonics + j] = normal[harmonics + j, harmonics + k]
        for k in range(1, harmonics + 1):  # cosine of j with sine of k
            difference = s[k - j] if k >= j else -s[j - k]
            normal[j, harmonics + k] = normal[harmonics + k, j] = 0.5 * (s[j + k] + difference)
    for j in range(size):
        normal[j, j] *= 1 + RIDGE
    covariance = _invert(normal)
    coefficients = np.zeros(size)
    for j in range(size):
        for k in range(size):
            coefficients[j] += covariance[j, k] * right[k]
    coefficients[0] += mean
    for i in range(n):
        model[i], x[i], y[i] = coefficients[0], 1.0, 0.0
    for order in range(1, harmonics + 1):
        a, b = coefficients[order], coefficients[harmonics + order]
        for i in range(n):
            turned = x[i] * cosine[i] - y[i] * sine[i]
            y[i] = x[i] * sine[i] + y[i] * cosine[i]
            x[i] = turned
            model[i] += a * x[i] + b * y[i]
    total = left = 0.0
    for i in range(n):
        total += weight[i] * (value[i] - mean) ** 2
        left += weight[i] * (value[i] - model[i]) ** 2
    scale = max(left / max(n - size, 1), 1e-300)
    for j in range(size):
        for k in range(size):
            covariance[j, k] *= scale
    return coefficients, covariance, (1 - left / total if total > 0 else 0.0)


@kernel
def rise_fraction(amplitude: np.ndarray, phase: np.ndarray) -> float:
    """Part of the cycle from minimum to maximum of a series of cosines, to 1/200."""
    steps = 200
    cycles, cosine, sine = np.empty(steps), np.empty(steps), np.empty(steps)
    course = np.zeros(steps)
    for order in range(len(amplitude)):
        for i in range(steps):
            cycles[i] = (order + 1) * i / steps + phase[order] / (2 * np.pi)
        waves(cycles, cosine, sine)
        for i in range(steps):
            course[i] += amplitude[order] * cosine[i]
    return ((course.argmax() - course.argmin()) % steps) / steps
