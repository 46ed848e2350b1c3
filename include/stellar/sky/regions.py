"""Cones, boxes and polygons on the sky: ranges of the spatial index that hold them, and which points lie in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stellar.errors import InputError

from .pixels import (
    INDEX_ORDER,
    LARGEST_RADIUS,
    ROUNDING,
    SAFE_RADIUS,
    centres,
    merge_ranges,
    neighbours_of,
    spatial_index,
)

# Ranges of a cone are found with pixels this many orders below the first at which the cone fits in nine pixels.
_CONE_DETAIL = 4
# Pixels of other regions are no longer cut once this many lie across the edge.
_MOST_EDGE_PIXELS = 256
# Cosine of how far a polygon's vertices may lie from their middle: 89 degrees.
_MOST_FLAT = 0.01745

#: Which of some discs lie in a region, and which touch it.
_Parts = tuple[NDArray[np.bool_], NDArray[np.bool_]]


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
    radius = np.radians(radius_deg) + ROUNDING
    # The last order at which the cone lies in the pixel of its centre and the eight around it: the search starts there.
    first = int(np.clip(np.floor(np.log2(SAFE_RADIUS / radius)), -1, INDEX_ORDER))
    pixels = np.arange(12, dtype=np.int64)
    if first > 0:
        pixels = np.unique(neighbours_of(spatial_index(ra, dec) >> 2 * (INDEX_ORDER - first), first))
        pixels = pixels[pixels >= 0]
    finest = min(max(first + _CONE_DETAIL, 0), INDEX_ORDER)
    centre = _vectors(np.array(ra, np.float64), np.array(dec, np.float64))

    def classify(lon: NDArray[np.float64], lat: NDArray[np.float64], reach: float) -> _Parts:
        points = _vectors(lon, lat)
        # Of unit vectors, this is right to 1e-15 rad from 0 to 180 degrees.
        separation = 2 * np.arctan2(np.linalg.norm(points - centre, axis=-1), np.linalg.norm(points + centre, axis=-1))
        return separation + reach <= radius, separation <= radius + reach

    return _cover(classify, finest, start=(max(first, 0), pixels))


def box_ranges(ra_min: float, ra_max: float, dec_min: float, dec_max: float) -> NDArray[np.int64]:
    """Order 29 ranges that together hold every point of a box (`point_in_box`).

    Parameters
    ----------
    ra_min, ra_max, dec_min, dec_max : float
        Degrees. From `ra_min` eastwards to `ra_max`: over RA 0 where that is less; all around from 360 on.

    Returns
    -------
    ndarray of int64, shape (k, 2)
        Disjoint, ascending, half open; at most some hundreds. They hold somewhat more than the box.

    Raises
    ------
    InputError
        When the box is none: a bound is not finite, `dec_min` above `dec_max` or outside [-90, 90].
    """
    low, width = _box(ra_min, ra_max, dec_min, dec_max)

    def classify(lon: NDArray[np.float64], lat: NDArray[np.float64], reach: float) -> _Parts:
        slack = np.degrees(reach) + np.degrees(ROUNDING)
        # The widest that a disc becomes in longitude; one that holds a pole has every longitude.
        cosine = np.cos(np.radians(lat))
        wide = np.degrees(np.arcsin(np.minimum(np.sin(min(reach, np.pi / 2)) / np.maximum(cosine, 1e-300), 1.0)))
        wide = np.where(np.abs(lat) + slack >= 90, 180.0, wide + np.degrees(ROUNDING))
        off = np.abs(np.mod(lon - low - width / 2 + 180, 360) - 180)
        around = width >= 360
        inside = (lat - slack >= dec_min) & (lat + slack <= dec_max) & (around | (off + wide <= width / 2))
        touches = (lat + slack >= dec_min) & (lat - slack <= dec_max) & (around | (off - wide <= width / 2))
        if around:  # a cap holds its pole's surroundings whole
            inside |= ((dec_max >= 90) | (lat + slack <= dec_max)) & ((dec_min <= -90) | (lat - slack >= dec_min))
        return inside & touches, touches

    return _cover(classify)


def point_in_box(
    ra: ArrayLike, dec: ArrayLike, ra_min: float, ra_max: float, dec_min: float, dec_max: float
) -> NDArray[np.bool_]:
    """Which positions (degrees) lie in a box as `box_ranges` takes it; its edges belong to it."""
    low, width = _box(ra_min, ra_max, dec_min, dec_max)
    lon, lat = np.mod(np.asarray(ra, np.float64), 360.0), np.asarray(dec, np.float64)
    inside = (lat >= dec_min) & (lat <= dec_max)
    if width >= 360:
        return inside
    high = ra_max % 360.0
    between = (lon >= low) & (lon <= high) if low <= high else (lon >= low) | (lon <= high)
    return inside & between


def _box(ra_min: float, ra_max: float, dec_min: float, dec_max: float) -> tuple[float, float]:
    """First RA of a box in [0, 360), and its width; 360 is all around."""
    if not (np.isfinite([ra_min, ra_max]).all() and -90 <= dec_min <= dec_max <= 90):
        raise InputError(
            f"no box: ra={ra_min} to {ra_max}, dec={dec_min} to {dec_max} (degrees, ra finite, dec in [-90, 90] and "
            "the lower first)"
        )
    width = 360.0 if ra_max - ra_min >= 360 else (ra_max - ra_min) % 360.0
    return ra_min % 360.0, width


def polygon_ranges(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """Order 29 ranges that together hold every point of a polygon (`point_in_polygon`).

    Parameters
    ----------
    ra, dec : array_like, shape (n,)
        Vertices in order, either way round (degrees); the last joins the first.

    Returns
    -------
    ndarray of int64, shape (k, 2)
        Disjoint, ascending, half open; at most some hundreds. They hold somewhat more than the polygon.

    Raises
    ------
    InputError
        When there are fewer than three vertices, or they do not fit in half of the sky.
    """
    corners, _ = _polygon(ra, dec)
    following = np.roll(corners, -1, axis=0)
    along = following - corners
    normal = np.cross(corners, along)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    # Vectors are known to 1e-16, so the direction of an edge to that over its length.
    doubt = 1e-15 / np.linalg.norm(along, axis=1).min()

    def classify(lon: NDArray[np.float64], lat: NDArray[np.float64], reach: float) -> _Parts:
        points = _vectors(lon, lat)
        inside = point_in_polygon(lon, lat, ra, dec)
        nearest = np.full(len(points), np.inf)
        for a, b, n in zip(corners, following, normal, strict=True):
            # Differences from the vertices, which are small where it matters, keep their digits.
            from_a, from_b = points - a, points - b
            beside = (from_a @ np.cross(n, a) >= 0) & (from_b @ np.cross(b, n) >= 0)
            to_line = np.abs(np.arcsin(np.clip(from_a @ n, -1, 1)))
            ends = np.minimum(np.linalg.norm(from_a, axis=1), np.linalg.norm(from_b, axis=1))
            nearest = np.minimum(nearest, np.where(beside, to_line, 2 * np.arcsin(np.minimum(ends / 2, 1.0))))
        slack = reach * (1 + doubt) + ROUNDING
        return inside & (nearest > slack), inside | (nearest <= slack)

    return _cover(classify)


def point_in_polygon(ra: ArrayLike, dec: ArrayLike, polygon_ra: ArrayLike, polygon_dec: ArrayLike) -> NDArray[np.bool_]:
    """Which positions lie in a polygon whose edges are great circles.

    Vertices and positions are projected onto the plane that touches the sky at the vertices' mean, where great
    circles are straight (the gnomonic projection); a position is inside when a ray from it crosses edges an odd
    number of times. On an edge rounding decides.

    Parameters
    ----------
    ra, dec : array_like, shape (m,)
        Positions, degrees.
    polygon_ra, polygon_dec : array_like, shape (n,)
        Vertices in order, either way round, convex or not (degrees).

    Returns
    -------
    ndarray of bool, shape (m,)
    """
    corners, axes = _polygon(polygon_ra, polygon_dec)
    points = _vectors(np.asarray(ra, np.float64), np.asarray(dec, np.float64)) @ axes.T
    corners = corners @ axes.T
    front = points[:, 2] > 0
    depth = np.where(front, points[:, 2], 1.0)
    x, y = points[:, 0] / depth, points[:, 1] / depth
    inside = np.zeros(len(points), bool)
    flat = corners[:, :2] / corners[:, 2:]
    for (x1, y1), (x2, y2) in zip(flat, np.roll(flat, -1, axis=0), strict=True):
        across = (y1 > y) != (y2 > y)
        if y1 != y2:
            inside ^= across & (x < x1 + (y - y1) * ((x2 - x1) / (y2 - y1)))
    return inside & front


def _polygon(ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors of a polygon's distinct successive vertices, and the axes of its plane (the last one outwards)."""
    ra, dec = np.atleast_1d(np.asarray(ra, np.float64)), np.atleast_1d(np.asarray(dec, np.float64))
    if ra.shape != dec.shape or ra.ndim != 1 or not (np.isfinite(ra) & (np.abs(dec) <= 90)).all():
        raise InputError("no polygon: its vertices need one ra and one dec each, in degrees, dec in [-90, 90]")
    corners = _vectors(ra, dec)
    corners = corners[np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1) > ROUNDING]
    if len(corners) < 3:
        raise InputError(f"no polygon: it has {len(corners)} distinct vertices and needs three")
    middle = corners.mean(axis=0)
    size = np.linalg.norm(middle)
    if size == 0 or (corners @ (middle / size)).min() < _MOST_FLAT:
        raise InputError("no polygon: its vertices must lie within 89 degrees of their middle; cut it in parts")
    middle /= size
    east = np.cross(np.eye(3)[np.argmin(np.abs(middle))], middle)
    east /= np.linalg.norm(east)
    return corners, np.stack([east, np.cross(middle, east), middle])


