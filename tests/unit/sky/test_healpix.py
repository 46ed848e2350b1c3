"""Cells, margins and cones against brute force, at poles, RA 0 and base cells' corners."""

import subprocess
import sys

import healpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.sky import healpix as hp
from stellar.sky import pixels
from stellar.sky.healpix import Cell
from stellar.sky.separation import separation_deg

RA = st.floats(0, 360, exclude_max=True)
DEC = st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 0.0, 41.8103148957786, -41.8103148957786]))
CELL = st.integers(0, 8).flatmap(lambda k: st.integers(0, 12 * 4**k - 1).map(lambda n: Cell(k, n)))
# The poles, and corners where three base cells meet instead of four.
AWKWARD = [Cell(3, 63), Cell(3, 8 * 64 + 0), Cell(0, 0), Cell(0, 4), Cell(2, 0), Cell(2, 5), Cell(2, 10), Cell(2, 15)]


def around(cell: Cell, margin_deg: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions on both sides of a cell's edge, within a few margins."""
    random = np.random.default_rng(seed)
    edge = healpy.boundaries(1 << cell.order, cell.pixel, step=64, nest=True).T
    centre = edge[random.integers(0, len(edge), n)]
    axis = np.cross(centre, random.normal(size=(n, 3)))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.radians(margin_deg * random.uniform(0, 2, n))[:, None]
    x, y, z = (centre * np.cos(angle) + np.cross(axis, centre) * np.sin(angle)).T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


@given(RA, DEC)
def test_index_agrees_with_healpy(ra, dec):
    ours = int(hp.spatial_index([ra], [dec])[0])
    assert 0 <= ours < 12 << 58
    # At order 20 (0.2 arcsec) rounding puts a point on an edge on either side, so the centre of ours must be near it.
    lon, lat = healpy.pix2ang(1 << 20, ours >> 18, nest=True, lonlat=True)
    assert separation_deg(ra, dec, lon, lat) <= healpy.max_pixrad(1 << 20, degrees=True)


@pytest.mark.parametrize("order", range(25))
def test_bounds_of_a_cells_size_hold(order):
    assert healpy.max_pixrad(1 << order) * 2**order < pixels.LARGEST_RADIUS


def test_index_wraps_ra_and_refuses_what_is_not_on_the_sky():
    assert (hp.spatial_index([-1.0, 361.0], [5.0, 5.0]) == hp.spatial_index([359.0, 1.0], [5.0, 5.0])).all()
    assert hp.spatial_index([], []).dtype == np.int64
    with pytest.raises(InputError, match=r"row 1: ra=2\.0, dec=90\.5"):
        hp.spatial_index([1.0, 2.0], [0.0, 90.5])
    with pytest.raises(InputError, match="1 of 1"):
        hp.spatial_index([np.nan], [0.0])


@given(CELL)
def test_cell_name_path_and_range(cell):
    assert Cell.parse(str(cell)) == cell
    low, high = cell.range29()
    assert cell.contains([low, high - 1]).all() and not cell.contains([low - 1, high]).any()
    assert hp.cells_at([low], cell.order)[0] == cell.pixel
    assert cell.path().startswith(f"Norder={cell.order}/Dir={cell.pixel - cell.pixel % 10_000}/")
    assert cell.parent(0).contains([low]).all()


def test_a_bad_cell_name_is_named():
    with pytest.raises(InputError, match="Norder=x"):
        Cell.parse("Norder=x/Npix=1")


@given(CELL)
def test_neighbours_touch_and_are_mutual(cell):
    found = hp.neighbours(cell)
    assert 6 <= len(found) <= 8 and cell not in found and len(set(found)) == len(found)
    assert all(cell in hp.neighbours(other) for other in found)


@settings(max_examples=150, deadline=None)
@given(st.one_of(CELL, st.sampled_from(AWKWARD)), st.floats(-8, 2), st.integers(0, 2**32 - 1))
def test_margin_never_misses_a_point(cell, log_margin, seed):
    """A point is within the margin when it is that near to some point of the cell's edge."""
    margin = 10.0**log_margin
    ra, dec = around(cell, margin / 2, 300, seed)
    inside = cell.contains(hp.spatial_index(ra, dec))
    assert (hp.margin_mask(ra, dec, cell, margin * 3600) == ~inside).all()


@pytest.mark.parametrize("cell", AWKWARD, ids=str)
@pytest.mark.parametrize("margin_arcsec", [0.001, 1.0, 30.0, 3600.0, 40 * 3600.0, 180 * 3600.0])
def test_margin_holds_points_right_outside_edges_and_corners(cell, margin_arcsec):
    ra, dec = around(cell, margin_arcsec / 3600 / 4, 2000, 7)
    index = hp.spatial_index(ra, dec)
    # All lie within half a margin of the edge, on one of its sides.
    expected = ~cell.contains(index)
    assert expected.any()
    assert (hp.margin_mask(ra, dec, cell, margin_arcsec) == expected).all()


def test_margin_is_a_strip_and_not_the_whole_neighbourhood():
    cell = Cell(5, 1234)
    area = (np.diff(hp.margin_ranges(cell, 5.0)).sum()) / 4.0 ** (29 - 5)
    assert area < 0.03
    assert not len(hp.margin_ranges(cell, 0.0))


@given(st.lists(CELL, max_size=30, unique=True), CELL, st.sampled_from([0.0, 10.0, 3600.0, 20 * 3600.0]))
def test_overlapping_is_what_the_ranges_say(cells, cell, margin):
    wanted = [cell.range29(), *map(tuple, hp.margin_ranges(cell, margin).tolist())]
    expected = {
        other for other in cells if any(low < other.range29()[1] and other.range29()[0] < high for low, high in wanted)
    }
    found = hp.overlapping(cells, cell, margin)
    assert set(found) == expected
    assert found == sorted(found, key=Cell.range29)


@settings(deadline=None)
@given(RA, DEC, st.floats(-7, 2.25), st.integers(0, 2**32 - 1))
def test_cone_ranges_hold_every_point_of_the_cone(ra, dec, log_radius, seed):
    radius = min(10.0**log_radius, 180.0)
    random = np.random.default_rng(seed)
    distance = radius * np.concatenate([[0.0, 1.0], np.sqrt(random.uniform(0, 1, 300))])
    bearing = random.uniform(0, 2 * np.pi, len(distance))
    d0, angle = np.radians(dec), np.radians(distance)
    lat = np.arcsin(np.clip(np.sin(d0) * np.cos(angle) + np.cos(d0) * np.sin(angle) * np.cos(bearing), -1, 1))
    east = np.arctan2(np.sin(bearing) * np.sin(angle) * np.cos(d0), np.cos(angle) - np.sin(d0) * np.sin(lat))
    lon, lat = np.degrees(east) + ra, np.degrees(lat)
    within = separation_deg(ra, dec, lon, lat) <= radius
    index = hp.spatial_index(lon, lat)[within]
    ranges = hp.cone_ranges(ra, dec, radius)
    at = np.searchsorted(ranges[:, 0], index, side="right") - 1
    assert (at >= 0).all() and (index < ranges[at, 1]).all()
    assert (ranges[1:, 0] > ranges[:-1, 1]).all()


def test_cone_ranges_are_few_and_close_fitting():
    ranges = hp.cone_ranges(180.0, 30.0, 1.0)
    area = np.diff(ranges).sum() / (12 << 58) * 41252.96
    assert len(ranges) < 200 and np.pi < area < 1.5 * np.pi


@pytest.mark.parametrize("cone", [(np.nan, 0, 1), (0, 91, 1), (0, 0, -1), (0, 0, 181)])
def test_a_cone_that_is_none_is_refused(cone):
    with pytest.raises(InputError, match="no cone"):
        hp.cone_ranges(*cone)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=20))
