"""How far predictions miss, as a function of signs that tell a doubtful one, learnt from predictions of left-out rows.

The width follows the signs log-linearly, with a pull towards one width for all; the shape is that of the standardised
residuals themselves, so a normal law is not assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy.optimize import minimize

PULL = 0.25  # standard deviation of the prior of a slope: a sign one deviation off changes the width by about so much
FOLDS = 10
CLIP = 2.5  # signs are believed this many standard deviations from their mean


@dataclass(frozen=True)
class ResidualSpread:
    """Width of the residuals and the sizes of the standardised ones.

    Parameters
    ----------
    centre, scale : float64[k]
        Mean and standard deviation of the signs.
    coefficients : float64[k + 1]
        Logarithm of the width at the mean signs, then slopes.
    sizes : float64[n]
        Absolute standardised residuals, increasing, each by a width that was learnt from the others.
    """

    centre: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    sizes: np.ndarray

    NAMES: ClassVar[tuple[str, ...]] = ("centre", "scale", "coefficients", "sizes")

    @classmethod
    def fit(cls, residual: np.ndarray, signs: np.ndarray, weight: np.ndarray) -> Self:
        """Largest posterior density of a Laplace law whose width depends on the signs.

        Parameters
        ----------
        residual : float64[n]
        signs : float64[n, k]
        weight : float64[n]
            Of each row.
        """
        centre, scale = signs.mean(axis=0), signs.std(axis=0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        design, share, size = _design(signs, centre, scale), weight / weight.mean(), np.abs(residual) + 1e-6
        # widths that saw a residual are a little too kind to it
        width, fold = np.empty(len(size)), np.arange(len(size)) % FOLDS
        for number in range(FOLDS):
            held = fold == number
            width[held] = np.exp(design[held] @ _coefficients(design[~held], share[~held], size[~held]))
        return cls(centre, scale, _coefficients(design, share, size), np.sort(size / width))

    def width(self, signs: np.ndarray) -> np.ndarray:
        """Width of each row, float64[n]."""
        return np.exp(_design(signs, self.centre, self.scale) @ self.coefficients)

    def quantiles(self, levels: np.ndarray) -> np.ndarray:
        """Quantiles of the standardised residual, float64[q], symmetric around 0.

        A central interval takes the order statistic of split-conformal prediction (Lei et al. 2018, J. Am. Stat. Assoc.
        113, 1094, eq. 2.2): number (n + 1)(1 - alpha) of n, between two of them in proportion.
        """
        inside = np.abs(1 - 2 * levels)
        position = np.clip((len(self.sizes) + 1) * inside - 1, -1, len(self.sizes) - 1)
        size = np.interp(position, np.arange(-1, len(self.sizes)), np.concatenate([[0.0], self.sizes]))
        return np.sign(levels - 0.5) * size

    def arrays(self) -> Mapping[str, np.ndarray]:
        return {name: getattr(self, name) for name in self.NAMES}


def _coefficients(design: np.ndarray, share: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Logarithm of the width at the mean signs, then slopes, of largest posterior density."""
    start = np.zeros(design.shape[1])
    start[0] = np.log(np.mean(size))

    def cost(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        log_width = np.clip(design @ coefficients, -20, 20)
        ratio = size * np.exp(-log_width)
        slopes = np.concatenate([[0.0], coefficients[1:]])
        value = float((share * (log_width + ratio)).sum() + 0.5 * (slopes @ slopes) / PULL**2)
        return value, design.T @ (share * (1 - ratio)) + slopes / PULL**2

    return np.asarray(minimize(cost, start, jac=True, method="L-BFGS-B").x)


def _design(signs: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    z = np.clip((signs - centre) / scale, -CLIP, CLIP)
    return np.column_stack([np.ones(len(z)), z])
