"""The search for pairs of two catalogues' rows: for each left row its nearest right rows, and how likely each is.

Rows are taken in the order of (`_healpix_29`, id), by which ties of equal separation go to the first. So the outcome
depends on the rows alone and not on how the sky is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stellar.catalog.epochs import Points, candidates, julian_year, separations
from stellar.catalog.pairing import DEFAULT_SIGMA, Pairing, Side
from stellar.sky.healpix import INDEX_COLUMN
from stellar.sky.match import Match, match, match_all, nearest
from stellar.sky.probability import local_density, match_probability

#: Right rows are counted in pixels of this order (1.7 arcmin wide), of which no partition holds a part.
DENSITY_ORDER = 11
# Candidates of crowded left rows that are looked at together.
_MOST_CANDIDATES = 1 << 20

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Found(NamedTuple):
    """Pairs of row numbers; right rows within the radius of every left row (None: not needed); and all of them.

    `candidates` takes left rows, ascending, and gives all pairs of theirs.
    """

    pairs: Match
    counts: npt.NDArray[np.int32] | None
    candidates: Callable[[Ints], Match]


@dataclass(frozen=True)
class Rows:
    """One side's rows, own and around, in the order of (`_healpix_29`, id); `own` says which are the partition's."""

    side: Side
    table: pa.Table
    own: slice

    @cached_property
    def index(self) -> Ints:
        return np.asarray(self.table[INDEX_COLUMN].to_numpy(), np.int64)

    @cached_property
    def ra(self) -> Floats:
        return floats(self.table, self.side.ra)

    @cached_property
    def dec(self) -> Floats:
        return floats(self.table, self.side.dec)

    @cached_property
    def points(self) -> Points:
        """Positions with what moves them."""
        side, count = self.side, len(self.table)
        epoch = np.full(count, np.nan) if side.epoch_yr is None else np.full(count, side.epoch_yr)
        if side.epoch_column is not None:
            epoch = floats(self.table, side.epoch_column)
            epoch = np.asarray(julian_year(epoch)) if side.epoch_is_mjd else epoch
        motion = [floats(self.table, name) for name in side.motion]
        pmra, pmdec = motion[:2] if motion else (np.full(count, np.nan), np.full(count, np.nan))
        unknown = ~(np.isfinite(pmra) & np.isfinite(pmdec))
        if unknown.any():  # half a motion is none
            pmra, pmdec = np.where(unknown, np.nan, pmra), np.where(unknown, np.nan, pmdec)
        return Points(self.ra, self.dec, epoch, pmra, pmdec, *(motion[2:] if len(motion) == 4 else ()))

    @cached_property
    def sigma(self) -> Floats:
        """Positional errors, arcsec, one axis; NaN where this side says none."""
        if self.side.sigma_column is None:
            return np.full(len(self), np.nan if self.side.sigma_arcsec is None else self.side.sigma_arcsec)
        return floats(self.table, self.side.sigma_column) * self.side.sigma_unit

    def __len__(self) -> int:
        return len(self.table)


def floats(table: pa.Table, name: str) -> Floats:
    column = table[name]
    column = column if column.type == pa.float64() else column.cast(pa.float64(), safe=False)
    return np.asarray(column.to_numpy(), np.float64)


def in_sky_order(side: Side, rows: pa.Table, margin: pa.Table | None = None) -> Rows:
    """A side's rows and those around them in one table, in the order of (`_healpix_29`, id).

    Rows around a cell come before all of its own or after all of them, so nothing is sorted that is in order already.
    """
    rows = _ordered(rows, side.id)
    if margin is None or not margin.num_rows:
        return Rows(side, rows, slice(0, len(rows)))
    margin = _ordered(margin, side.id)
    if not rows.num_rows:
        return Rows(side, margin, slice(0, 0))
    around = margin[INDEX_COLUMN].to_numpy()
    before = int(np.searchsorted(around, rows[INDEX_COLUMN][0].as_py()))
    if before < len(around) and around[before] <= rows[INDEX_COLUMN][-1].as_py():
        raise ValueError("rows around a partition lie within it")
    table = pa.concat_tables([margin.slice(0, before), rows, margin.slice(before)]).combine_chunks()
    return Rows(side, table, slice(before, before + len(rows)))


def _ordered(table: pa.Table, id_column: str) -> pa.Table:
    """The table in the order of (`_healpix_29`, id), in one chunk."""
    table = table.combine_chunks()
    index = table[INDEX_COLUMN].to_numpy()
    steps = np.diff(index)
    if (steps > 0).all():
        return table
    if (steps >= 0).all():
        ids, same = table[id_column], np.flatnonzero(steps == 0)
        if pc.all(pc.less_equal(ids.take(pa.array(same)), ids.take(pa.array(same + 1)))).as_py() is not False:
            return table
    keys = [(name, "ascending") for name in dict.fromkeys([INDEX_COLUMN, id_column])]
    return table.take(pc.sort_indices(table, sort_keys=keys)).combine_chunks()


def find(left: Rows, right: Rows, pairing: Pairing, threads: int = 1) -> Found:
    """Pairs of rows. Where no left row from beyond the partition matters, only its own are looked at."""
    if pairing.moves:
        left_at, right_at = _at_one_epoch(left, right)
        if left_at is None or right_at is None:
            return _find_by_epoch(left, right, pairing)
    else:
        left_at, right_at = (left.ra, left.dec), (right.ra, right.dec)
    own = left.own if not pairing.mutual and pairing.how != "outer" else slice(0, len(left))
    ra, dec = left_at
    radius, least = pairing.radius_arcsec, pairing.min_arcsec

    def some(k: int, mutual: bool) -> Match:
        found = match(ra[own], dec[own], *right_at, radius, k=k, mutual=mutual, min_arcsec=least, n_threads=threads)
        return found._replace(left_index=found.left_index + own.start) if own.start else found

    def every(rows: Ints) -> Match:
        found = match_all(ra[rows], dec[rows], *right_at, radius, min_arcsec=least, n_threads=threads)
        return found._replace(left_index=rows[found.left_index])

    pairs = some(pairing.k, pairing.mutual)
    counts = None
    if pairing.how != "inner":
        of_left = some(1, False) if pairing.mutual else pairs
        counts = np.zeros(len(left), np.int32)
        counts[of_left.left_index] = of_left.n_candidates
    return Found(pairs, counts, every)


_Positions = tuple[Floats, Floats]


def _at_one_epoch(left: Rows, right: Rows) -> tuple[_Positions | None, _Positions | None]:
    """Both sides' positions, where one epoch serves every pair; else None."""
    still = (left.ra, left.dec), (right.ra, right.dec)
    left_moves = np.isfinite(left.points.speed)
    if not len(left) or not len(right):
        return still
    if left_moves.all() and right.side.epoch_yr is not None:
        return left.points.moved(right.side.epoch_yr), still[1]
    if not left_moves.any() and left.side.epoch_yr is not None:
        return still[0], right.points.moved(left.side.epoch_yr) if right.side.motion else still[1]
    return None, None