def test_merge_ranges_covers_the_same_numbers(pairs):
    ranges = np.array([(low, low + size) for low, size in pairs], np.int64).reshape(-1, 2)
    merged = hp.merge_ranges(ranges)
    numbers = {n for low, high in ranges.tolist() for n in range(low, high)}
    assert sorted(n for low, high in merged.tolist() for n in range(low, high)) == sorted(numbers)
    assert (merged[1:, 0] > merged[:-1, 1]).all()


def test_the_index_is_that_of_the_cdshealpix_package_which_still_loads():
    """The compiled part is loaded alone, before or after the package."""
    import cdshealpix
    from astropy import units as u
    from astropy.coordinates import Latitude, Longitude

    random = np.random.default_rng(2)
    ra = np.concatenate([random.uniform(-400, 800, 5000), [0, 360, -1e-20, 45, 720, np.nextafter(360, 0)]])
    dec = np.concatenate([random.uniform(-90, 90, 5000), [90, -90, 0, 41.8103148957786, 0, 0]])
    theirs = cdshealpix.lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), 29, num_threads=1)
    assert (hp.spatial_index(ra, dec) == theirs.astype(np.int64)).all()


def test_astropy_is_not_loaded_for_an_index():
    code = (
        "import sys; from stellar.sky.healpix import spatial_index; spatial_index([1.0], [2.0]);"
        "assert 'astropy' not in sys.modules; import cdshealpix; cdshealpix.neighbours(3, 4)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
