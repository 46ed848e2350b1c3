"""Catalogue temperatures of hot stars on the scale of reference temperatures.

Temperatures that a catalogue derives from broad photometry run off for hot stars: the colours saturate there, and
temperature and extinction stand for one another (of Gaia's GSP-Phot: Andrae et al. 2023, A&A 674, A27, sections 3.5
and 4). The remedy that is usual for such tables is an empirical calibration against spectroscopic or interferometric
temperatures, a low polynomial of the reference in the catalogue's own value, which takes hold above a threshold alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from stellar.errors import InputError

TUNING = 1.345  # Huber's constant in units of the scatter: 95% efficient for normal errors (Holland & Welsch 1977)
MAD_TO_SIGMA = 1.4826  # of a normal distribution
ROUNDS = 50  # of reweighting; it settles in about ten
FEWEST_PER_TERM = 5  # stars that each coefficient should rest on


@dataclass(frozen=True)
class Residuals:
    """Of reference minus catalogue temperature, K: mean, median, scatter (1.4826 MAD) and root mean square."""

    mean: float
    median: float
    scatter: float
    rms: float

    @classmethod
    def of(cls, difference: np.ndarray) -> Residuals:
        """Statistics of float[n] differences, K."""
        middle = float(np.median(difference))
        scatter = float(MAD_TO_SIGMA * np.median(np.abs(difference - middle)))
        return cls(float(difference.mean()), middle, scatter, float(np.sqrt((difference**2).mean())))


@dataclass(frozen=True)
class TemperatureCorrection:
    """T + w(T) (p(T) - T): a polynomial p above a threshold, with a smooth step w from 0 to 1 around it.

    Attributes
    ----------
    threshold, blend : float
        K. w rises from 0 at threshold - blend / 2 to 1 at threshold + blend / 2.
    coefficients : tuple of float
        Of p, in K, by ascending powers of (T - centre) / scale.
    centre, scale : float
        K.
    lowest, highest : float
        Range of T that p was fitted on, K. Beyond `highest` the shift p(T) - T of `highest` is kept: a polynomial says
        nothing there; below `lowest` likewise.
    stars : int
        How many p was fitted on.
    before, after : Residuals
        Of these stars, without and with the correction.
    """

    threshold: float
    blend: float
    coefficients: tuple[float, ...]
    centre: float
    scale: float
    lowest: float
    highest: float
    stars: int
    before: Residuals
    after: Residuals

    @classmethod
    def fit(
        cls, catalogue: np.ndarray, reference: np.ndarray, *, threshold: float, degree: int = 2, blend: float = 500.0
    ) -> Self:
        """Least squares with Huber's weights (Huber 1964), by reweighting, so that single wrong stars do not decide.

        Parameters
        ----------
        catalogue, reference : float[n]
            Temperatures, K, NaN where not known; the fit is of the rows that have both above `threshold`.
        threshold, blend : float
            K.
        degree : int
            Of the polynomial.

        Raises
        ------
        InputError
            When fewer stars than five a coefficient have both.
        """
        with np.errstate(invalid="ignore"):
            hot = (catalogue > threshold) & (reference > threshold)
        t, wanted = catalogue[hot].astype(np.float64), reference[hot].astype(np.float64)
        needed = FEWEST_PER_TERM * (degree + 1)
        if len(t) < needed or np.ptp(t) == 0:
            raise InputError(
                f"{len(t)} stars have a catalogue and a reference temperature above {threshold:g} K, and a polynomial "
                f"of degree {degree} needs {needed}; lower `threshold` or `degree`, or take the correction out"
            )
        centre, scale = float(t.mean()), float(t.std())
        powers = np.vander((t - centre) / scale, degree + 1, increasing=True)
        found = _huber(powers, wanted)
        before = Residuals.of(wanted - t)
        ends = float(t.min()), float(t.max())
        made = cls(float(threshold), float(blend), tuple(found.tolist()), centre, scale, *ends, len(t), before, before)
        return replace(made, after=Residuals.of(wanted - made.apply(t)))

    def weight(self, temperature: np.ndarray) -> np.ndarray:
        """w(T), float64[n]: 3u^2 - 2u^3 (Hermite's cubic step) of u, which rises from 0 to 1 over the blend width."""
        if not self.blend:
            return (temperature > self.threshold).astype(np.float64)
        u = np.clip((temperature - self.threshold) / self.blend + 0.5, 0, 1)
        return u * u * (3 - 2 * u)

    def apply(self, temperature: np.ndarray) -> np.ndarray:
        """Corrected temperatures, float64[n], K; NaN stays NaN."""
        t = np.asarray(temperature, dtype=np.float64)
        held = np.clip(t, self.lowest, self.highest)
        shift = np.polynomial.polynomial.polyval((held - self.centre) / self.scale, self.coefficients) - held
        return t + self.weight(t) * shift

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "coefficients": list(self.coefficients)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        residuals = {name: Residuals(**stored[name]) for name in ("before", "after")}
        return cls(**{**stored, **residuals, "coefficients": tuple(stored["coefficients"])})


def _huber(powers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Coefficients, float64[k], of the robust least-squares fit of `wanted` [n] by the columns of `powers` [n, k]."""
    weight = np.ones(len(wanted))
    found = np.zeros(powers.shape[1])
    for _ in range(ROUNDS):
        root = np.sqrt(weight)
        last, found = found, np.linalg.lstsq(powers * root[:, None], wanted * root, rcond=None)[0]
        residual = np.abs(wanted - powers @ found)
        sigma = MAD_TO_SIGMA * np.median(residual)
        if not sigma or np.allclose(found, last, rtol=1e-10, atol=1e-8):
            break
        weight = np.minimum(1.0, TUNING * sigma / np.maximum(residual, 1e-12))
    return found
