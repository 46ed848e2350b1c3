"""HEALPix in the nested scheme: the spatial index, cells, their margins, and what cones, boxes and polygons cover.

The index is that of HATS (order 29, cdshealpix), so other tools of the field compute the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stellar.errors import InputError

from .pixels import (
    INDEX_COLUMN,
    INDEX_ORDER,
    ROUNDING,
    SAFE_RADIUS,
    external_neighbours,
    in_ranges,
    merge_ranges,
    neighbours_of,
    sky_order,
    spatial_index,
)
from .regions import box_ranges, cone_ranges, point_in_box, point_in_polygon, polygon_ranges

__all__ = [
    "INDEX_COLUMN",
    "INDEX_ORDER",
    "Cell",
    "box_ranges",
    "cells_at",
    "cone_ranges",
    "in_margin",
    "margin_mask",
    "margin_order",
    "margin_ranges",
    "merge_ranges",
    "neighbours",
    "overlapping",
    "overlapping_ranges",
    "point_in_box",
    "point_in_polygon",
    "polygon_ranges",
    "sky_order",
    "spatial_index",
]

# A margin is cut out with pixels this many orders below the cell's at most (4 x 2**10 pixels along its edge).
_FINEST_MARGIN = 10


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


def cells_at(index29: ArrayLike, order: int) -> NDArray[np.int64]:
    """Pixel of each order 29 index at a coarser order."""
    return np.asarray(index29, np.int64) >> (2 * (INDEX_ORDER - order))


def neighbours(cell: Cell) -> list[Cell]:
    """The cells of the same order that touch a cell, by edge or corner (8, or 7 and 6 at base cells' corners)."""
    found = np.unique(neighbours_of(np.array([cell.pixel]), cell.order))
    return [Cell(cell.order, int(pixel)) for pixel in found if pixel >= 0 and pixel != cell.pixel]


def margin_mask(ra: ArrayLike, dec: ArrayLike, cell: Cell, margin_arcsec: float) -> NDArray[np.bool_]:
    """Which positions outside a cell may lie within a margin of it.

    Never misses a position whose distance to the cell is at most the margin; takes some that are farther (up to a
    few margins), since it is decided by whole pixels: a position is taken when its pixel of `margin_order` touches a
    pixel of that order that shares sky with the cell. Positions in the cell are False.
    """
    return in_margin(spatial_index(ra, dec), cell, margin_arcsec)


def in_margin(index29: ArrayLike, cell: Cell, margin_arcsec: float) -> NDArray[np.bool_]:
    """`margin_mask` for rows that carry their order 29 index."""
    index = np.asarray(index29, np.int64)
    near = in_ranges(index, margin_ranges(cell, margin_arcsec)) & ~cell.contains(index)
    order = margin_order(margin_arcsec)
    if order > cell.order + _FINEST_MARGIN and near.any():
        # The ranges are of coarser pixels: what they hold is looked at pixel by pixel.
        around = neighbours_of(cells_at(index[near], order), order)
        near[near] = (around >> 2 * (order - cell.order) == cell.pixel).any(axis=1)
    return near


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


def margin_order(margin_arcsec: float) -> int:
    """The finest order at which all that is within a margin of a pixel lies in it or in its eight neighbours.

    At most 29; below 0 when the margin is wider than a base cell, so that it may reach anything.
    """
    if margin_arcsec < 0:
        raise ValueError(f"margin_arcsec must not be negative, got {margin_arcsec}")
    margin = np.radians(margin_arcsec / 3600) + ROUNDING
    return min(int(np.floor(np.log2(SAFE_RADIUS / margin))), INDEX_ORDER)


@lru_cache(maxsize=4096)
def margin_ranges(cell: Cell, margin_arcsec: float) -> NDArray[np.int64]:
    """Order 29 ranges outside a cell that together hold every point within a margin of it.

    Returns
    -------
    ndarray of int64, shape (k, 2)
        Disjoint, ascending, half open. Do not write to it: it is cached.
    """
    if margin_arcsec == 0:
        return np.empty((0, 2), np.int64)
    order = min(margin_order(margin_arcsec), cell.order + _FINEST_MARGIN)
    if order < 0:
        return np.array([[0, 12 << 2 * INDEX_ORDER]], np.int64)
    if order <= cell.order:
        pixels = neighbours_of(np.array([cell.parent(order).pixel]), order).ravel()
    else:
        pixels = external_neighbours(np.array([cell.pixel]), cell.order, order - cell.order).ravel()
    pixels = pixels[pixels >= 0]
    shift = 2 * (INDEX_ORDER - order)
    ranges = merge_ranges(np.stack([pixels << shift, (pixels + 1) << shift], axis=1))
    ranges.flags.writeable = False
    return ranges
