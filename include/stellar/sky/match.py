"""Cross-match: nearest neighbours on the sphere, exact and deterministic.

The separation of a pair is that of `stellar.sky.separation`, to the last bit, and the radius is decided by it alone:
what is found equals a search through all pairs. Neither the order of the rows, the number of threads nor the rows
elsewhere on the sky change a pair, but for ties: those go to the lower row, so rows sorted by an id that does not
depend on how the sky is cut have pairs that do not depend on it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Match(NamedTuple):
    """Matched pairs, ordered by left row, then separation, then right row.

    `left_index`, `right_index` : int64[n], rows of the two inputs; `separation_arcsec` : float64[n];
    `n_candidates` : int32[n], right rows from the least separation to the radius of this left row;
    `runner_up_arcsec` : float64[n], separation of the second nearest of those, NaN where there is none.
    """

    left_index: NDArray[np.int64]
    right_index: NDArray[np.int64]
    separation_arcsec: NDArray[np.float64]
    n_candidates: NDArray[np.int32]
    runner_up_arcsec: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Match:
        """Some of the pairs, by number or mask."""
        return Match._make(column[rows] for column in self)


def match(
    ra1: ArrayLike,
    dec1: ArrayLike,
    ra2: ArrayLike,
    dec2: ArrayLike,
    radius_arcsec: float,
    *,
    k: int = 1,
    mutual: bool = False,
    min_arcsec: float = 0.0,
    n_threads: int = 1,
) -> Match:
    """The nearest right rows within a radius of each left row.

    Parameters
    ----------
    ra1, dec1 : array_like, shape (n,)
        Left positions, degrees. RA may be outside [0, 360). Rows that are not on the sky (NaN, a declination beyond
        90 degrees, an RA beyond a million) match nothing.
    ra2, dec2 : array_like, shape (m,)
        Right positions, degrees.
    radius_arcsec : float
        Largest separation, inclusive; at most 180 degrees.
    k : int
        How many right rows to find for each left row, at most.
    mutual : bool
        Keep a pair only where the left row is also the nearest one of its right row, so that a right row is used at
        most once.
    min_arcsec : float
        Least separation, inclusive: nearer rows are no candidates. More than 0 matches a catalogue with itself, or
        finds what lies in an annulus.
    n_threads : int
        Threads to search with. The outcome does not depend on it.

    Returns
    -------
    Match
        Up to `k` pairs of each left row. Ties go to the lower row, on both sides.

    Raises
    ------
    ValueError
        When the radius is not in [0, 648000], the least separation not in [0, radius], `k` or `n_threads` not
        positive, or ra and dec differ in length.

    Notes
    -----
    A grid over the right side, made anew by each call: its cost is linear in the rows, with k-d trees where they
    crowd. Rows that are sorted along the sky (by `_healpix_29`) are searched two to three times faster than rows in
    random order.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k}")
    return _pairs(ra1, dec1, ra2, dec2, radius_arcsec, k, mutual, min_arcsec, n_threads)


def match_all(
    ra1: ArrayLike,
    dec1: ArrayLike,
    ra2: ArrayLike,
    dec2: ArrayLike,
    radius_arcsec: float,
    *,
    min_arcsec: float = 0.0,
    n_threads: int = 1,
) -> Match:
    """Every pair within a radius; parameters and order as for `match`.

    The first pair of each left row is its nearest one: `nearest` finds the pairs that `match` would give.
    """
    return _pairs(ra1, dec1, ra2, dec2, radius_arcsec, 0, False, min_arcsec, n_threads)


def nearest(pairs: Match, *, k: int = 1, mutual: bool = False) -> NDArray[np.int64]:
    """Which of all pairs `match` would give.

    Parameters
    ----------
    pairs : Match
        As `match_all` gives them.
    k, mutual
        As for `match`.

    Returns
    -------
    ndarray of int64
        Numbers of pairs, ascending; for `Match.take`, and for what was computed pair by pair.
    """
    left = pairs.left_index
    if k == 1:
        keep = np.ones(len(left), bool)
        np.not_equal(left[1:], left[:-1], out=keep[1:])
    else:
        starts = np.flatnonzero(np.diff(left, prepend=-1))
        keep = np.arange(len(left)) - np.repeat(starts, np.diff(starts, append=len(left))) < k
    if mutual:
        order = np.lexsort((left, pairs.separation_arcsec, pairs.right_index))
        right = pairs.right_index[order]
        chosen = np.zeros(len(left), bool)
        chosen[order[np.flatnonzero(np.diff(right, prepend=-1))]] = True
        keep &= chosen
    return np.flatnonzero(keep)


def _pairs(
    ra1: ArrayLike,
    dec1: ArrayLike,
    ra2: ArrayLike,
    dec2: ArrayLike,
    radius_arcsec: float,
    k: int,
    mutual: bool,
    min_arcsec: float,
    n_threads: int,
) -> Match:
    if not 0 <= radius_arcsec <= 648_000:
        raise ValueError(f"radius_arcsec must be in [0, 648000], got {radius_arcsec}")
    if not 0 <= min_arcsec <= radius_arcsec:
        raise ValueError(f"min_arcsec must be in [0, radius_arcsec = {radius_arcsec}], got {min_arcsec}")
    if n_threads < 1:
        raise ValueError(f"n_threads must be 1 or more, got {n_threads}")
    left, right = _positions(ra1, dec1), _positions(ra2, dec2)
    from .kernel import find_pairs  # numba: half a second

    found = find_pairs(*left, *right, radius_arcsec, k=k, mutual=mutual, min_arcsec=min_arcsec, n_threads=n_threads)
    return Match._make(found)


def _positions(ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ra, dec = (np.ascontiguousarray(np.atleast_1d(np.asarray(x, np.float64))) for x in (ra, dec))
    if ra.ndim != 1 or ra.shape != dec.shape:
        raise ValueError(f"ra and dec differ in length: {ra.shape} and {dec.shape}")
    return ra, dec
