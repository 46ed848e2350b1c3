"""Slow trends of a light curve taken out, and lone outliers, with what is looked for left as it was.

A trend is fitted to each stretch without a gap alone: nothing is carried across a gap, where an instrument may have
changed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.interpolate import BSpline

from stellar.errors import InputError

MAD_TO_SIGMA = 1.4826
GAP_D = 0.5
BIWEIGHT = 5.0  # standard deviations beyond which a point has no say (wotan's `cval`; Hippke et al. 2019, AJ 158, 143)
_DEGREE = 3
_ITERATIONS = 30
_STIFF = 1e-3  # weight of straight ends, over that of all points: halves what ends take of a star, and follows trends
_SETTLED = 1e-4  # of a standard deviation


def stretches(time: np.ndarray, gap_d: float = GAP_D, segment: np.ndarray | None = None) -> list[np.ndarray]:
    """Numbers of the points of each stretch without a gap; each segment has its own, also where segments overlap.

    Parameters
    ----------
    time : float64[n]
        Increasing.
    gap_d : float
        Steps longer than this are gaps.
    segment : int64[n], optional
        Points of another segment belong to another stretch.

    Returns
    -------
    list of int64[m]
        Every point is in one of them; increasing.
    """
    if not len(time):
        return []
    parts = (
        [np.arange(len(time))] if segment is None else [np.flatnonzero(segment == one) for one in np.unique(segment)]
    )
    return [one for part in parts for one in np.split(part, np.flatnonzero(np.diff(time[part]) > gap_d) + 1)]


def trend(
    time: np.ndarray, value: np.ndarray, window_d: float, *, gap_d: float = GAP_D, segment: np.ndarray | None = None
) -> np.ndarray:
    """The slow course of a curve: in each stretch a cubic spline with a knot every `window_d` and straight ends.

    Fitted by iteratively reweighted least squares with Tukey's biweight (Beaton & Tukey 1974, Technometrics 16, 147),
    so that eclipses and flares have no say. A stretch shorter than the window has a constant, one shorter than two
    windows a straight line, since anything freer would follow the star.

    Parameters
    ----------
    time, value : float64[n]
        Increasing times in days; fluxes or magnitudes.
    window_d : float
        At least three times the longest period, and ten times the longest eclipse, that is to be kept.

    Returns
    -------
    float64[n]

    Raises
    ------
    InputError
        When the window is no positive number, or times do not increase.
    """
    if not 0 < window_d < np.inf:
        raise InputError(f"a window of {window_d} days: give a positive number")
    if len(time) > 1 and not (np.diff(time) >= 0).all():
        raise InputError("times must increase; sort the curve")
    course = np.empty(len(value))
    for part in stretches(time, gap_d, segment):
        course[part] = _robust_spline(time[part], value[part], window_d)
    return course


def _robust_spline(time: np.ndarray, value: np.ndarray, window_d: float) -> np.ndarray:
    """Course of one stretch, float64[n]."""
    span = float(time[-1] - time[0])
    if span < window_d or len(time) < 2 * (_DEGREE + 1):
        return np.full(len(value), np.median(value))
    pieces = int(span // window_d)
    degree = 1 if pieces < 2 else _DEGREE
    inner = np.linspace(time[0], time[-1], max(pieces, 1) + 1)
    knots = np.concatenate([[time[0]] * degree, inner, [time[-1]] * degree])
    design = BSpline.design_matrix(np.clip(time, time[0], time[-1]), knots, degree).tocsr()
    ends = _straight_ends(knots, degree, window_d)
    course = np.full(len(value), np.median(value))
    for _ in range(_ITERATIONS):
        residual = value - course
        sigma = MAD_TO_SIGMA * float(np.median(np.abs(residual - np.median(residual))))
        if not sigma > 0:  # most points are on the course already
            return course
        distance = residual / (BIWEIGHT * sigma)
        weight = np.where(np.abs(distance) < 1, (1 - distance**2) ** 2, 0.0)
        normal = (design.T @ design.multiply(weight[:, None])).toarray()
        normal += _STIFF * np.trace(normal) * ends
        found = design @ np.linalg.lstsq(normal, design.T @ (weight * value), rcond=None)[0]
        step, course = float(np.abs(found - course).max()), found
        if step < _SETTLED * sigma:
            break
    return course


def _straight_ends(knots: np.ndarray, degree: int, window_d: float) -> np.ndarray:
    """Squared second derivatives at both ends by coefficients, float64[k, k]: a natural spline has none.

    With free ends, a spline bends there after half a cycle of the star.
    """
    size = len(knots) - degree - 1
    if degree < 2:
        return np.zeros((size, size))
    bent = BSpline(knots, np.eye(size), degree).derivative(2)(knots[[degree, -degree - 1]]) * window_d**2
    return bent.T @ bent


def lone_outliers(
    time: np.ndarray,
    value: np.ndarray,
    kind: Literal["flux", "mag"],
    *,
    brighter: float | None = 5.0,
    fainter: float | None = None,
    keep_run: int = 3,
    window_d: float = 1.0,
    gap_d: float = GAP_D,
    segment: np.ndarray | None = None,
) -> np.ndarray:
    """Points far from the curve's course that no flare and no eclipse explains.

    The two sides have limits of their own, and none is clipped fainter unless it is asked for, since that is where
    eclipses are. On either side a run of at least `keep_run` neighbours beyond 3 sigma stays whole: a star does not
    do anything within one cadence only, detectors do. A flare that is shorter than that is lost with them.

    Parameters
    ----------
    brighter, fainter : float or None
        Standard deviations, of the residuals' median absolute deviation; None for no limit on that side.
    keep_run : int
    window_d : float
        Of the course that distances are measured from (`trend`).

    Returns
    -------
    bool[n]
    """
    residual = value - trend(time, value, window_d, gap_d=gap_d, segment=segment)
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(residual - np.median(residual)))) if len(residual) else 0.0
    out = np.zeros(len(value), dtype=bool)
    if not sigma > 0:
        return out
    up = -residual / sigma if kind == "mag" else residual / sigma
    for part in stretches(time, gap_d, segment):
        for limit, side in ((brighter, up[part]), (fainter, -up[part])):
            if limit is not None:
                out[part] |= (side > limit) & ~_in_run(side > 3.0, keep_run)
    return out


def _in_run(flag: np.ndarray, shortest: int) -> np.ndarray:
    """Whether each point is in a run of true values at least `shortest` long, bool[n]."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], flag.astype(np.int8), [0]])))
    inside = np.zeros(len(flag), dtype=bool)
    for begin, end in zip(edge[::2], edge[1::2], strict=True):
        inside[begin:end] = end - begin >= shortest
    return inside
