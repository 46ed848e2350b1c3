"""Gaussian-process regression on a spectrum, scalars beside it, and reference libraries with a scale of their own.

The covariance of two examples is a sum: a smooth and a linear function of the spectrum, shared by all; the same of the
scalars, for examples that have them; and for two examples of one library that library's own offset and trend (the
discrepancy of Kennedy & O'Hagan 2001, J. R. Stat. Soc. B 63, 425). What a library says thus counts as far as it agrees
with the survey. Formulas after Rasmussen & Williams (2006), Gaussian Processes for Machine Learning (RW).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

SURVEY = -1  # `Examples.library` of an example of the survey itself
JITTER = 1e-6

# Logarithm of each hyper-parameter's start and the width of its normal prior. Variances are in units of the target's
# variance, lengths in units of the examples' root-mean-square size.
PRIOR: dict[str, tuple[float, float]] = {
    "spectrum": (0.0, 3.0),
    "spectrum_length": (0.7, 3.0),
    "spectrum_linear": (-2.0, 3.0),
    "scalars": (0.0, 3.0),
    "scalars_length": (0.7, 3.0),
    "scalars_linear": (-2.0, 3.0),
    "library": (-3.0, 3.0),
    "library_length": (0.7, 3.0),
    "library_linear": (-3.0, 3.0),
    "library_offset": (-2.0, 3.0),
    "noise": (-2.5, 1.5),
    "photon_noise": (-4.0, 1.5),
    "library_noise": (-2.5, 1.5),
}
NAMES = tuple(PRIOR)
START, WIDTH = np.array(list(PRIOR.values())).T
BOUNDS = (-8.0, 6.0)


@dataclass(frozen=True)
class Examples:
    """What the covariance reads of each example.

    Parameters
    ----------
    spectrum : float64[n, q]
        Scores of the spectrum, centred, root-mean-square length about 1.
    scalars : float64[n, s]
        Standardised scalars, length about 1; anything where `has_scalars` is 0.
    has_scalars : float64[n]
        1 where the scalars count, else 0.
    library : int64[n]
        Number of the library; `SURVEY` for the survey.
    noise : float64[n]
        Variance of the spectrum's noise relative to the median spectrum's.
    """

    spectrum: np.ndarray
    scalars: np.ndarray
    has_scalars: np.ndarray
    library: np.ndarray
    noise: np.ndarray

    def take(self, rows: np.ndarray) -> Examples:
        return Examples(
            self.spectrum[rows], self.scalars[rows], self.has_scalars[rows], self.library[rows], self.noise[rows]
        )


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances float64[n, m] of the rows of two matrices."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :]
    return np.maximum(squares - 2 * a @ b.T, 0.0)


class _Products:
    """Distances and inner products of two sets of examples, made once for many hyper-parameters."""

    def __init__(self, a: Examples, b: Examples) -> None:
        self.distance, self.inner = squared_distances(a.spectrum, b.spectrum), a.spectrum @ b.spectrum.T
        both = np.outer(a.has_scalars, b.has_scalars)
        self.any_scalars = bool(both.any())
        if self.any_scalars:
            self.both = both
            self.scalar_distance = squared_distances(a.scalars, b.scalars)
            self.scalar_inner = both * (a.scalars @ b.scalars.T)
        same = (a.library[:, None] == b.library[None, :]) & (a.library != SURVEY)[:, None]
        self.any_library = bool(same.any())
        self.same = same.astype(np.float64)

    def terms(self, theta: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Terms of the covariance by name, and the derivatives by the logarithms of the lengths."""
        at = dict(zip(NAMES, np.exp(theta), strict=True))
        found: dict[str, np.ndarray] = {"spectrum_linear": at["spectrum_linear"] * self.inner}
        slopes: dict[str, np.ndarray] = {}

        def smooth(name: str, distance: np.ndarray, where: np.ndarray | float) -> None:
            # squared exponential, RW eq. 2.31
            scaled = distance / at[f"{name}_length"] ** 2
            found[name] = at[name] * where * np.exp(-0.5 * scaled)
            slopes[f"{name}_length"] = found[name] * scaled

        smooth("spectrum", self.distance, 1.0)
        if self.any_scalars:
            smooth("scalars", self.scalar_distance, self.both)
            found["scalars_linear"] = at["scalars_linear"] * self.scalar_inner
        if self.any_library:
            smooth("library", self.distance, self.same)
            found["library_linear"] = at["library_linear"] * self.same * self.inner
            found["library_offset"] = at["library_offset"] * self.same
        return found, slopes


def covariance(theta: np.ndarray, a: Examples, b: Examples) -> np.ndarray:
    """Covariance float64[n, m] of the noise-free values of two sets of examples."""
    terms, _ = _Products(a, b).terms(theta)
    return np.sum(list(terms.values()), axis=0)


def _noise_terms(theta: np.ndarray, examples: Examples, weight: np.ndarray) -> dict[str, np.ndarray]:
    """Terms of the noise's variance, float64[n] each; a weight divides it."""
    at = dict(zip(NAMES, np.exp(theta), strict=True))
    survey = examples.library == SURVEY
    return {
        "noise": np.where(survey, at["noise"], 0.0) / weight,
        "photon_noise": np.where(survey, at["photon_noise"] * examples.noise, 0.0) / weight,
        "library_noise": np.where(survey, 0.0, at["library_noise"]) / weight,
    }


