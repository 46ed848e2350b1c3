"""The right side of a cross-match, sorted into the bins of a grid on the sky.

Zones of equal height in declination, each cut into bins of about that width in right ascension; a bin holds one row on
average. Rows are put in order of their bins by counting, so making the grid is linear in the rows. Where rows crowd
into few bins (clusters, the Magellanic Clouds, a thousand rows at the same spot) those bins have trees.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .native import call

# Rows in a bin, on average.
_LOAD = 1.0
# A bin with more rows than this has a tree, where bins are this many times wider than the radius.
DENSE = 64
_WIDE = 4.0
# Bounds in degrees are widened by these, far more than their rounding errors.
_RELATIVE, _ABSOLUTE = 1e-9, 1e-9
RA_ROUNDING = 1e-15
_MAX_ROWS = np.iinfo(np.int32).max
# Ranges of a tree that wait to be looked into: of a range two, halved down to a few of 2**31 points.
DEPTH = 80
# Left rows that a search takes at a time, and candidates that it gathers before their separations are taken.
BLOCK, GATHER = 256, 4096


class Grid(NamedTuple):
    """Rows in the order of their bins, and how to find a bin.

    Zone `z` begins at declination ``dec_origin + z / zones_per_degree`` and holds the bins
    ``zone_bin[z]:zone_bin[z + 1]``, ``bins_per_degree[z]`` of them per degree of RA east of `ra_origin`; all rows lie
    within `ra_span` of it. Rows of bin `b` are ``start[b]:start[b + 1]`` of `position` (ra, dec) and `row` (index in
    the caller's arrays, ascending within a bin).

    A left row of declination `dec` can only have partners within `dec_reach` of it, and within
    ``ra_reach[(dec - dec_origin) * zones_per_degree + reach_origin]`` in RA. The last six are the trees (`dense`).
    """

    position: NDArray[np.float64]
    row: NDArray[np.int32]
    start: NDArray[np.int32]
    zone_bin: NDArray[np.int64]
    bins_per_degree: NDArray[np.float64]
    ra_reach: NDArray[np.float64]
    dec_origin: float
    dec_last: float
    zones_per_degree: float
    ra_origin: float
    ra_span: float
    dec_reach: float
    reach_origin: int
    tree_bin: NDArray[np.int32]
    tree_start: NDArray[np.int32]
    point_x: NDArray[np.float64]
    point_dec: NDArray[np.float64]
    point_first: NDArray[np.int32]
    point_count: NDArray[np.int32]


class Scratch(NamedTuple):
    """What a search writes down for itself; each thread has its own (`scratch_for`).

    Of the left rows of a block: number, end of its candidates, range of rows of the grid, reach in RA. Of candidates:
    positions and separation (`near`), place in the grid and number of rows there (`where`). Of one left row: runs of
    rows, windows of trees. Of one tree: ranges to look into, points found.
    """

    line: NDArray[np.int64]
    last: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    reach: NDArray[np.float64]
    near: NDArray[np.float64]
    where: NDArray[np.int32]
    run: NDArray[np.int64]
    window: NDArray[np.float64]
    stack: NDArray[np.int64]
    found: NDArray[np.int32]


def scratch_for(grid: Grid, candidates: int = GATHER) -> Scratch:
    """Room for a search; `candidates` is how many one left row may have, if more than usual."""
    # a cap touches six zones at most (`_layout`), each in two ranges of bins; every tree may cut one in two
    runs, room = 12 + 2 * len(grid.tree_bin), 2 * max(candidates, GATHER)
    return Scratch(
        *(np.empty(BLOCK, np.int64) for _ in range(4)),
        np.empty(BLOCK),
        np.empty((5, room)),
        np.empty((2, room), np.int32),
        np.empty((runs, 2), np.int64),
        np.empty((runs, 2)),
        np.empty((DEPTH, 3), np.int64),
        np.empty(len(grid.point_x), np.int32),
    )


def build_grid(ra: NDArray[np.float64], dec: NDArray[np.float64], radius_deg: float) -> Grid | None:
    """Grid of positions for searches within a radius; None when no position is on the sky.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (m,)
        Degrees, contiguous. Positions that are not finite, or not on the sky, are left out.
    radius_deg : float

    Raises
    ------
    ValueError
        When there are more than 2**31 - 1 positions.
    """
    if len(ra) > _MAX_ROWS:
        raise ValueError(f"{len(ra):,} right rows are too many for one search; match the sky in cells")
    occupied = np.zeros(360, np.int8)
    count, dec_low, dec_high, farthest = call("survey", ra, dec, occupied)
    n = int(count)
    if not n:
        return None
    reach = radius_deg * (1 + _RELATIVE) + 1e-13
    ra_origin, ra_span = _occupied_span(occupied)
    height, bins = _layout(n, dec_low, dec_high, ra_span, reach)
    zone_bin = np.zeros(len(bins) + 1, np.int64)
    np.cumsum(bins, out=zone_bin[1:])
    start = np.zeros(zone_bin[-1] + 2, np.int32)
    position, row = np.empty((n, 2)), np.empty(n, np.int32)
    bin_of_row = np.empty(len(ra), np.int32)
    rows = bin_of_row, position, row, start
    call("fill", ra, dec, zone_bin, bins / ra_span, dec_low, 1 / height, ra_origin, *rows)
    start = start[:-1]
    below = int(np.ceil(reach / height)) + 1
    return Grid(
        position,
        row,
        start,
        zone_bin,
        bins / ra_span,
        _ra_reach(dec_low + height * np.arange(-below, len(bins) + below + 1), reach) + RA_ROUNDING * farthest,
        dec_low,
        dec_high,
        1 / height,
        ra_origin,
        ra_span,
        reach,
        below,
        *_trees(position, row, start, ra_origin, crowds=height > _WIDE * reach),
    )


def _occupied_span(occupied: NDArray[np.int8]) -> tuple[float, float]:
    """Origin and length (degrees) of the shortest range of RA that holds all rows."""
    degrees = np.flatnonzero(occupied)
    gaps = np.diff(degrees, append=degrees[0] + 360)
    widest = int(np.argmax(gaps))
    return float((degrees[widest] + gaps[widest]) % 360), float(361 - gaps[widest])


def _layout(n: int, dec_low: float, dec_high: float, ra_span: float, reach: float) -> tuple[float, NDArray[np.int64]]:
    """Height of the zones (degrees), and how many bins each has: about as many in all as there are rows, at most."""
    area = ra_span * float(np.degrees(np.sin(np.radians(dec_high)) - np.sin(np.radians(dec_low))))
    height = max(np.sqrt(area * _LOAD / n), (dec_high - dec_low) * _LOAD / n, reach / 2, _ABSOLUTE)
    zones = int((dec_high - dec_low) / height) + 1
    middles = np.minimum(np.abs(dec_low + height * (np.arange(zones) + 0.5)), 90.0)
    lengths = ra_span * np.cos(np.radians(middles))
    width = max(height, float(lengths.sum()) * _LOAD / n)
    return height, np.maximum(1, lengths / width).astype(np.int64)


def _ra_reach(edges: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """How far in RA (degrees) a cap of radius `reach` extends, at most, from a centre between two declinations.

    asin(sin(reach) / cos(dec)), from the right triangle of pole, centre and the point where a meridian touches the
    cap; all of the circle when the cap holds a pole.
    """
    dec = np.maximum(np.abs(edges[:-1]), np.abs(edges[1:])) + _ABSOLUTE
    whole = dec + reach >= 90 - 1e-6
    ratio = np.sin(np.radians(min(reach, 90.0))) / np.cos(np.radians(np.where(whole, 0.0, dec)))
    return np.where(whole, 360.0, np.degrees(np.arcsin(np.minimum(ratio, 1.0))) * (1 + _RELATIVE) + _ABSOLUTE)


def _trees(
    position: NDArray[np.float64], row: NDArray[np.int32], start: NDArray[np.int32], ra_origin: float, *, crowds: bool
) -> tuple[Any, ...]:
    bins, rows = call("crowded", start, DENSE) if crowds else (0, 0)
    points = [np.empty(rows, t) for t in (np.float64, np.float64, np.int32, np.int32)]
    trees = [np.empty(bins, np.int32), np.zeros(bins + 1, np.int32)]
    if bins:
        stack = np.empty((DEPTH, 3), np.int64)
        call("grow_trees", position, row, start, DENSE, ra_origin, *trees, *points, stack)
    return *trees, *points
