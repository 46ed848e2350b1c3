"""How likely a candidate of a cross-match is the true counterpart, from positions and their errors.

The likelihood ratio of Sutherland & Saunders (1992, MNRAS 259, 413), without magnitudes. For a candidate at a
separation s it is

    LR = Q f(s) / rho,    f(s) = exp(-s^2 / (2 sigma^2)) / (2 pi sigma^2),

where Q is the share of left rows that have a counterpart at all, sigma the error of the separation along one axis (both
rows' errors added in quadrature) and rho the density of right rows there: what is found by chance. The probability of
candidate j being the counterpart, given all candidates of the left row, is their equation 5,

    R_j = LR_j / (sum_i LR_i + 1 - Q),

so that the probabilities of a left row's candidates and that of none of them, (1 - Q) / (sum_i LR_i + 1 - Q), add to 1.

A probability depends on the left row, its candidates and the density around it, on nothing else: it is the same however
the sky is cut, when the density is. `local_density` counts in HEALPix pixels of a fixed order for that reason.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Error along one axis (arcsec) where a catalogue gives none: that of a good survey from the ground.
DEFAULT_SIGMA_ARCSEC = 0.1
# Even odds, before looking, that a left row has a counterpart.
DEFAULT_COMPLETENESS = 0.5
_SKY_ARCSEC2 = 4 * np.pi * np.degrees(1.0) ** 2 * 3600.0**2
_INDEX_ORDER = 29
# Up to this many pixels a row are counted in a table of them all.
_FEW_PIXELS = 8

Floats = NDArray[np.float64]


def match_probability(
    left_index: ArrayLike,
    separation_arcsec: ArrayLike,
    sigma_arcsec: ArrayLike,
    density_per_arcsec2: ArrayLike,
    completeness: float = DEFAULT_COMPLETENESS,
) -> Floats:
    """Probability of each pair being the true one.

    Parameters
    ----------
    left_index : array_like of int, shape (n,)
        Left row of each pair. All candidates of a left row must be there, one after the other, as `match_all` gives
        them; a probability says little about a selection of them.
    separation_arcsec : array_like, shape (n,)
    sigma_arcsec : array_like, shape (n,) or scalar
        Error of each pair's separation along one axis, see `combined_sigma`.
    density_per_arcsec2 : array_like, shape (n,) or scalar
        Density of right rows around each pair, see `local_density`.
    completeness : float
        Q, the share of left rows that have a counterpart, in (0, 1]; see `estimate_completeness`.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1]; at most 1 in sum over a left row.

    Raises
    ------
    ValueError
        When a left row's pairs are not together, or an error, a density or Q is not positive.
    """
    left, separation = np.asarray(left_index), np.asarray(separation_arcsec, np.float64)
    sigma = np.broadcast_to(np.asarray(sigma_arcsec, np.float64), separation.shape)
    density = np.broadcast_to(np.asarray(density_per_arcsec2, np.float64), separation.shape)
    if not 0 < completeness <= 1:
        raise ValueError(f"completeness must be in (0, 1], got {completeness}")
    for name, values in (("sigma_arcsec", sigma), ("density_per_arcsec2", density)):
        if not (values > 0).all():
            raise ValueError(f"{name} must be positive, got {values[~(values > 0)][0]}")
    if not len(left):
        return np.empty(0)
    starts = np.flatnonzero(np.concatenate([[True], left[1:] != left[:-1]]))
    if (np.diff(left[starts]) < 0).any():
        raise ValueError("left_index must ascend, with all pairs of a left row together")
    # in logarithms: errors of a milliarcsecond make ratios that no double holds
    with np.errstate(over="ignore", divide="ignore"):
        far = np.minimum((separation / sigma) ** 2 / 2, 1e300)
        log_none = np.log1p(-completeness)
    log_ratio = np.log(completeness / (2 * np.pi)) - np.log(density) - 2 * np.log(sigma) - far
    if len(starts) == len(left):  # one candidate each, as most rows have: nothing to add up
        scale = np.maximum(log_ratio, log_none)
        ratio = np.exp(log_ratio - scale)
        return ratio / (ratio + np.exp(log_none - scale))
    lengths = np.diff(starts, append=len(left))
    row = np.repeat(np.arange(len(starts)), lengths)
    scale = np.maximum(np.maximum.reduceat(log_ratio, starts), log_none)
    ratio = np.exp(log_ratio - scale[row])
    total = np.bincount(row, ratio) + np.exp(log_none - scale)
    return ratio / total[row]


def combined_sigma(
    left_arcsec: ArrayLike | None,
    right_arcsec: ArrayLike | None,
    *,
    default_left: float = DEFAULT_SIGMA_ARCSEC,
    default_right: float = DEFAULT_SIGMA_ARCSEC,
) -> Floats:
    """Error of a separation along one axis: both positions' errors in quadrature.

    Parameters
    ----------
    left_arcsec, right_arcsec : array_like or None
        Error of each position along one axis, arcsec (of an RA error and a Dec error, their root mean square); they
        broadcast together. None is a catalogue without errors.
    default_left, default_right : float
        For rows without an error: None, NaN, or not positive.

    Returns
    -------
    ndarray of float64
    """
    sides = []
    for given, default in ((left_arcsec, default_left), (right_arcsec, default_right)):
        sigma = np.asarray(np.nan if given is None else given, np.float64)
        sides.append(np.where((sigma > 0) & np.isfinite(sigma), sigma, default))
    return np.hypot(*sides)


def local_density(left_index29: ArrayLike, right_index29: ArrayLike, order: int) -> Floats:
    """Density of right rows around left rows: their number in the HEALPix pixel that the left row lies in.

    Parameters
    ----------
    left_index29, right_index29 : array_like of int, shape (n,), (m,)
        Order 29 index (`_healpix_29`) of the rows. All right rows of the left rows' pixels must be there, so for the
        rows of a partition its own right rows will do when `order` is not coarser than the partition's cell.
    order : int
        Of the pixels. Some thirty rows a pixel give the density to a fifth.

    Returns
    -------
    ndarray of float64, shape (n,)
        Rows per square arcsecond; of one row in the pixel where there is none.
    """
    shift = 2 * (_INDEX_ORDER - order)
    left, right = (np.asarray(index, np.int64) >> shift for index in (left_index29, right_index29))
    return np.maximum(_count(left, right), 1) / pixel_area_arcsec2(order)


def _count(wanted: NDArray[np.int64], pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each number that is wanted is among some."""
    if not len(wanted) or not len(pixels):
        return np.zeros(len(wanted), np.int64)
    low = min(wanted.min(), pixels.min())
    span = int(max(wanted.max(), pixels.max()) - low) + 1
    if span <= _FEW_PIXELS * (len(wanted) + len(pixels)):
        return np.bincount(pixels - low, minlength=span)[wanted - low]
    pixels = np.sort(pixels, kind="stable")  # fast where they are sorted
    return np.searchsorted(pixels, wanted, side="right") - np.searchsorted(pixels, wanted)