def _noise(theta: np.ndarray, examples: Examples, weight: np.ndarray) -> np.ndarray:
    """Variance of each example's label about the process, float64[n]."""
    return np.sum(list(_noise_terms(theta, examples, weight).values()), axis=0) + JITTER


def _inverse(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """Inverse and half the logarithm of the determinant of a covariance."""
    factor = cholesky(matrix, lower=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(len(matrix)), check_finite=False)
    return inverse, float(np.log(np.diag(factor)).sum())


def search(examples: Examples, y: np.ndarray, weight: np.ndarray, *, iterations: int) -> np.ndarray:
    """Hyper-parameters (logarithms) of largest posterior density: marginal likelihood (RW eq. 2.30) times `PRIOR`.

    Parameters
    ----------
    y : float64[n]
        Standardised target.
    weight : float64[n]
        Positive; 1 is an ordinary example.
    """
    products = _Products(examples, examples)
    rows = np.arange(len(y))
    index = {name: position for position, name in enumerate(NAMES)}

    def cost(theta: np.ndarray) -> tuple[float, np.ndarray]:
        terms, slopes = products.terms(theta)
        noise = _noise_terms(theta, examples, weight)
        matrix = np.sum(list(terms.values()), axis=0)
        matrix[rows, rows] += np.sum(list(noise.values()), axis=0) + JITTER
        try:
            inverse, half_log_determinant = _inverse(matrix)
        except LinAlgError:
            return 1e12, np.zeros(len(theta))
        alpha = inverse @ y
        inner = inverse - np.outer(alpha, alpha)  # RW eq. 5.9
        z = (theta - START) / WIDTH
        gradient = z / WIDTH
        for name, term in (terms | slopes).items():
            gradient[index[name]] += 0.5 * float((inner * term).sum())
        for name, variance in noise.items():
            gradient[index[name]] += 0.5 * float((np.diag(inner) * variance).sum())
        return float(0.5 * y @ alpha + half_log_determinant + 0.5 * z @ z), gradient

    found = minimize(
        cost, START, jac=True, method="L-BFGS-B", bounds=[BOUNDS] * len(START), options={"maxiter": iterations}
    )
    return np.asarray(found.x)


@dataclass(frozen=True)
class Process:
    """A process that has seen its examples.

    Parameters
    ----------
    theta : float64[len(NAMES)]
        Logarithms of the hyper-parameters.
    known : Examples
    alpha : float64[n]
        Weights of the examples in a prediction (RW eq. 2.25).
    noise : float64[n]
        Variance of each example's label about the process.
    """

    theta: np.ndarray
    known: Examples
    alpha: np.ndarray
    noise: np.ndarray

    def mean(self, shown: Examples) -> np.ndarray:
        """Expected label of each, float64[m] (RW eq. 2.25)."""
        return covariance(self.theta, shown, self.known) @ self.alpha

    def variance(self, shown: Examples) -> np.ndarray:
        """Variance of an ordinary example's label there, float64[m] (RW eq. 2.26, with the label's noise)."""
        away = solve_triangular(self._factor, covariance(self.theta, self.known, shown), lower=True, check_finite=False)
        left = _own_variance(self.theta, shown) - (away**2).sum(axis=0)
        return np.maximum(left, 0.0) + _noise(self.theta, shown, np.ones(len(shown.noise)))

    @cached_property
    def _factor(self) -> np.ndarray:
        matrix = covariance(self.theta, self.known, self.known)
        matrix[np.diag_indices_from(matrix)] += self.noise
        return cholesky(matrix, lower=True, check_finite=False)


def _own_variance(theta: np.ndarray, a: Examples) -> np.ndarray:
    """Diagonal of `covariance(theta, a, a)`, float64[n]."""
    at = dict(zip(NAMES, np.exp(theta), strict=True))
    spectrum, scalars = (a.spectrum**2).sum(axis=1), (a.scalars**2).sum(axis=1)
    found = at["spectrum"] + at["spectrum_linear"] * spectrum
    found = found + a.has_scalars * (at["scalars"] + at["scalars_linear"] * scalars)
    of_library = at["library"] + at["library_offset"] + at["library_linear"] * spectrum
    return found + np.where(a.library != SURVEY, of_library, 0.0)


@dataclass(frozen=True)
class LeftOut:
    """What the others say of each example, exact at fixed hyper-parameters (RW eq. 5.12).

    Parameters
    ----------
    mean, variance : float64[n]
        Expected label, and its variance; with or without a label's noise, as the function says that gives them.
    """

    mean: np.ndarray
    variance: np.ndarray


def condition(theta: np.ndarray, examples: Examples, y: np.ndarray, weight: np.ndarray) -> tuple[Process, LeftOut]:
    """The process that has seen these examples, and what it would say of each had it not seen that one.

    The variances are those of an ordinary example's label, as of `Process.variance`.
    """
    noise = _noise(theta, examples, weight)
    matrix = covariance(theta, examples, examples)
    matrix[np.diag_indices_from(matrix)] += noise
    inverse, _ = _inverse(matrix)
    alpha, precision = inverse @ y, np.diag(inverse)
    ordinary = _noise(theta, examples, np.ones(len(y)))
    others = LeftOut(y - alpha / precision, np.maximum(1 / precision - noise, 0.0) + ordinary)
    return Process(theta, examples, alpha, noise), others
