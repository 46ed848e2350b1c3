"""Prediction sets and intervals that hold the truth as often as promised, stored as JSON.

Split conformal prediction: exchangeable calibration and test rows give coverage of at least 1 - alpha on average,
whatever the model. It says nothing about single slices; those are measured (`evaluation.slices`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from stellar.errors import InputError


def conformal_quantile(scores: np.ndarray, alpha: float) -> float:
    """The ceil((n + 1)(1 - alpha))-th smallest score; infinite where n is too small to promise that much."""
    if not 0 < alpha < 1:
        raise InputError(f"conformal alpha {alpha} is not between 0 and 1")
    rank = math.ceil((len(scores) + 1) * (1 - alpha))
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else math.inf


def _score_table(p: np.ndarray, method: str) -> np.ndarray:
    """Non-conformity of each class of each row, float[n, k]: small means it belongs."""
    if method == "lac":  # least ambiguous sets (Sadinle et al. 2019)
        return 1 - p
    # adaptive sets (Romano et al. 2020), not randomised, so that a score never changes by itself: probability of all
    # likelier classes. Without the class's own, a sure and right answer scores 0 and gets a set of one; with it, every
    # sure answer would score nearly 1, and the threshold would let all classes in.
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    scores = np.empty_like(p)
    np.put_along_axis(scores, order, np.cumsum(ranked, axis=1) - ranked, axis=1)
    return scores


class ConformalSets:
    """Sets of classes. `method` is "lac" (smallest on average) or "aps" (adapts to how hard a row is)."""

    METHODS = ("lac", "aps")

    def __init__(self, method: str, alpha: float, threshold: float, n: int) -> None:
        if method not in self.METHODS:
            raise InputError(f"conformal method {method!r} is not known; known are {', '.join(self.METHODS)}")
        self.method, self.alpha, self.threshold, self.n = method, float(alpha), float(threshold), int(n)

    @classmethod
    def fit(cls, probabilities: np.ndarray, y_index: np.ndarray, *, alpha: float = 0.1, method: str = "aps") -> Self:
        """Threshold from rows that neither training nor calibration of the probabilities saw too closely."""
        if method not in cls.METHODS:
            raise InputError(f"conformal method {method!r} is not known; known are {', '.join(cls.METHODS)}")
        p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(y_index)
        return cls(method, alpha, conformal_quantile(_score_table(p, method)[np.arange(len(y)), y], alpha), len(y))

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """Bool[n, k]: which classes are in each row's set. The best class always is."""
        p = np.asarray(probabilities, dtype=np.float64)
        inside = _score_table(p, self.method) <= self.threshold + 1e-12
        inside[np.arange(len(p)), p.argmax(axis=1)] = True
        return inside

    def to_dict(self) -> dict[str, Any]:
        threshold = self.threshold if math.isfinite(self.threshold) else None
        return {"kind": "sets", "method": self.method, "alpha": self.alpha, "threshold": threshold, "n": self.n}


class ConformalIntervals:
    """Conformalised quantile regression (Romano et al. 2019): one margin that widens or narrows both ends.

    With `scaled`, the margin is in units of each row's own interval width, so that sharp rows stay sharp.
    """

    def __init__(self, alpha: float, margin: float, scaled: bool, n: int) -> None:
        self.alpha, self.margin, self.scaled, self.n = float(alpha), float(margin), bool(scaled), int(n)

    @staticmethod
    def _unit(lower: np.ndarray, upper: np.ndarray, scaled: bool) -> np.ndarray | float:
        if not scaled:
            return 1.0
        width = upper - lower
        return np.maximum(width, 1e-9 * max(float(np.abs(upper).max(initial=0)), 1e-30))

    @classmethod
    def fit(
        cls, lower: np.ndarray, upper: np.ndarray, y_true: np.ndarray, *, alpha: float = 0.1, scaled: bool = True
    ) -> Self:
        low, high, y = (np.asarray(values, dtype=np.float64) for values in (lower, upper, y_true))
        scores = np.maximum(low - y, y - high) / cls._unit(low, high, scaled)
        return cls(alpha, conformal_quantile(scores, alpha), scaled, len(y))

    def apply(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interval ends after the margin; an interval turned inside out by a negative margin shrinks to its middle."""
        low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        margin = self.margin * self._unit(low, high, self.scaled)
        new_low, new_high = low - margin, high + margin
        crossed = new_low > new_high
        middle = (low + high) / 2
        return np.where(crossed, middle, new_low), np.where(crossed, middle, new_high)

    def to_dict(self) -> dict[str, Any]:
        margin = self.margin if math.isfinite(self.margin) else None
        return {"kind": "intervals", "alpha": self.alpha, "margin": margin, "scaled": self.scaled, "n": self.n}


def conformal_from_dict(about: Mapping[str, Any]) -> ConformalSets | ConformalIntervals:
    """What `to_dict` wrote."""
    if about["kind"] == "sets":
        threshold = math.inf if about["threshold"] is None else about["threshold"]
        return ConformalSets(about["method"], about["alpha"], threshold, about["n"])
    if about["kind"] == "intervals":
        margin = math.inf if about["margin"] is None else about["margin"]
        return ConformalIntervals(about["alpha"], margin, about["scaled"], about["n"])
    raise InputError(f"conformal kind {about['kind']!r} is not known")


def set_metrics(inside: np.ndarray, y_index: np.ndarray, alpha: float, classes: Sequence[str] = ()) -> dict[str, Any]:
    """Of prediction sets: `coverage`, `nominal`, `mean_size`, `singletons` (share of sets with one class).

    With the names of the `classes`, `per_class` has coverage and mean size of the rows that truly are of each.
    """
    y, size = np.asarray(y_index), inside.sum(axis=1)
    hit = inside[np.arange(len(y)), y]
    return {
        "n": len(y),
        "nominal": 1 - alpha,
        "coverage": float(hit.mean()),
        "mean_size": float(size.mean()),
        "singletons": float((size == 1).mean()),
        "per_class": {
            str(name): {"coverage": float(hit[y == k].mean()), "mean_size": float(size[y == k].mean())}
            for k, name in enumerate(classes)
            if (y == k).any()
        },
    }