def pixel_area_arcsec2(order: int) -> float:
    """Area of a HEALPix pixel in square arcseconds: all of an order have the same."""
    return _SKY_ARCSEC2 / (12 * 4**order)


def estimate_completeness(
    has_candidate: ArrayLike, sigma_arcsec: ArrayLike, density_per_arcsec2: ArrayLike, radius_arcsec: float
) -> float:
    """Share of left rows that have a counterpart, Q, from how many have no candidate.

    A left row has none when it has no counterpart within the radius and none by chance: with probability
    (1 - Q F) exp(-rho pi r^2), F = 1 - exp(-r^2 / (2 sigma^2)). The number of such rows gives Q (Fleuren et al. 2012,
    MNRAS 423, 2407, sec. 3.2, with chance from the density instead of random positions).

    Parameters
    ----------
    has_candidate : array_like of bool, shape (n,)
        Of each left row, matched or not.
    sigma_arcsec, density_per_arcsec2 : array_like, shape (n,) or scalar
        Of each left row, as for `match_probability`.
    radius_arcsec : float
        Of the match.

    Returns
    -------
    float
        In [0, 1]; NaN where nothing can be said: without left rows, or where chance fills every radius.
    """
    blank = ~np.atleast_1d(np.asarray(has_candidate, bool))
    sigma = np.broadcast_to(np.asarray(sigma_arcsec, np.float64), blank.shape)
    density = np.broadcast_to(np.asarray(density_per_arcsec2, np.float64), blank.shape)
    by_chance = np.exp(-density * np.pi * radius_arcsec**2)
    within = -np.expm1(-((radius_arcsec / sigma) ** 2) / 2)
    expected = float((within * by_chance).sum())
    if expected < 1e-9 * max(len(blank), 1):
        return float("nan")
    return min(max((float(by_chance.sum()) - int(blank.sum())) / expected, 0.0), 1.0)
