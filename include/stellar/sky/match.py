"""The cross-match kernel: nearest neighbours on the sphere, exact and deterministic."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .separation import separation_arcsec, unit_vectors

# Chord lengths come from unit vectors, whose rounding is 1e-16 each; candidates are gathered a little wider than the
# radius by this much (rad), then decided by the haversine separation.
CHORD_SLACK = 1e-14


class Match(NamedTuple):
    """Matched pairs, ordered by `left_index`.

    `left_index`, `right_index` : int64[n], rows of the two inputs; `separation_arcsec` : float64[n];
    `n_candidates` : int32[n], rows of the right side within the radius of this left row.
    """

    left_index: NDArray[np.int64]
    right_index: NDArray[np.int64]
    separation_arcsec: NDArray[np.float64]
    n_candidates: NDArray[np.int32]


def match_all(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike, radius_arcsec: float) -> Match:
    """Every pair within a radius.

    Parameters
    ----------
    ra1, dec1 : array_like, shape (n,)
        Left positions, degrees. Rows with a NaN match nothing.
    ra2, dec2 : array_like, shape (m,)
        Right positions, degrees.
    radius_arcsec : float
        Largest separation, inclusive; at most 180 degrees.

    Returns
    -------
    Match
        Ordered by left row, then separation, then right row: the first of each left row is its nearest, with ties
        going to the lower right index.

    Raises
    ------
    ValueError
        When the radius is not in [0, 648000], or ra and dec differ in length.
    """
    if not 0 <= radius_arcsec <= 648_000:
        raise ValueError(f"radius_arcsec must be in [0, 648000], got {radius_arcsec}")
    ra1, dec1, ra2, dec2 = (np.atleast_1d(np.asarray(x, np.float64)) for x in (ra1, dec1, ra2, dec2))
    if ra1.shape != dec1.shape or ra2.shape != dec2.shape:
        raise ValueError(f"ra and dec differ in length: {ra1.shape}, {dec1.shape}; {ra2.shape}, {dec2.shape}")
    rows1 = np.flatnonzero(np.isfinite(ra1) & np.isfinite(dec1))
    rows2 = np.flatnonzero(np.isfinite(ra2) & np.isfinite(dec2))
    left, right = _near_pairs(
        unit_vectors(ra1[rows1], dec1[rows1]), unit_vectors(ra2[rows2], dec2[rows2]), radius_arcsec
    )
    left, right = rows1[left], rows2[right]
    separation = separation_arcsec(ra1[left], dec1[left], ra2[right], dec2[right])
    inside = separation <= radius_arcsec
    left, right, separation = left[inside], right[inside], separation[inside]
    order = np.lexsort((right, separation, left))
    counts = np.bincount(left, minlength=len(ra1)).astype(np.int32)
    left = left[order]
    return Match(left, right[order], separation[order], counts[left])


def match(
    ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike, radius_arcsec: float, *, mutual: bool = False
) -> Match:
    """Nearest right row within a radius of each left row.

    Parameters
    ----------
    ra1, dec1, ra2, dec2, radius_arcsec
        As for `match_all`.
    mutual : bool
        Keep a pair only where the left row is also the nearest one of its right row, so that both sides are used
        at most once.

    Returns
    -------
    Match
        One row per matched left row. Ties go to the lower index, on both sides.
    """
    pairs = match_all(ra1, dec1, ra2, dec2, radius_arcsec)
    nearest = np.ones(len(pairs.left_index), bool)
    nearest[1:] = pairs.left_index[1:] != pairs.left_index[:-1]
    if mutual:
        by_right = np.lexsort((pairs.left_index, pairs.separation_arcsec, pairs.right_index))
        first = np.ones(len(by_right), bool)
        first[1:] = pairs.right_index[by_right][1:] != pairs.right_index[by_right][:-1]
        chosen = np.zeros(len(by_right), bool)
        chosen[by_right[first]] = True
        nearest &= chosen
    return Match(
        pairs.left_index[nearest],
        pairs.right_index[nearest],
        pairs.separation_arcsec[nearest],
        pairs.n_candidates[nearest],
    )


def _near_pairs(
    xyz1: NDArray[np.float64], xyz2: NDArray[np.float64], radius_arcsec: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Index pairs whose chord is within that of the radius, give or take the slack."""
    if not len(xyz1) or not len(xyz2):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    from scipy.spatial import cKDTree  # 1 s to import

    chord = 2 * np.sin(np.radians(radius_arcsec / 3600) / 2) * (1 + 1e-12) + CHORD_SLACK
    found = cKDTree(xyz1).sparse_distance_matrix(cKDTree(xyz2), chord, output_type="ndarray")
    return found["i"].astype(np.int64), found["j"].astype(np.int64)
