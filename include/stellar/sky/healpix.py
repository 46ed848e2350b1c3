"""HEALPix in the nested scheme: the spatial index, cells, their margins, and what a cone covers.

The index is that of HATS (order 29, cdshealpix), so other tools of the field compute the same numbers. cdshealpix
brings astropy with it (0.9 s), so it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stellar.errors import InputError

from .separation import separation_deg

INDEX_ORDER = 29
INDEX_COLUMN = "_healpix_29"
# A disc of this radius / 2**order (rad) around any point of a cell stays within the cell and its eight neighbours.
# The smallest distance from an edge of a HEALPix cell to the opposite edge falls from 0.841 rad at order 0 to
# 0.689 / 2**order (Pineau & Boch, cdshealpix, `best_starting_depth`); rounded down here.
_SAFE_RADIUS = 0.68
# A margin is cut out with pixels this many orders below the cell's at most (4 x 2**10 pixels along its edge).
_FINEST_MARGIN = 10
# No point of a cell is farther from its centre than this / 2**order (rad): 0.841 at order 0, rising to 1.06897
# (`healpy.max_pixrad`, with which a test compares).
_LARGEST_RADIUS = 1.0691
# Ranges of a cone are found with pixels this many orders below the first at which the cone fits in nine pixels.
_CONE_DETAIL = 4
# Rounding of positions and of cone radii, rad; an order 29 pixel is 2e-9 rad wide.
_ROUNDING = 1e-13


class Cell(NamedTuple):
    """A HEALPix pixel of some order (0 to 29), nested numbering."""

    order: int
    pixel: int

    def __str__(self) -> str:
        return f"Norder={self.order}/Npix={self.pixel}"

    @classmethod
    def parse(cls, name: str) -> Cell:
        """The cell whose `str` is `name`."""
        try:
            order, pixel = (int(part.partition("=")[2]) for part in name.split("/"))
        except ValueError as error:
            raise InputError(f"not a cell's name: {name!r}; expected like 'Norder=3/Npix=123'") from error
        return cls(order, pixel)

    def path(self) -> str:
        """Path of the cell's file under `dataset/`, as HATS lays them out (10,000 pixels per folder)."""
        return f"Norder={self.order}/Dir={self.pixel // 10_000 * 10_000}/Npix={self.pixel}.parquet"

    def range29(self) -> tuple[int, int]:
        """First order 29 index in the cell, and the first one beyond it."""
        shift = 2 * (INDEX_ORDER - self.order)
        return self.pixel << shift, (self.pixel + 1) << shift

    def contains(self, index29: ArrayLike) -> NDArray[np.bool_]:
        """Which order 29 indices lie in the cell."""
        low, high = self.range29()
        index = np.asarray(index29, np.int64)
        return (index >= low) & (index < high)

    def parent(self, order: int) -> Cell:
        """The cell of a coarser (or the same) order that this one lies in."""
        if order > self.order:
            raise ValueError(f"{self} has no parent of order {order}")
        return Cell(order, self.pixel >> 2 * (self.order - order))


def spatial_index(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """Order 29 nested HEALPix index of positions (`_healpix_29`).

    Parameters
    ----------
    ra, dec : array_like, shape (n,)
        Degrees; RA is wrapped into [0, 360).

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    InputError
        When a position is not finite or a declination is outside [-90, 90]; names the first such row.
    """
    ra, dec = np.atleast_1d(np.asarray(ra, np.float64)), np.atleast_1d(np.asarray(dec, np.float64))
    if not len(ra):
        return np.empty(0, np.int64)
    bad = ~(np.isfinite(ra) & (np.abs(dec) <= 90))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{int(bad.sum())} of {len(ra)} positions are not on the sky; first is row {row}: ra={ra[row]}, "
            f"dec={dec[row]} (degrees, ra finite, dec in [-90, 90])"
        )
    import cdshealpix
    from astropy import units as u
    from astropy.coordinates import Latitude, Longitude

    index = cdshealpix.lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), INDEX_ORDER, num_threads=1)
    return index.astype(np.int64)


def cells_at(index29: ArrayLike, order: int) -> NDArray[np.int64]:
    """Pixel of each order 29 index at a coarser order."""
    return np.asarray(index29, np.int64) >> (2 * (INDEX_ORDER - order))


def neighbours(cell: Cell) -> list[Cell]:
    """The cells of the same order that touch a cell, by edge or corner (8, or 7 and 6 at base cells' corners)."""
    import cdshealpix

    found = np.unique(cdshealpix.neighbours(cell.pixel, cell.order, num_threads=1))
    return [Cell(cell.order, int(pixel)) for pixel in found if pixel >= 0 and pixel != cell.pixel]


def margin_mask(ra: ArrayLike, dec: ArrayLike, cell: Cell, margin_arcsec: float) -> NDArray[np.bool_]:
    """Which positions outside a cell may lie within a margin of it.

    Never misses a position whose distance to the cell is at most the margin; takes some that are farther (up to a
    few margins, or a thousandth of the cell's width), since it is decided by whole pixels around the cell.
    Positions in the cell are False.
    """
    return in_margin(spatial_index(ra, dec), cell, margin_arcsec)


def in_margin(index29: ArrayLike, cell: Cell, margin_arcsec: float) -> NDArray[np.bool_]:
    """`margin_mask` for rows that carry their order 29 index."""
    index = np.asarray(index29, np.int64)
    return _in_ranges(index, margin_ranges(cell, margin_arcsec)) & ~cell.contains(index)


