"""Pairs of rows that were seen at different epochs: which to look at, and how far apart they are.

Of a pair, the row with proper motion is moved to the other row's own epoch; the left one where both have it. A row
without an epoch, or without proper motion, stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stellar.sky.match import match_all
from stellar.sky.motion import propagate
from stellar.sky.separation import separation_arcsec

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Rows are searched in groups by how far they may have moved, arcsec: a wide search only for the few fast ones.
_MOTION_GROUPS = (0.0, 0.5, 5.0, 50.0, np.inf)
# The bound on a motion is linear in time, the motion itself a tangent's: they differ by less than this.
_SLACK = 1.001
_EPSILON = 1e-3  # arcsec; candidates are gathered this much wider than needed
#: 1 mas of parallax and 1 km/s of radial velocity change a distance by this part a year: km/s in au/yr over 1 pc in au.
APPROACH_PER_YEAR = 0.2109495 / 206_264_806.2
_MJD_2000, _DAYS_PER_YEAR = 51_544.5, 365.25


def julian_year(mjd: Floats | float) -> Floats | float:
    """Julian year of a Modified Julian Date."""
    return 2000.0 + (mjd - _MJD_2000) / _DAYS_PER_YEAR


@dataclass(frozen=True)
class Points:
    """Positions of n rows that may move: degrees, Julian years, mas/yr, mas, km/s; NaN where unknown.

    `parallax` and `velocity` are None where there is no such column.
    """

    ra: Floats
    dec: Floats
    epoch_yr: Floats
    pmra: Floats
    pmdec: Floats
    parallax: Floats | None = None
    velocity: Floats | None = None

    def __len__(self) -> int:
        return len(self.ra)

    @property
    def speed(self) -> Floats:
        """Proper motion in arcsec/yr, NaN where unknown, shape (n,)."""
        return np.hypot(self.pmra, self.pmdec) / 1000.0

    @property
    def approach(self) -> Floats:
        """Largest relative change of distance per year, by radial velocity; 0 where unknown."""
        if self.parallax is None or self.velocity is None:
            return np.zeros(len(self))
        return np.abs(np.nan_to_num(self.parallax * self.velocity)) * APPROACH_PER_YEAR

    def take(self, index: Ints) -> Points:
        """Some of the rows."""
        return Points(*(None if one is None else one[index] for one in self._columns()))  # type: ignore[arg-type]

    def moved(self, to_yr: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Positions at another epoch (one, or one per row), degrees."""
        return propagate(
            self.ra, self.dec, self.pmra, self.pmdec, self.epoch_yr, to_yr, *_given(self.parallax, self.velocity)
        )

    def reach(self, years: npt.ArrayLike, begin: npt.ArrayLike = 0.0) -> Floats:
        """No row moves farther than this in some years that begin that long from its epoch, arcsec, shape (n,)."""
        years, begin = (np.abs(np.nan_to_num(np.asarray(x, np.float64))) for x in (years, begin))
        nearer = np.maximum(1.0 - self.approach * (begin + years), 1e-3)  # a star that comes nearer moves faster
        return np.nan_to_num(self.speed) * years * _SLACK / nearer**2

    def _columns(self) -> tuple[Floats | None, ...]:
        return (self.ra, self.dec, self.epoch_yr, self.pmra, self.pmdec, self.parallax, self.velocity)


def _given(parallax: Floats | None, velocity: Floats | None) -> tuple[Floats, ...]:
    return () if parallax is None or velocity is None else (parallax, velocity)


def _near(ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats, radius: float) -> tuple[Ints, Ints]:
    found = match_all(ra1, dec1, ra2, dec2, radius)
    return found.left_index, found.right_index


def candidates(left: Points, right: Points, radius_arcsec: float) -> tuple[Ints, Ints]:
    """Index pairs that hold every pair within the radius at its own epoch, each once, and few others."""
    if not len(left) or not len(right):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    known = np.isfinite(left.speed)
    found = [
        _search(left, np.flatnonzero(known), right, np.arange(len(right)), radius_arcsec),
        _search(right, np.arange(len(right)), left, np.flatnonzero(~known), radius_arcsec)[::-1],
    ]
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def _search(moving: Points, moving_rows: Ints, still: Points, still_rows: Ints, radius: float) -> tuple[Ints, Ints]:
    """Candidates when rows of `moving` go to the epochs of `still`: first to the middle epoch, then a bit wider."""
    found_moving, found_still = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    if len(moving_rows) and len(still_rows):
        mover, rest = moving.take(moving_rows), still.take(still_rows)
        known = rest.epoch_yr[np.isfinite(rest.epoch_yr)]
        middle = float(np.median(known)) if len(known) else np.nan
        ra, dec = mover.moved(middle)
        spread = float(np.max(np.abs(known - middle))) if len(known) else 0.0
        if len(known) < len(rest.epoch_yr):  # a row without an epoch is met where the mover is now
            spread = max(spread, float(np.nanmax(np.abs(mover.epoch_yr - middle), initial=0.0)))
        bound = mover.reach(spread, middle - mover.epoch_yr)
        for low, high in pairwise(_MOTION_GROUPS):
            group = np.flatnonzero((bound >= low) & (bound < high))
            if not len(group):
                continue
            wide = radius + float(bound[group].max()) + _EPSILON
            i, j = _near(ra[group], dec[group], rest.ra, rest.dec, min(wide, 648_000.0))
            found_moving.append(moving_rows[group[i]])
            found_still.append(still_rows[j])
    return np.concatenate(found_moving), np.concatenate(found_still)


def separations(left: Points, right: Points) -> tuple[Floats, Floats]:
    """Separation of row pairs at the pair's epoch, and how far the moving row travelled; arcsec, shape (n,)."""
    left_moves = np.isfinite(left.speed)
    ra_left, dec_left = left.moved(right.epoch_yr)
    ra_right, dec_right = right.moved(left.epoch_yr)
    separation = np.where(
        left_moves,
        separation_arcsec(ra_left, dec_left, right.ra, right.dec),
        separation_arcsec(left.ra, left.dec, ra_right, dec_right),
    )
    years = np.nan_to_num(np.abs(left.epoch_yr - right.epoch_yr))
    return separation, years * np.where(left_moves, left.speed, np.nan_to_num(right.speed))
