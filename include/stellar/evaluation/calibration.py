"""Make probabilities mean what they say: temperature scaling and isotonic regression, stored as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression

from stellar.errors import InputError
from stellar.evaluation.metrics import expected_calibration_error
from stellar.kernels import kernel

_FLOOR = 1e-12


class Calibrator(Protocol):
    """Probabilities in, probabilities out."""

    def apply(self, probabilities: np.ndarray) -> np.ndarray: ...
    def to_dict(self) -> dict[str, Any]: ...


class IdentityCalibrator:
    """No change, for models that are left as they are."""

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        return np.asarray(probabilities, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "none"}


class TemperatureCalibrator:
    """One number for all classes: probabilities to the power 1/T, renormalised (Guo et al. 2017).

    Never changes which class is best, so accuracy stays as it is.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = float(temperature)

    @classmethod
    def fit(cls, probabilities: np.ndarray, y_index: np.ndarray) -> Self:
        """Temperature in [0.05, 20] with the least log loss on held-out rows."""
        p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(y_index)
        logits = np.log(np.maximum(p, _FLOOR))
        rows = np.arange(len(y))

        def loss(log_t: float) -> float:
            scaled = logits / np.exp(log_t)
            top = scaled.max(axis=1, keepdims=True)
            log_sum = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
            return float((log_sum - scaled[rows, y]).mean())

        found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded", options={"xatol": 1e-6})
        return cls(float(np.exp(found.x)))

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        scaled = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _FLOOR)) / self.temperature
        power = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return power / power.sum(axis=1, keepdims=True)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "temperature", "temperature": self.temperature}


class IsotonicCalibrator:
    """A monotone map per class, one against the rest, renormalised (Zadrozny & Elkan 2002)."""

    def __init__(self, maps: list[tuple[np.ndarray, np.ndarray]]) -> None:
        self.maps = maps

    @classmethod
    def fit(cls, probabilities: np.ndarray, y_index: np.ndarray) -> Self:
        p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(y_index)
        maps = []
        for k in range(p.shape[1]):
            # the floor keeps a class possible that the calibration rows did not show at this probability
            low = 1 / (len(y) + 2)
            curve = IsotonicRegression(y_min=low, y_max=1 - low, out_of_bounds="clip").fit(p[:, k], y == k)
            maps.append((np.asarray(curve.X_thresholds_), np.asarray(curve.y_thresholds_)))
        return cls(maps)

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        p = np.asarray(probabilities, dtype=np.float64)
        mapped = np.stack([np.interp(p[:, k], x, y) for k, (x, y) in enumerate(self.maps)], axis=1)
        return mapped / mapped.sum(axis=1, keepdims=True)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "isotonic", "maps": [{"x": x.tolist(), "y": y.tolist()} for x, y in self.maps]}


def fit_calibrator(kind: str, probabilities: np.ndarray, y_index: np.ndarray) -> Calibrator:
    """Calibrator of `kind` ("temperature", "isotonic", "none") from the calibration part.

    Parameters
    ----------
    kind : str
    probabilities : float[n, k]
        Of rows that the model did not learn from.
    y_index : int[n]
        True class as a column of `probabilities`.
    """
    if kind == "none":
        return IdentityCalibrator()
    kinds: dict[str, type[TemperatureCalibrator] | type[IsotonicCalibrator]]
    kinds = {"temperature": TemperatureCalibrator, "isotonic": IsotonicCalibrator}
    if kind not in kinds:
        raise InputError(f"calibration {kind!r} is not known; known are none, {', '.join(sorted(kinds))}")
    if not len(y_index):
        raise InputError("calibration: no rows; give the calibration part a larger fraction")
    return kinds[kind].fit(probabilities, y_index)


def calibrator_from_dict(about: Mapping[str, Any]) -> Calibrator:
    """What `to_dict` wrote."""
    if about["kind"] == "none":
        return IdentityCalibrator()
    if about["kind"] == "temperature":
        return TemperatureCalibrator(about["temperature"])
    if about["kind"] == "isotonic":
        return IsotonicCalibrator([(np.asarray(m["x"], float), np.asarray(m["y"], float)) for m in about["maps"]])
    raise InputError(f"calibration {about['kind']!r} is not known")


def ece_of_calibrated(
    probabilities: np.ndarray, *, predicted: np.ndarray | None = None, draws: int = 200, seed: int = 0
) -> tuple[float, float, float]:
    """Calibration error that these probabilities would show if they were exactly right: its sampling noise.

    Truths are drawn from the probabilities themselves (consistency resampling, Broecker & Smith 2007).

    Returns
    -------
    mean, lower, upper : float
        Of the draws; the bounds hold 95% of them.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    rng = np.random.default_rng(seed)
    edges = np.cumsum(p, axis=1) / p.sum(axis=1, keepdims=True)
    last = p.shape[1] - 1
    found = [
        expected_calibration_error(
            np.minimum((rng.random(len(p))[:, None] > edges).sum(axis=1), last), p, predicted=predicted
        )
        for _ in range(draws)
    ]
    return float(np.mean(found)), *(float(edge) for edge in np.quantile(found, [0.025, 0.975]))


class QuantileCalibrator:
    """Sets the levels of predicted quantiles right (Kuleshov et al. 2018, arXiv:1807.00263).

    Of the calibration rows a share `empirical[k]` lies at or below the quantile that was given out as that of
    `nominal[k]`; the quantile of a level is then taken where that share reaches it.
    """

    def __init__(self, nominal: np.ndarray, empirical: np.ndarray, n: int) -> None:
        self.nominal, self.empirical, self.n = np.asarray(nominal), np.asarray(empirical), int(n)

    @classmethod
    def fit(cls, levels: np.ndarray, values: np.ndarray, y_true: np.ndarray) -> Self:
        """From predictions for rows that the model did not learn from.

        Parameters
        ----------
        levels : float64[q]
        values : float64[n, q]
        y_true : float64[n]
        """
        shares = (np.asarray(y_true)[:, None] <= values).mean(axis=0)
        return cls(np.asarray(levels, dtype=np.float64), np.maximum.accumulate(shares), len(values))

    def apply(self, levels: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Quantiles at the same levels, float64[n, q]: between two of those given, or the outermost of them."""
        low, share = self.places(levels)
        found = np.empty(values.shape)
        _between(np.ascontiguousarray(values), low, share, found)
        return found

    def places(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each level, between which quantile and the next one the right one lies, int64[q], and how far, [0, 1]."""
        reached = np.concatenate([[0.0], self.empirical, [1.0]])
        # equal shares say nothing about the way between them: a hair makes the curve invertible
        reached = np.maximum.accumulate(reached + 1e-12 * np.arange(len(reached)))
        place = np.interp(levels, reached, np.concatenate([[0.0], self.nominal, [1.0]]))
        position = np.interp(place, levels, np.arange(len(levels)))
        low = np.minimum(position.astype(np.int64), len(levels) - 2)
        return low, position - low

    def to_dict(self) -> dict[str, Any]:
        return {"nominal": self.nominal.tolist(), "empirical": self.empirical.tolist(), "n": self.n}

    @classmethod
    def from_dict(cls, about: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(np.array(about["nominal"]), np.array(about["empirical"]), about["n"])


@kernel
def _between(values: np.ndarray, low: np.ndarray, share: np.ndarray, found: np.ndarray) -> None:
    """Each row's values between its entry `low` and the next one; written into `found`."""
    for row in range(len(values)):
        for k in range(len(low)):
            found[row, k] = values[row, low[k]] * (1 - share[k]) + values[row, low[k] + 1] * share[k]
