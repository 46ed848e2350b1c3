"""ADQL's geometries as SQL: great circles only, degrees, ICRS.

`MACROS` gives a DuckDB connection `_adql_distance` and `_adql_in_box`; polygons are the lake's own (`_in_polygon`), so
that ADQL, `stellar sql` and Python never differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stellar.errors import InputError

#: Distance of two positions, degrees: the formula of Vincenty (1975), Survey Review 23, 88, for a sphere, exact at all
#: distances. A box (ADQL 2.1, 4.2.9) has sides that are great circles and meet the arms of a cross at right angles; on
#: the plane that touches the sky at the centre (the gnomonic projection) they are the sides of a rectangle.
MACROS = (
    "CREATE OR REPLACE MACRO _adql_distance(a1, d1, a2, d2) AS degrees(atan2("
    "sqrt(pow(cos(radians(d2)) * sin(radians(a2 - a1)), 2) + pow(cos(radians(d1)) * sin(radians(d2))"
    " - sin(radians(d1)) * cos(radians(d2)) * cos(radians(a2 - a1)), 2)),"
    " sin(radians(d1)) * sin(radians(d2)) + cos(radians(d1)) * cos(radians(d2)) * cos(radians(a2 - a1))))",
    "CREATE OR REPLACE MACRO _adql_in_box(a, d, a0, d0, w, h) AS ("
    "sin(radians(d)) * sin(radians(d0)) + cos(radians(d)) * cos(radians(d0)) * cos(radians(a - a0)) > 0"
    " AND abs(cos(radians(d)) * sin(radians(a - a0))) <= tan(radians(w / 2)) *"
    " (sin(radians(d)) * sin(radians(d0)) + cos(radians(d)) * cos(radians(d0)) * cos(radians(a - a0)))"
    " AND abs(sin(radians(d)) * cos(radians(d0)) - cos(radians(d)) * sin(radians(d0)) * cos(radians(a - a0)))"
    " <= tan(radians(h / 2)) *"
    " (sin(radians(d)) * sin(radians(d0)) + cos(radians(d)) * cos(radians(d0)) * cos(radians(a - a0))))",
)
#: A box as wide as this has no sides that are great circles.
WIDEST_BOX_DEG = 180.0


@dataclass(frozen=True)
class Number:
    """A number as SQL, and its value where the query says it outright."""

    sql: str
    value: float | None = None


@dataclass(frozen=True)
class Point:
    """A position."""

    ra: Number
    dec: Number
    #: Whether both are columns of one table as they are: (source's alias, column of ra, column of dec).
    columns: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Circle:
    """All positions within a radius of a centre."""

    centre: Point
    radius: Number


@dataclass(frozen=True)
class Box:
    """What lies between two pairs of great circles around a centre."""

    centre: Point
    width: Number
    height: Number


@dataclass(frozen=True)
class Polygon:
    """Vertices in order, degrees; they are told outright."""

    ra: tuple[float, ...]
    dec: tuple[float, ...]


Geometry = Point | Circle | Box | Polygon


def contains(inner: Geometry, outer: Geometry) -> str:
    """SQL that tells whether one geometry lies wholly in another; null positions lie nowhere.

    Raises
    ------
    InputError
        For pairs that are not worked out here.
    """
    match inner, outer:
        case Point(), Point() | Circle() | Box() | Polygon():
            return _holds(inner, outer)
        case Circle(), Circle():
            gap = distance(inner.centre, outer.centre)
            return _sure(f"{gap} + {inner.radius.sql} <= {outer.radius.sql}")
        case Polygon() | Box(), Circle() if outer.radius.value is not None and outer.radius.value <= 90:
            # A circle of at most a quarter of the sky's girth is convex: with its vertices it holds the sides.
            corners = polygon_of(inner)
            points = [Point(_number(a), _number(d)) for a, d in zip(corners.ra, corners.dec, strict=True)]
            return "(" + " AND ".join(_holds(point, outer) for point in points) + ")"
    raise InputError(f"CONTAINS of a {_name(inner)} in a {_name(outer)} is not offered; ask for POINT in it")


def intersects(left: Geometry, right: Geometry) -> str:
    """SQL that tells whether two geometries have a position in common; as `contains`."""
    match left, right:
        case Point(), _:
            return _holds(left, right)
        case _, Point():
            return _holds(right, left)
        case Circle(), Circle():
            return _sure(f"{distance(left.centre, right.centre)} <= {left.radius.sql} + {right.radius.sql}")
    raise InputError(f"INTERSECTS of a {_name(left)} and a {_name(right)} is not offered; POINT and CIRCLE are")


def distance(left: Point, right: Point) -> str:
    """SQL of the angle between two positions, degrees."""
    return f"_adql_distance({left.ra.sql}, {left.dec.sql}, {right.ra.sql}, {right.dec.sql})"


def area(shape: Geometry) -> str:
    """SQL of a geometry's area, square degrees; a polygon's by its spherical excess (Girard's theorem)."""
    if isinstance(shape, Point):
        return "0.0e0"
    if isinstance(shape, Circle):
        return f"(2 * pi() * (1 - cos(radians({shape.radius.sql}))) * pow(180 / pi(), 2))"
    corners = polygon_of(shape)
    ra, dec = np.radians(corners.ra), np.radians(corners.dec)
    unit = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    before, after = np.roll(unit, 1, axis=0), np.roll(unit, -1, axis=0)
    # The turn at each vertex, with its sign; their sum is 2 pi less the area (Gauss and Bonnet).
    turn = np.arctan2(
        np.einsum("ij,ij->i", unit, np.cross(np.cross(before, unit), np.cross(unit, after))),
        np.einsum("ij,ij->i", np.cross(before, unit), np.cross(unit, after)),
    )
    excess = 2 * math.pi - abs(float(turn.sum()))
    return _number(excess * math.degrees(1) ** 2).sql


def value(shape: Geometry) -> tuple[str, str]:
    """SQL of a geometry as the list of numbers that DALI writes for it, and its xtype."""
    if isinstance(shape, Point):
        return f"[{shape.ra.sql}, {shape.dec.sql}]", "point"
    if isinstance(shape, Circle):
        return f"[{shape.centre.ra.sql}, {shape.centre.dec.sql}, {shape.radius.sql}]", "circle"
    corners = polygon_of(shape)
    numbers = [_number(x).sql for pair in zip(corners.ra, corners.dec, strict=True) for x in pair]
    return f"[{', '.join(numbers)}]", "polygon"


def region(shape: Geometry, dataset: str) -> str | None:
    """The lake's table function over a dataset's rows in a geometry that is told outright; None where it is not.

    Its rows are exactly those whose position lies in the geometry.
    """
    name = "'" + dataset.replace("'", "''") + "'"
    if isinstance(shape, Circle):
        numbers = (shape.centre.ra.value, shape.centre.dec.value, shape.radius.value)
        if any(number is None for number in numbers) or not 0 <= (numbers[2] or 0) <= 180:
            return None
        return f"cone({name}, {', '.join(_number(number or 0.0).sql for number in numbers)})"
    if isinstance(shape, Polygon):
        return f"polygon({name}, {_lists(shape)})"
    return None


def polygon_of(shape: Geometry) -> Polygon:
    """The polygon of the same sides; of a box, whose corners are (tan w/2, tan h/2) on the plane at its centre.

    Raises
    ------
    InputError
        When its numbers are not told outright.
    """
    if isinstance(shape, Polygon):
        return shape
    numbers = (
        (shape.centre.ra.value, shape.centre.dec.value, shape.width.value, shape.height.value)
        if isinstance(shape, Box)
        else (None,)
    )
    if any(number is None for number in numbers):
        raise InputError(f"a {_name(shape)} can be used here only with numbers in it, not with columns")
    ra, dec, width, height = (math.radians(number or 0.0) for number in numbers)
    pole = np.array([math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)])
    east = np.array([-math.sin(ra), math.cos(ra), 0.0])
    north = np.cross(pole, east)
    x, y = math.tan(width / 2), math.tan(height / 2)
    corners = [pole + east * a + north * b for a, b in ((-x, -y), (x, -y), (x, y), (-x, y))]
    made = [
        (math.degrees(math.atan2(c[1], c[0])) % 360, math.degrees(math.atan2(c[2], np.hypot(*c[:2])))) for c in corners
    ]
    return Polygon(tuple(a for a, _ in made), tuple(d for _, d in made))


def _holds(point: Point, outer: Geometry) -> str:
    if isinstance(outer, Point):
        return _sure(f"{distance(point, outer)} = 0")
    if isinstance(outer, Circle):
        return _sure(f"{distance(point, outer.centre)} <= {outer.radius.sql}")
    if isinstance(outer, Box):
        middle = f"{outer.centre.ra.sql}, {outer.centre.dec.sql}, {outer.width.sql}, {outer.height.sql}"
        return _sure(f"_adql_in_box({point.ra.sql}, {point.dec.sql}, {middle})")
    return _sure(f"_in_polygon({point.ra.sql}, {point.dec.sql}, {_lists(outer)})")


def _lists(shape: Polygon) -> str:
    return ", ".join(f"[{', '.join(_number(x).sql for x in values)}]" for values in (shape.ra, shape.dec))


def _sure(condition: str) -> str:
    return f"coalesce({condition}, false)"


def _number(value: float) -> Number:
    return Number(f"{float(value)!r}::DOUBLE", float(value))


def _name(shape: Geometry) -> str:
    return type(shape).__name__.upper()
