"""Boxes and polygons: exact filters against other definitions, and covers that miss nothing and are close-fitting."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.sky import healpix as hp
from stellar.sky.separation import separation_deg

SKY_DEG2 = 41252.96
RA = st.floats(0, 360)
DEC = st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 0.0]))


def held(ranges: np.ndarray, ra: np.ndarray, dec: np.ndarray) -> bool:
    """Whether ranges are well-formed and hold all positions."""
    assert (ranges[1:, 0] > ranges[:-1, 1]).all() and (ranges[:, 0] < ranges[:, 1]).all()
    index = hp.spatial_index(ra, dec)
    at = np.searchsorted(ranges[:, 0], index, side="right") - 1
    return bool((at >= 0).all() and (index < ranges[at, 1]).all())


def area(ranges: np.ndarray) -> float:
    return float(np.diff(ranges).sum()) / (12 << 58) * SKY_DEG2


def vectors(ra, dec) -> np.ndarray:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def around(ra: float, dec: float, radius_deg, bearing_deg) -> tuple[np.ndarray, np.ndarray]:
    """Positions at distances and bearings (north through east) from a centre."""
    angle, bearing = np.radians(radius_deg)[:, None], np.radians(bearing_deg)[:, None]
    lon, lat = np.radians(ra), np.radians(dec)
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    there = np.cos(angle) * vectors(ra, dec) + np.sin(angle) * (np.cos(bearing) * north + np.sin(bearing) * east)
    x, y, z = there.T
    return np.mod(np.degrees(np.arctan2(y, x)), 360), np.degrees(np.arctan2(z, np.hypot(x, y)))


@settings(deadline=None)
@given(RA, st.one_of(st.floats(-8, 2.56).map(lambda e: 10**e), st.just(360.0)), DEC, DEC, st.integers(0, 2**32 - 1))
def test_a_boxs_ranges_hold_every_point_of_it(ra, width, dec1, dec2, seed):
    low, high = sorted((dec1, dec2))
    random = np.random.default_rng(seed)
    fraction = np.concatenate([[0, 1, 0, 1], random.uniform(0, 1, 300)])
    lon = ra + fraction * min(width, 360.0)
    lat = low + np.concatenate([[0, 0, 1, 1], random.uniform(0, 1, 300)]) * (high - low)
    lat = np.clip(lat, low, high)
    inside = hp.point_in_box(lon, lat, ra, ra + width, low, high)
    assert inside[4:].mean() > 0.9 or width < 1e-6
    assert held(hp.box_ranges(ra, ra + width, low, high), lon[inside], lat[inside])


def test_boxes_wrap_and_their_edges_belong_to_them():
    ra = [359.0, 350.0, 10.0, 10.1, 349.9, 0.0, -5.0]
    assert hp.point_in_box(ra, np.zeros(7), 350, 10, 0, 0).tolist() == [True, True, True, False, False, True, True]
    assert hp.point_in_box(ra, np.zeros(7), -10, 10, 0, 0).tolist() == [True, True, True, False, False, True, True]
    assert hp.point_in_box(ra, np.zeros(7), 0, 360, -1, 1).all()
    assert hp.point_in_box([20.0, 19.9], [0.0, 0.0], 20, 20, -1, 1).tolist() == [True, False]
    assert not hp.point_in_box([5.0, 5.0], [1.1, -0.1], 0, 10, 0, 1).any()


def test_covers_of_boxes_are_few_ranges_and_close_fitting():
    for box, true in (
        ((10, 20, 0, 5), 10 * np.degrees(np.sin(np.radians(5)))),
        ((355, 5, -2, 2), 20 * np.degrees(np.sin(np.radians(2)))),
        ((0, 360, 80, 90), 360 * np.degrees(1 - np.sin(np.radians(80)))),
    ):
        ranges = hp.box_ranges(*box)
        assert true < area(ranges) < 1.3 * true and len(ranges) < 700
    assert area(hp.box_ranges(0, 360, -90, 90)) == pytest.approx(SKY_DEG2)


@pytest.mark.parametrize("box", [(np.nan, 1, 0, 1), (0, 1, 2, 1), (0, 1, -91, 0), (0, 1, 0, np.nan)])
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(InputError, match="no box"):
        hp.box_ranges(*box)
    with pytest.raises(InputError, match="no box"):
        hp.point_in_box([1.0], [1.0], *box)


@settings(deadline=None)
@example(14.0, 15.0, -6.5, 6, 2)
@given(RA, DEC, st.floats(-7, 1.7), st.integers(3, 8), st.integers(0, 2**32 - 1))
def test_a_convex_polygon_is_where_all_its_edges_say_so(ra, dec, log_radius, n, seed):
    """Vertices on a small circle, at most 50 degrees wide: each edge's great circle has the inside on one side."""
    random = np.random.default_rng(seed)
    radius = 10.0**log_radius
    bearing = np.sort(np.linspace(0, 360, n, endpoint=False) + random.uniform(0, 100 / n, n))
    corners = around(ra, dec, np.full(n, radius), bearing)
    lon, lat = around(ra, dec, radius * np.sqrt(random.uniform(0, 1.5, 400)), random.uniform(0, 360, 400))
    a, b = vectors(*corners), np.roll(vectors(*corners), -1, axis=0)
    side = vectors(lon, lat) @ np.cross(a, b).T / np.linalg.norm(np.cross(a, b), axis=1)
    middle = vectors(ra, dec) @ np.cross(a, b).T
    sure = (np.abs(side) > 1e-9 * np.radians(radius) + 1e-15 / np.radians(radius)).all(axis=1)
    expected = (np.sign(side) == np.sign(middle)).all(axis=1) & (separation_deg(ra, dec, lon, lat) < 90)
    for order in (slice(None), slice(None, None, -1)):
        found = hp.point_in_polygon(lon, lat, corners[0][order], corners[1][order])
        assert (found == expected)[sure].all()
    inside = hp.point_in_polygon(lon, lat, *corners)
    ranges = hp.polygon_ranges(*corners)
    assert held(ranges, np.append(lon[inside], corners[0]), np.append(lat[inside], corners[1]))


def test_a_star_shape_has_its_notches_outside():
    bearing = np.arange(10) * 36.0
    corners = around(359.5, 60.0, np.where(np.arange(10) % 2, 1.0, 3.0), bearing)
    tips = around(359.5, 60.0, np.full(10, 2.0), bearing)
    assert hp.point_in_polygon(*tips, *corners).tolist() == [True, False] * 5
    ranges = hp.polygon_ranges(*corners)
    assert area(ranges) < 1.4 * 8.82 and len(ranges) < 700  # 5 r R sin 36 deg
    antipode = np.mod(tips[0] + 180, 360), -tips[1]
    assert not hp.point_in_polygon(*antipode, *corners).any()


@pytest.mark.parametrize(
    ("ra", "dec", "why"),
    [
        ([0, 1], [0, 1], "needs three"),
        ([0, 1, 1], [0, 1, 1], "needs three"),
        ([0, 120, 240], [0, 0, 0], "89 degrees"),
        ([0, 90, 180], [-80, 0, 80], "89 degrees"),
        ([0, 1, np.nan], [0, 0, 1], "one ra and one dec"),
        ([0, 1, 2], [0, 0, 91], "one ra and one dec"),
    ],
)
def test_a_polygon_that_is_none_is_refused(ra, dec, why):
    with pytest.raises(InputError, match=why):
        hp.polygon_ranges(ra, dec)