def _find_by_epoch(left: Rows, right: Rows, pairing: Pairing) -> Found:
    """`find` where each pair has an epoch of its own."""
    i, j = candidates(left.points, right.points, pairing.radius_arcsec)
    separation, _ = separations(left.points.take(i), right.points.take(j))
    inside = (separation <= pairing.radius_arcsec) & (separation >= pairing.min_arcsec)
    i, j, separation = i[inside], j[inside], separation[inside]
    order = np.lexsort((j, separation, i))
    i, j, separation = i[order], j[order], separation[order]
    counts = np.bincount(i, minlength=len(left)).astype(np.int32)
    runner_up = np.full(len(left), np.nan)
    second = np.flatnonzero((i[1:] == i[:-1]) & (np.diff(i[:-1], prepend=-1) != 0)) + 1
    runner_up[i[second]] = separation[second]
    everything = Match(i, j, separation, counts[i], runner_up[i])

    def every(rows: Ints) -> Match:
        wanted = np.zeros(len(left), bool)
        wanted[rows] = True
        return everything.take(wanted[i])

    return Found(everything.take(nearest(everything, k=pairing.k, mutual=pairing.mutual)), counts, every)


def probability(left: Rows, right: Rows, found: Found, pairs: Match, pairing: Pairing) -> Floats:
    """Probability of pairs of the partition's left rows that the right row is the left one's counterpart.

    By `stellar.sky.probability`, with all candidates of a left row; `pairs` are some of those found, in their order.
    """
    result = np.empty(len(pairs.left_index))
    alone = pairs.n_candidates == 1
    result[alone] = _likely(left, right, pairs.take(alone), pairing)
    crowded = np.flatnonzero(~alone)
    for chunk in _chunks(pairs, crowded):
        some = pairs.take(chunk)
        every = found.candidates(np.unique(some.left_index))
        likely = _likely(left, right, every, pairing)
        keys, wanted = (one.left_index * len(right) + one.right_index for one in (every, some))
        order = np.argsort(keys)
        result[chunk] = likely[order[np.searchsorted(keys[order], wanted)]]
    return result


def _chunks(pairs: Match, rows: Ints) -> Iterator[Ints]:
    """Rows of `pairs` in parts whose left rows have a bounded number of candidates; a left row's are together."""
    first = np.diff(pairs.left_index[rows], prepend=-1) != 0
    load = np.cumsum(np.where(first, pairs.n_candidates[rows], 0)) // _MOST_CANDIDATES
    yield from (part for part in np.split(rows, np.flatnonzero(np.diff(load)) + 1) if len(part))


def _likely(left: Rows, right: Rows, pairs: Match, pairing: Pairing) -> Floats:
    """Probability of each of all candidates of some left rows."""
    density = local_density(left.index[pairs.left_index], right.index[right.own], DENSITY_ORDER)
    return match_probability(pairs.left_index, pairs.separation_arcsec, _sigma(left, right, pairs, pairing), density)


def _sigma(left: Rows, right: Rows, pairs: Match, pairing: Pairing) -> Floats | float:
    """Error of each pair's separation, one axis, arcsec.

    Where no side says its errors, or a row of one that does has none, the radius is taken for three times the error.
    """
    unknown = DEFAULT_SIGMA * pairing.radius_arcsec
    if not (left.side.has_sigma or right.side.has_sigma):
        return unknown
    both = []
    for rows, index in ((left, pairs.left_index), (right, pairs.right_index)):
        if rows.side.has_sigma:
            given = rows.sigma[index]
            both.append(np.where((given > 0) & np.isfinite(given), given, unknown))
        else:
            both.append(np.zeros(len(index)))
    return np.hypot(*both)
