"""Bootstrap intervals of any metric, and paired comparison of two models on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stellar.errors import InputError

# Takes row indices (with repeats) and gives the metric on them.
Metric = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Interval:
    """A figure with its percentile bootstrap interval."""

    value: float
    lower: float
    upper: float
    level: float
    resamples: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Paired:
    """Candidate minus current, with its interval.

    `worse` is the share of resamples in which the candidate was worse: near 0 it is surely better, near 1 surely
    worse.
    """

    candidate: float
    current: float
    difference: float
    lower: float
    upper: float
    level: float
    worse: float
    resamples: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _draws(n: int, resamples: int, seed: int, groups: np.ndarray | None) -> Iterator[np.ndarray]:
    """Row indices of each resample; whole groups (stars) are drawn where rows are not independent."""
    if not n:
        raise InputError("bootstrap: no rows")
    rng = np.random.default_rng(seed)
    if groups is None:
        for _ in range(resamples):
            yield rng.integers(0, n, n)
        return
    _, inverse, count = np.unique(groups, return_inverse=True, return_counts=True)
    members, first = np.argsort(inverse, kind="stable"), np.cumsum(count) - count
    for _ in range(resamples):
        drawn = rng.integers(0, len(count), len(count))
        size = count[drawn]
        # place of each row within its group, after the first row of the group
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        yield members[np.repeat(first[drawn], size) + within]


def bootstrap(
    metric: Metric,
    n: int,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Interval:
    """Percentile interval of a metric (Efron & Tibshirani 1993, ch. 13).

    Parameters
    ----------
    metric : callable
        `metric(rows: int[m]) -> float`; NaN for a resample without meaning, which is then left out.
    n : int
        Number of rows.
    level : float
        Probability that the interval is to hold.
    resamples, seed : int
    groups : [n], optional
        Draw whole groups instead of rows.
    """
    value = float(metric(np.arange(n)))
    values = np.array([metric(rows) for rows in _draws(n, resamples, seed, groups)], dtype=np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        raise InputError("bootstrap: the metric is undefined on every resample")
    lower, upper = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(lower), float(upper), level, len(values))


def paired_bootstrap(
    candidate: Metric,
    current: Metric,
    n: int,
    *,
    higher_is_better: bool,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Paired:
    """Compare two models on the same resamples of the same rows."""
    everything = np.arange(n)
    a, b = float(candidate(everything)), float(current(everything))
    draws = _draws(n, resamples, seed, groups)
    difference = np.array([candidate(rows) - current(rows) for rows in draws], dtype=np.float64)
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        raise InputError("bootstrap: the metric is undefined on every resample")
    lower, upper = np.quantile(difference, [(1 - level) / 2, (1 + level) / 2])
    worse = (difference < 0 if higher_is_better else difference > 0).mean()
    return Paired(a, b, a - b, float(lower), float(upper), level, float(worse), len(difference))
