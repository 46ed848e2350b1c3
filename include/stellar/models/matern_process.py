"""A Gaussian process on a few scaled inputs: Matérn 3/2 with a length of its own for each, beside a linear trend.

Examples that lie far off count for less, as under Student's t (the weights of Lange, Little & Taylor 1989, J. Am. Stat.
Assoc. 84, 881, eq. 5): survey labels have failures among them that no input tells of. Formulas after Rasmussen &
Williams (2006), Gaussian Processes for Machine Learning (RW).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from stellar.models.gaussian_process import LeftOut, squared_distances

JITTER = 1e-6
BOUNDS = (-8.0, 6.0)
# Logarithms of the hyper-parameters' starts and the widths of their normal priors, in units of the target's variance
# and of the inputs' standard deviations: smooth term, a length each, linear term, noise.
SMOOTH, LENGTH, LINEAR, NOISE = (0.0, 2.0), (1.0, 1.5), (-1.0, 2.0), (-2.0, 1.5)
REWEIGHTINGS = 2


@dataclass(frozen=True)
class Process:
    """A process conditioned on its examples.

    Parameters
    ----------
    theta : float64[d + 3]
        Logarithms of the smooth term's variance, its d lengths, the linear term's variance and the noise's.
    inputs : float64[n, d]
        Scaled inputs of the examples.
    alpha : float64[n]
        Weights of the examples in a prediction (RW eq. 2.25).
    trust : float64[n]
        What divides an example's noise variance.
    """

    theta: np.ndarray
    inputs: np.ndarray
    alpha: np.ndarray
    trust: np.ndarray

    @cached_property
    def factor(self) -> np.ndarray:
        """Lower Cholesky factor of the examples' covariance with their noise."""
        return np.asarray(cholesky(_matrix(self.theta, self.inputs, self.trust), lower=True, check_finite=False))

    def predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance without noise of each row, float64[m] (RW eq. 2.25, 2.26)."""
        across = covariance(self.theta, inputs, self.inputs)
        itself = np.exp(self.theta[0]) + np.exp(self.theta[-2]) * (inputs**2).mean(axis=1)
        solved = solve_triangular(self.factor, across.T, lower=True, check_finite=False)
        return across @ self.alpha, np.maximum(itself - (solved**2).sum(axis=0), JITTER)


def _terms(theta: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth and linear term of the covariance, and the smooth one's slope by the squared scaled distance, times -2."""
    d = a.shape[1]
    lengths = np.exp(theta[1 : d + 1])
    scaled = np.sqrt(3 * squared_distances(a / lengths, b / lengths))  # Matérn, nu = 3/2: RW eq. 4.17
    decay = np.exp(theta[0] - scaled)
    return (1 + scaled) * decay, np.exp(theta[d + 1]) * (a @ b.T) / d, 3 * decay


def covariance(theta: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Covariance float64[n, m] of the noise-free values at two sets of inputs."""
    smooth, linear, _ = _terms(theta, a, b)
    return smooth + linear


def _matrix(theta: np.ndarray, inputs: np.ndarray, trust: np.ndarray) -> np.ndarray:
    matrix = covariance(theta, inputs, inputs)
    rows = np.arange(len(inputs))
    matrix[rows, rows] += np.exp(theta[-1]) / trust + JITTER
    return matrix


def _inverse(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """Inverse and half the logarithm of the determinant of a covariance, which is overwritten.

    LAPACK's inverse from the factor takes a third of the work of solving for the unit matrix.
    """
    factor = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    half_log_determinant = float(np.log(np.diag(factor)).sum())
    inverse, info = dpotri(factor, lower=True, overwrite_c=True)
    if info:
        raise LinAlgError(f"dpotri ended with {info}")
    return inverse + np.tril(inverse, -1).T, half_log_determinant


def search(inputs: np.ndarray, y: np.ndarray, trust: np.ndarray, *, iterations: int) -> np.ndarray:
    """Hyper-parameters of largest posterior density: marginal likelihood (RW eq. 2.30) times their priors.

    Parameters
    ----------
    inputs : float64[n, d]
        About unit standard deviation.
    y : float64[n]
        Standardised target.
    trust : float64[n]
        Positive; 1 is an ordinary example.
    """
    n, d = inputs.shape
    start, width = np.array([SMOOTH, *[LENGTH] * d, LINEAR, NOISE]).T
    rows = np.arange(n)

    def cost(theta: np.ndarray) -> tuple[float, np.ndarray]:
        smooth, linear, slope = _terms(theta, inputs, inputs)
        noise = np.exp(theta[-1]) / trust
        matrix = smooth + linear
        matrix[rows, rows] += noise + JITTER
        try:
            inverse, half_log_determinant = _inverse(matrix)
        except LinAlgError:
            return 1e12, np.zeros(len(theta))
        alpha = inverse @ y
        inner = inverse - np.outer(alpha, alpha)  # RW eq. 5.9
        z = (theta - start) / width
        gradient = z / width
        gradient[0] += 0.5 * (inner * smooth).sum()
        # the sum over pairs of inner * slope * (x_i - x_j)^2, without making the differences
        weighted, scaled = inner * slope, inputs / np.exp(theta[1 : d + 1])
        gradient[1 : d + 1] += (weighted.sum(axis=1)[:, None] * scaled**2 - scaled * (weighted @ scaled)).sum(axis=0)
        gradient[d + 1] += 0.5 * (inner * linear).sum()
        gradient[d + 2] += 0.5 * (np.diag(inner) * noise).sum()
        return float(0.5 * y @ alpha + half_log_determinant + 0.5 * z @ z), gradient

    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=[BOUNDS] * len(start),
                     options={"maxiter": iterations})  # fmt: skip
    return np.asarray(found.x)


def learn(theta: np.ndarray, inputs: np.ndarray, y: np.ndarray, weight: np.ndarray,
          freedom: float | None) -> tuple[Process, LeftOut]:  # fmt: skip
    """Condition on the examples; the variances of those left out are without noise.

    Parameters
    ----------
    weight : float64[n]
        Positive; divides an example's noise variance.
    freedom : float or None
        Degrees of freedom of Student's t, by which an example that the others miss widely counts for less; None to
        trust all alike.
    """
    process, left_out = _condition(theta, inputs, y, weight)
    for _ in range(REWEIGHTINGS if freedom else 0):
        size = np.abs(y - left_out.mean) * np.sqrt(weight)
        scale = max(1.4826 * float(np.median(size)), 1e-9)
        trust = weight * (freedom + 1) / (freedom + (size / scale) ** 2)  # type: ignore[operator]
        process, left_out = _condition(theta, inputs, y, trust)
    return process, left_out


def _condition(theta: np.ndarray, inputs: np.ndarray, y: np.ndarray, trust: np.ndarray) -> tuple[Process, LeftOut]:
    inverse, _ = _inverse(_matrix(theta, inputs, trust))
    alpha, precision = inverse @ y, np.diag(inverse)
    variance = np.maximum(1 / precision - np.exp(theta[-1]) / trust, JITTER)
    return Process(theta, inputs, alpha, trust), LeftOut(y - alpha / precision, variance)  # RW eq. 5.12