def overlapping(cells: Iterable[Cell], cell: Cell, margin_arcsec: float = 0.0) -> list[Cell]:
    """Those of `cells` (of any orders) that share sky with a cell or with its margin, in their order on the sky."""
    wanted = np.vstack([np.array([cell.range29()], np.int64), margin_ranges(cell, margin_arcsec)])
    return overlapping_ranges(cells, merge_ranges(wanted))


def overlapping_ranges(cells: Iterable[Cell], ranges: NDArray[np.int64]) -> list[Cell]:
    """Those of `cells` that share sky with merged ranges of order 29 indices, in their order on the sky."""
    ordered = sorted(cells, key=Cell.range29)
    if not ordered or not len(ranges):
        return []
    bounds = np.array([c.range29() for c in ordered], np.int64)
    # The first range that ends beyond the cell's start must begin before the cell's end.
    first = np.searchsorted(ranges[:, 1], bounds[:, 0], side="right")
    starts = np.append(ranges[:, 0], np.iinfo(np.int64).max)
    return [c for c, hit in zip(ordered, starts[first] < bounds[:, 1], strict=True) if hit]


@lru_cache(maxsize=4096)
def margin_ranges(cell: Cell, margin_arcsec: float) -> NDArray[np.int64]:
    """Order 29 ranges outside a cell that together hold every point within a margin of it.

    Returns
    -------
    ndarray of int64, shape (k, 2)
        Disjoint, ascending, half open. Do not write to it: it is cached.
    """
    if margin_arcsec < 0:
        raise ValueError(f"margin_arcsec must not be negative, got {margin_arcsec}")
    if margin_arcsec == 0:
        return np.empty((0, 2), np.int64)
    margin = np.radians(margin_arcsec / 3600) + _ROUNDING
    order = int(np.floor(np.log2(_SAFE_RADIUS / margin)))
    if order < 0:
        return np.array([[0, 12 << 2 * INDEX_ORDER]], np.int64)
    order = min(order, cell.order + _FINEST_MARGIN, INDEX_ORDER)
    import cdshealpix

    if order <= cell.order:
        pixels = np.unique(cdshealpix.neighbours(cell.parent(order).pixel, order, num_threads=1))
    else:
        edge, corner = cdshealpix.external_neighbours(cell.pixel, cell.order, order - cell.order, num_threads=1)
        pixels = np.unique(np.concatenate([edge.astype(np.int64).ravel(), corner.ravel()]))
    pixels = pixels[pixels >= 0]
    shift = 2 * (INDEX_ORDER - order)
    ranges = merge_ranges(np.stack([pixels << shift, (pixels + 1) << shift], axis=1))
    ranges.flags.writeable = False
    return ranges


def cone_ranges(ra: float, dec: float, radius_deg: float) -> NDArray[np.int64]:
    """Order 29 ranges that together hold every point of a cone.

    Parameters
    ----------
    ra, dec, radius_deg : float
        Degrees.

    Returns
    -------
    ndarray of int64, shape (k, 2)
        Disjoint, ascending, half open; at most a few hundred. They hold somewhat more than the cone.

    Raises
    ------
    InputError
        When the centre is not on the sky or the radius is not in [0, 180].
    """
    if not (np.isfinite(ra) and abs(dec) <= 90 and 0 <= radius_deg <= 180):
        raise InputError(
            f"no cone: ra={ra}, dec={dec}, radius_deg={radius_deg} (degrees, dec in [-90, 90], radius in [0, 180])"
        )
    radius = np.radians(radius_deg) + _ROUNDING
    finest = int(np.clip(np.floor(np.log2(_SAFE_RADIUS / radius)) + _CONE_DETAIL, 0, INDEX_ORDER))
    inside: list[NDArray[np.int64]] = []
    pixels = np.arange(12, dtype=np.int64)
    for order in range(finest + 1):
        separation, reach = _centre_separation(pixels, order, ra, dec), _LARGEST_RADIUS / 2**order
        whole = (separation + reach <= radius) if order < finest else (separation <= radius + reach)
        shift = 2 * (INDEX_ORDER - order)
        inside.append(np.stack([pixels[whole] << shift, (pixels[whole] + 1) << shift], axis=1))
        partly = pixels[~whole & (separation <= radius + reach)]
        pixels = (4 * partly[:, None] + np.arange(4)).ravel()
    return merge_ranges(np.concatenate(inside))


def _centre_separation(pixels: NDArray[np.int64], order: int, ra: float, dec: float) -> NDArray[np.float64]:
    """Separation (rad) of pixels' centres from a position."""
    import cdshealpix

    lon, lat = cdshealpix.healpix_to_lonlat(pixels, order, num_threads=1)
    return np.radians(separation_deg(ra, dec, lon.deg, lat.deg))


def merge_ranges(ranges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Half-open ranges sorted, with those that touch or overlap made one."""
    if not len(ranges):
        return np.empty((0, 2), np.int64)
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ranges[:, 1])
    starts = np.concatenate([[True], ranges[1:, 0] > reach[:-1]])
    first = np.flatnonzero(starts)
    return np.stack([ranges[first, 0], reach[np.append(first[1:], len(ranges)) - 1]], axis=1)


def _in_ranges(index: NDArray[np.int64], ranges: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(ranges):
        return np.zeros(index.shape, bool)
    at = np.searchsorted(ranges[:, 0], index, side="right") - 1
    return (at >= 0) & (index < ranges[np.maximum(at, 0), 1])