def _vectors(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _cover(
    classify: Callable[[NDArray[np.float64], NDArray[np.float64], float], _Parts],
    finest: int | None = None,
    start: tuple[int, NDArray[np.int64]] | None = None,
) -> NDArray[np.int64]:
    """Ranges of a region, from pixels that are cut in four where they lie across its edge.

    `classify` is given the centres of pixels (degrees) and the radius (rad) of discs that hold them, and says which
    discs lie in the region, and which touch it. It may say that too few lie in it, and that too many touch it. `start`
    is an order and pixels of it that hold the region; all of the sky when not given.
    """
    found: list[NDArray[np.int64]] = []
    first, pixels = start or (0, np.arange(12, dtype=np.int64))
    last = INDEX_ORDER if finest is None else finest
    for order in range(first, last + 1):
        inside, touches = classify(*centres(pixels, order), LARGEST_RADIUS / 2**order)
        partly = pixels[touches & ~inside]
        done = order == last or (finest is None and len(partly) > _MOST_EDGE_PIXELS)
        whole = pixels[touches | inside] if done else pixels[inside]
        shift = 2 * (INDEX_ORDER - order)
        found.append(np.stack([whole << shift, (whole + 1) << shift], axis=1))
        if done or not len(partly):
            break
        pixels = (4 * partly[:, None] + np.arange(4)).ravel()
    return merge_ranges(np.concatenate(found))
