"""HEALPix pixels as numbers: the spatial index, centres, neighbours, and ranges of pixels (cdshealpix, nested)."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stellar.errors import InputError

INDEX_ORDER = 29
INDEX_COLUMN = "_healpix_29"
# A disc of this radius / 2**order (rad) around any point of a cell stays within the cell and its eight neighbours.
# The smallest distance from an edge of a HEALPix cell to the opposite edge falls from 0.841 rad at order 0 to
# 0.689 / 2**order (Pineau & Boch, cdshealpix, `best_starting_depth`); rounded down here.
SAFE_RADIUS = 0.68
# No point of a cell is farther from its centre than this / 2**order (rad): 0.841 at order 0, rising to 1.06897
# (`healpy.max_pixrad`, with which a test compares).
LARGEST_RADIUS = 1.0691
# Rounding of positions and of radii, rad; an order 29 pixel is 2e-9 rad wide.
ROUNDING = 1e-13
_ONE_THREAD = np.uint16(1)
_GATHER = (
    (1, 0x3333333333333333),
    (2, 0x0F0F0F0F0F0F0F0F),
    (4, 0x00FF00FF00FF00FF),
    (8, 0x0000FFFF0000FFFF),
    (16, 0x00000000FFFFFFFF),
)


def _compiled_part() -> ModuleType:
    """The compiled part of cdshealpix.

    It is loaded without the package around it, which brings astropy (half a second); imported later, the package
    takes the module that is loaded already. It cannot be loaded twice.
    """
    name = "cdshealpix.cdshealpix"
    if name not in sys.modules:
        package = find_spec("cdshealpix")
        spec = PathFinder.find_spec(name, package.submodule_search_locations) if package else None
        if spec is None or spec.loader is None:
            raise ImportError("cdshealpix is not installed; run `make install`", name=name)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


_rust: Any = _compiled_part()


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
    if ra.min() < 0 or ra.max() >= 360:
        ra = np.mod(ra, 360.0)
        ra[ra == 360] = 0.0  # what a hair below 0 is rounded to
    index = np.empty(len(ra), np.uint64)
    within = np.empty((2, len(ra)))
    order = np.full(len(ra), INDEX_ORDER, np.uint8)
    _rust.lonlat_to_healpix(order, np.radians(ra), np.radians(dec), index, *within, _ONE_THREAD)
    return index.view(np.int64)


def sky_order(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order of rows along the sky, as ``np.argsort(index, kind="stable")`` gives it, in less than half of the time.

    By the first 16 bits of what they span first, which NumPy does by counting (a radix sort), so that what is left
    to its merge sort is next to its place already.

    Parameters
    ----------
    index : ndarray of int64, shape (n,)
        Spatial index of each row, or negative.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    if len(index) < 2:
        return np.arange(len(index))
    low = int(index.min())
    # differences wrap around and are right as unsigned numbers
    above = index.view(np.uint64) - np.uint64(low & 0xFFFFFFFFFFFFFFFF)
    shift = max(0, int(above.max()).bit_length() - 16)
    order = np.argsort((above >> np.uint64(shift)).astype(np.uint16), kind="stable")
    return order[np.argsort(index[order], kind="stable")]


def centres(pixels: NDArray[np.int64], order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude (degrees) of pixels' centres.

    By the formulas of Gorski et al. (2005, ApJ 622, 759, section 5). The compiled one starts a thread at every call,
    which takes longer than this does for the few pixels of a region.
    """
    side = 1 << order
    base, within = pixels >> 2 * order, pixels & (side * side - 1)
    x, y = _even_bits(within), _even_bits(within >> 1)
    ring = (2 + base // 4) * side - x - y - 1  # 1 to 4 side - 1, from the north
    cap = np.minimum(ring, 4 * side - ring)  # rings from the nearer pole
    polar = cap < side
    # 1 - |z|, without loss near the poles
    depth = np.where(polar, (cap / side) ** 2 / 3, 1 - np.abs(2 * side - ring) * 2 / (3 * side))
    lat = np.copysign(np.degrees(np.arctan2(1 - depth, np.sqrt(depth * (2 - depth)))), 2.0 * side - ring)
    per_quarter = np.where(polar, cap, side)
    across = 2 * (base % 4) + np.where(base // 4 == 1, 0, 1)
    return np.mod(45.0 * ((across * per_quarter + x - y) / per_quarter), 360.0), lat


def _even_bits(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every second bit of numbers, from the last on, as a number."""
    bits = numbers & 0x5555555555555555
    for step, mask in _GATHER:
        bits = (bits | bits >> step) & mask
    return bits


def neighbours_of(pixels: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Pixels with the eight around them, shape (n, 9); -1 where there is none."""
    found = np.zeros((len(pixels), 9), np.int64)
    _rust.neighbours(order, pixels.astype(np.uint64), found, _ONE_THREAD)
    return found


def external_neighbours(pixels: NDArray[np.int64], order: int, finer: int) -> NDArray[np.int64]:
    """Pixels of a finer order (by `finer` orders) that touch each pixel from outside, by edge or corner.

    Shape (n, 4 * 2**finer + 4); -1 for a corner where there is none.
    """
    edge, corner = np.zeros((len(pixels), 4 << finer), np.uint64), np.zeros((len(pixels), 4), np.int64)
    _rust.external_neighbours(order, finer, pixels.astype(np.uint64), corner, edge, _ONE_THREAD)
    return np.concatenate([edge.view(np.int64), corner], axis=1)


def merge_ranges(ranges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Half-open ranges sorted, with those that touch or overlap made one."""
    if not len(ranges):
        return np.empty((0, 2), np.int64)
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ranges[:, 1])
    starts = np.concatenate([[True], ranges[1:, 0] > reach[:-1]])
    first = np.flatnonzero(starts)
    return np.stack([ranges[first, 0], reach[np.append(first[1:], len(ranges)) - 1]], axis=1)


def in_ranges(index: NDArray[np.int64], ranges: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which numbers lie in merged half-open ranges."""
    if not len(ranges):
        return np.zeros(index.shape, bool)
    at = np.searchsorted(ranges[:, 0], index, side="right") - 1
    return (at >= 0) & (index < ranges[np.maximum(at, 0), 1])
