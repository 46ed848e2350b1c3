"""How far rows move between the epochs of two catalogues: what margins have to cover beyond the radius."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stellar.catalog.epochs import Points, julian_year
from stellar.catalog.pairing import Pairing, Side
from stellar.flow.sides import Source
from stellar.lake.ranges import ranges


class Mover(NamedTuple):
    """A side with motions, and how many years lie at most between its rows' epochs and the other side's."""

    source: Source
    side: Side
    years: float


def largest_motion(sources: Sequence[Source], pairing: Pairing) -> float:
    """No row is moved farther than this, arcsec.

    By the extremes of the columns, from the files' footers; where these ask for more than the margins that are kept,
    by every row.
    """
    movers = _movers(sources, pairing)
    quick = max((_by_extremes(one) for one in movers), default=0.0)
    needed = zip(sources, pairing.reaches(quick), strict=True)
    if all(source.margin_arcsec >= reach for source, reach in needed if source.margin_arcsec):
        return quick
    return max((_by_rows(one) for one in movers), default=0.0)


def _movers(sources: Sequence[Source], pairing: Pairing) -> list[Mover]:
    sides = (pairing.left, pairing.right)
    first, second = (_years(source, side) for source, side in zip(sources, sides, strict=True))
    apart = max(abs(second[1] - first[0]), abs(first[1] - second[0]))
    return [Mover(source, side, apart) for source, side in zip(sources, sides, strict=True) if side.motion]


def _years(source: Source, side: Side) -> tuple[float, float]:
    """Between which Julian years a side was seen."""
    if side.epoch_column is None:
        return side.epoch_yr or 0.0, side.epoch_yr or 0.0
    low, high = ranges(source.catalog, [side.epoch_column])[side.epoch_column]
    return (float(julian_year(low)), float(julian_year(high))) if side.epoch_is_mjd else (low, high)


def _by_extremes(mover: Mover) -> float:
    found = ranges(mover.source.catalog, mover.side.motion)
    return _reach([np.array([max(map(abs, found[name]))]) for name in mover.side.motion], mover.years)


def _by_rows(mover: Mover) -> float:
    catalog, names = mover.source.catalog, list(mover.side.motion)
    return max(
        _reach([table[name].cast(pa.float64()).to_numpy() for name in names], mover.years)
        for table in (catalog.read(cell, names) for cell in catalog.cells)
    )


def _reach(motion: Sequence[NDArray[np.float64]], years: float) -> float:
    known = np.isfinite(motion[0]) & np.isfinite(motion[1])
    pmra, pmdec, *space = (np.where(known, column, 0.0) for column in motion)
    nothing = np.zeros(len(known))
    points = Points(nothing, nothing, nothing, pmra, pmdec, *space)
    return float(points.reach(years).max(initial=0.0))
