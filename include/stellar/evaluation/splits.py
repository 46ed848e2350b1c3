"""Splits that keep one star, and one piece of sky, on one side.

A star's group is the HEALPix cell of its position; a whole group goes to one part. Which part is decided by a hash of
seed and group alone, so a star stays on its side when a later sync brings more stars: a model is never compared on
stars that an older model learnt from.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from stellar.errors import InputError

PARTS = ("train", "validation", "calibration", "test")
SPATIAL_ORDER = 29  # of the `_healpix_29` column


def star_groups(object_id: Sequence[str] | np.ndarray, healpix_29: np.ndarray, order: int) -> np.ndarray:
    """Group of each row, int64[n]: the nested HEALPix pixel at `order` of the row's star.

    Rows of one star can lie on both sides of a cell's edge (each survey has its own position); all take the cell of the
    star's lowest index.

    Parameters
    ----------
    object_id : str[n]
    healpix_29 : int64[n]
        Nested index at order 29.
    order : int
        0 to 29; cells of order 6 are 0.92 degrees wide, of order 8 0.23 degrees.
    """
    if not 0 <= order <= SPATIAL_ORDER:
        raise InputError(f"split order {order} is not between 0 and {SPATIAL_ORDER}")
    index = np.asarray(healpix_29, dtype=np.int64)
    _, star = np.unique(np.asarray(object_id, dtype=str), return_inverse=True)
    lowest = np.full(star.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(lowest, star, index)
    return lowest[star] >> (2 * (SPATIAL_ORDER - order))


def _uniform(seed: int, group: object) -> float:
    """Number in [0, 1) that only seed and group decide."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _check(fractions: Mapping[str, float]) -> tuple[list[str], np.ndarray]:
    shares = np.array(list(fractions.values()), dtype=np.float64)
    if not len(shares) or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise InputError(f"split fractions {dict(fractions)} must be positive and add up to 1")
    return list(fractions), shares


def grouped_split(
    groups: Sequence[object] | np.ndarray,
    fractions: Mapping[str, float],
    seed: int,
    *,
    strata: Sequence[str] | np.ndarray | None = None,
) -> np.ndarray:
    """Part of each row, str[n], such that no group has rows in two parts.

    Parameters
    ----------
    groups : [n]
        Group of each row (`star_groups`), integers or strings.
    fractions : mapping
        Part name to its share, adding up to 1, e.g. `{"train": 0.6, "validation": 0.1, "calibration": 0.15, "test":
        0.15}`.
    seed : int
    strata : str[n], optional
        Classes to balance over the parts as well as whole groups allow. The assignment then depends on all rows: use
        it for a fixed data set, not where later rows must keep the former ones in place.

    Raises
    ------
    InputError
        When a part stays empty: too few groups, so split at a higher order.
    """
    names, shares = _check(fractions)
    values, inverse = np.unique(np.asarray(groups), return_inverse=True)
    if strata is None:
        edges = np.cumsum(shares)[:-1]
        part_of_group = np.searchsorted(edges, [_uniform(seed, value) for value in values], side="right")
    else:
        part_of_group = _balanced(values, inverse, np.asarray(strata, dtype=str), shares, seed)
    parts = np.asarray(names, dtype=object)[part_of_group][inverse].astype(str) if len(values) else np.array([], "U1")
    empty = [name for name in names if name not in set(parts)]
    if empty:
        raise InputError(
            f"split: part {', '.join(empty)} got no rows from {len(values)} groups; "
            "use a higher HEALPix order, another seed or more data"
        )
    return parts


def stratified_folds(groups: np.ndarray, strata: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of each row, int64[n] from 0, such that no group has rows in two folds and every fold is like the whole.

    Parameters
    ----------
    groups, strata : [n]
        What stays together, and what is dealt evenly; a stratum of fewer groups than folds is in some of them.

    Raises
    ------
    InputError
        When there are fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if (count := len(np.unique(groups))) < folds:
        raise InputError(f"split: {count} groups cannot be dealt to {folds} folds; fewer folds, or more data")
    # strata with fewer members than folds are dealt as one
    _, stratum, counts = np.unique(strata, return_inverse=True, return_counts=True)
    strata = np.where(counts[stratum] < folds, -1, stratum)
    found = np.zeros(len(groups), dtype=np.int64)
    dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # a class with fewer members than folds is expected, and shows in the counts of the card
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for number, (_, rows) in enumerate(dealt.split(np.zeros((len(groups), 1)), strata, groups)):
            found[rows] = number
    return found


def hashed_folds(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of each row, int64[n] from 0, that its group and the seed alone decide: rows that are added move no other.

    Raises
    ------
    InputError
        When a fold stays empty.
    """
    values, inverse = np.unique(np.asarray(groups), return_inverse=True)
    found = (np.array([_uniform(seed, value) for value in values]) * folds).astype(np.int64)
    if empty := sorted({*range(folds)} - {*found.tolist()}):
        raise InputError(f"split: fold {empty[0] + 1} got none of {len(values)} stars; fewer folds, or more data")
    return found[inverse]


def _dealt(values: np.ndarray, stratum: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Part of each row, of groups of one row: each stratum in the order of a hash, cut where the shares say."""
    order = np.lexsort((np.array([_uniform(seed, value) for value in values]), stratum))
    first = np.searchsorted(stratum[order], stratum[order])
    size = np.bincount(stratum)[stratum[order]]
    place = (np.arange(len(order)) - first + _offset(seed, stratum[order])) / size
    part = np.empty(len(order), dtype=np.int64)
    part[order] = np.searchsorted(np.cumsum(shares)[:-1], place, side="right")
    return part


def _offset(seed: int, stratum: np.ndarray) -> np.ndarray:
    """Where each stratum's first row stands between two places, so that small strata do not all favour one part."""
    values, inverse = np.unique(stratum, return_inverse=True)
    return np.array([_uniform(seed, f"stratum {value}") for value in values])[inverse]


def _balanced(values: np.ndarray, inverse: np.ndarray, strata: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Greedy: the largest groups first, each to the part that is then nearest to its share of every stratum."""
    _, stratum = np.unique(strata, return_inverse=True)
    if len(values) == len(inverse):  # nothing stays together, so nothing has to be weighed
        of_group = np.empty(len(values), dtype=np.int64)
        of_group[inverse] = stratum
        return _dealt(values, of_group, shares, seed)
    counts = np.zeros((len(values), stratum.max() + 1))
    np.add.at(counts, (inverse, stratum), 1)
    total = counts.sum(axis=0)
    wanted, scale = shares[:, None] * total, 1 / np.maximum(total, 1)
    have = np.zeros_like(wanted)
    tie = np.array([_uniform(seed, value) for value in values])
    part = np.zeros(len(values), dtype=np.int64)
    for group in np.lexsort((tie, -counts.sum(axis=1))):
        # gain of each part: how much nearer to its wanted counts it comes, relative to the stratum and to the share
        before, after = have - wanted, have + counts[group] - wanted
        cost = ((after**2 - before**2) * scale / shares[:, None]).sum(axis=1)
        part[group] = int(np.argmin(cost))
        have[part[group]] += counts[group]
    return part
