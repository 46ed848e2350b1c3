"""Predictive distributions put together."""

from __future__ import annotations

import numpy as np

from stellar.kernels import kernel
from stellar.models.base import Quantiles


def pool(levels: np.ndarray, values: np.ndarray, weights: np.ndarray | None = None) -> Quantiles:
    """Mixture of m distributions of each of n rows (a linear opinion pool, Stone 1961).

    Each distribution is taken as points at its quantiles, each with the probability that lies nearest to it.

    Parameters
    ----------
    levels : float64[q]
        Of the parts, and of the result.
    values : float64[m, n, q]
        Quantiles of each part.
    weights : float64[m, n], optional
        Of the parts for each row; a part of weight 0 takes no part. Equal ones where not given.
    """
    m, n, _ = values.shape
    share = np.full((m, n), 1.0 / m) if weights is None else weights / weights.sum(axis=0)
    mass = np.diff(np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]]))
    found = np.empty((n, len(levels)))
    _mixed(np.ascontiguousarray(values), share, mass, np.asarray(levels, dtype=np.float64), found)
    return Quantiles(levels, found)


@kernel
def _mixed(values: np.ndarray, share: np.ndarray, mass: np.ndarray, levels: np.ndarray, found: np.ndarray) -> None:
    """Weighted quantiles of each row's points, linear between the middles of their masses."""
    m, n, q = values.shape
    points, weight = np.empty(m * q), np.empty(m * q)
    for row in range(n):
        used = 0
        for part in range(m):
            if share[part, row] > 0:
                for k in range(q):
                    points[used], weight[used] = values[part, row, k], share[part, row] * mass[k]
                    used += 1
        order = np.argsort(points[:used])
        below, at = 0.0, 0
        right_p, right_v = weight[order[0]] / 2, points[order[0]]
        left_p, left_v = 0.0, right_v
        for i in range(len(levels)):
            while right_p < levels[i] and at < used - 1:
                below += weight[order[at]]
                at += 1
                left_p, left_v = right_p, right_v
                right_p, right_v = below + weight[order[at]] / 2, points[order[at]]
            if right_p <= left_p or levels[i] >= right_p:
                found[row, i] = right_v
            else:
                found[row, i] = left_v + (levels[i] - left_p) / (right_p - left_p) * (right_v - left_v)
