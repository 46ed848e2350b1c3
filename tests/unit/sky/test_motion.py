"""Motion in space: there and back, the poles, straight lines, and astropy's answer."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import assume, given
from hypothesis import strategies as st

from stellar.sky.motion import largest_motion_arcsec, propagate
from stellar.sky.separation import separation_arcsec, unit_vectors

RA, DEC = st.floats(0, 360, exclude_max=True), st.floats(-90, 90)
PM = st.floats(-10_500, 10_500)
YEARS = st.floats(-60, 60)


@given(RA, DEC, PM, PM, YEARS)
def test_moves_by_the_total_motion_even_at_the_poles(ra, dec, pmra, pmdec, years):
    new = propagate(ra, dec, pmra, pmdec, 2000.0, 2000.0 + years)
    moved = separation_arcsec(ra, dec, *new)
    # The step along the tangent is arctan of the motion; 10"/yr over 60 yr makes a difference of 2e-3 arcsec at most.
    total = np.hypot(pmra, pmdec) * abs((2000.0 + years) - 2000.0) / 1000
    expected = np.degrees(np.arctan(np.radians(total / 3600))) * 3600
    assert moved == pytest.approx(expected, abs=1e-6)
    assert 0 <= new[0] < 360 and -90 <= new[1] <= 90


@given(RA, DEC)
def test_what_does_not_move_stays_bit_for_bit(ra, dec):
    for pm, years in ((np.nan, 15.0), (0.0, 15.0), (300.0, 0.0), (300.0, np.nan)):
        new = propagate(ra, dec, pm, pm, 2000.0, 2000.0 + years)
        assert new == (ra, dec)


@given(RA, st.floats(-89, 89), PM, PM, YEARS)
def test_agrees_with_astropy(ra, dec, pmra, pmdec, years):
    assume(abs(years) > 0.01)
    star = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        distance=1e9 * u.pc,
        pm_ra_cosdec=pmra * u.mas / u.yr,
        pm_dec=pmdec * u.mas / u.yr,
        radial_velocity=0 * u.km / u.s,
        obstime=Time(2000.0, format="jyear"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ERFA warns of the distance
        there = star.apply_space_motion(new_obstime=Time(2000.0 + years, format="jyear"))
    new = propagate(ra, dec, pmra, pmdec, 2000.0, 2000.0 + years)
    assert separation_arcsec(*new, there.ra.deg, there.dec.deg) < 5e-3


def test_known_star():
    """Barnard's star, J2000 to J2016 (Gaia DR3's own position at 2016.0)."""
    ra, dec = propagate(269.44850252543836, 4.739420051112412, -801.551, 10362.394, 2016.0, 2000.0)
    # SIMBAD: 17 57 48.49847 +04 41 36.1139
    assert separation_arcsec(ra, dec, 269.45207695, 4.69336497) < 0.05


def test_arrays_with_unknown_motions():
    ra, dec = propagate([1.0, 2.0], [3.0, 4.0], [np.nan, 1000.0], [5.0, np.nan], 2000.0, [2010.0, 2010.0])
    assert ra[0] == pytest.approx(1.0) and dec[0] == pytest.approx(3.0 + 50 / 3.6e6)
    assert ra[1] > 2.0 and dec[1] == pytest.approx(4.0, abs=1e-8)


def test_across_the_pole():
    ra, dec = propagate(30.0, 90 - 1 / 3600, 0.0, 2000.0, 2000.0, 2001.0)
    assert ra == pytest.approx(210.0) and dec == pytest.approx(90 - 1 / 3600)


PARALLAX, RV = st.floats(0.01, 800), st.floats(-600, 600)
KM_PER_PC = 648_000 / np.pi * 149_597_870.7
KM_PER_KM_S_YR = 31_557_600.0


@given(RA, DEC, PM, PM, st.floats(-1000, 1000), PARALLAX, RV)
def test_a_straight_line_in_space(ra, dec, pmra, pmdec, years, parallax, rv):
    """Position and velocity in km, moved in a straight line, seen from the Sun."""
    distance = 1000 / parallax * KM_PER_PC
    a, d = np.radians(ra), np.radians(dec)
    east, north = (
        np.array([-np.sin(a), np.cos(a), 0]),
        np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)]),
    )
    per_year = distance * np.radians(np.array([pmra, pmdec]) / 3.6e6)
    at = distance * unit_vectors(ra, dec) + years * (
        rv * KM_PER_KM_S_YR * unit_vectors(ra, dec) + per_year[0] * east + per_year[1] * north
    )
    assume(at @ unit_vectors(ra, dec) > 0.01 * distance)
    new = propagate(ra, dec, pmra, pmdec, 2000.0, 2000.0 + years, parallax, rv)
    if pmra == pmdec == 0 or years == 0:
        assert new == (ra, dec)
    seen = np.degrees(np.arctan2(at[1], at[0])), np.degrees(np.arctan2(at[2], np.hypot(at[0], at[1])))
    assert separation_arcsec(*new, *seen) < 1e-7
    assert separation_arcsec(ra, dec, *new) <= largest_motion_arcsec(pmra, pmdec, years, parallax, rv) + 1e-7


def test_barnards_star_speeds_up_as_astropy_says():
    """Perspective acceleration of 1.2 mas/yr^2: 6 arcsec in a century, 1 mas of it light time."""
    star = (269.44850252543836, 4.739420051112412, -801.551, 10362.394)
    parallax, rv = 546.976, -110.47
    sky = SkyCoord(
        star[0] * u.deg,
        star[1] * u.deg,
        distance=1000 / parallax * u.pc,
        pm_ra_cosdec=star[2] * u.mas / u.yr,
        pm_dec=star[3] * u.mas / u.yr,
        radial_velocity=rv * u.km / u.s,
        obstime=Time(2016.0, format="jyear"),
    )
    for year in (1966.0, 1991.25, 2116.0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ERFA warns of the year
            there = sky.apply_space_motion(new_obstime=Time(year, format="jyear"))
        bent = propagate(*star, 2016.0, year, parallax, rv)
        assert separation_arcsec(*bent, there.ra.deg, there.dec.deg) < 2e-7 * (year - 2016) ** 2
        straight = propagate(*star, 2016.0, year)
        assert separation_arcsec(*straight, *bent) == pytest.approx(0.00125 / 2 * (year - 2016) ** 2, rel=0.1)


def former(ra, dec, pmra, pmdec, start, end):
    """What `propagate` was before it took parallax and radial velocity."""
    years = np.nan_to_num(end - start, nan=0.0)
    shift_ra = np.radians(np.nan_to_num(pmra, nan=0.0) * years * (1 / 3.6e6))
    shift_dec = np.radians(np.nan_to_num(pmdec, nan=0.0) * years * (1 / 3.6e6))
    a, d = np.radians(ra), np.radians(dec)
    east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)], axis=-1)
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=-1)
    x, y, z = np.moveaxis(unit_vectors(ra, dec) + shift_ra[..., None] * east + shift_dec[..., None] * north, -1, 0)
    new_ra, new_dec = np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
    still = (shift_ra == 0) & (shift_dec == 0)
    return np.where(still, ra, np.where(new_ra >= 360.0, 0.0, new_ra)), np.where(still, dec, new_dec)


@pytest.mark.parametrize("n", [1, 7, 8192, 20_000])
def test_without_a_distance_the_bits_are_what_they_were(n):
    random = np.random.default_rng(n)
    ra, dec, pmra, pmdec = random.uniform(0, 360, n), random.uniform(-90, 90, n), *random.normal(0, 300, (2, n))
    pmra[random.random(n) < 0.3], pmdec[random.random(n) < 0.2] = np.nan, 0.0
    end = np.where(random.random(n) < 0.1, np.nan, 2016.0)
    expected = former(ra, dec, pmra, pmdec, np.full(n, 2000.0), end)
    unknown = np.where(random.random(n) < 0.5, np.nan, -1.0)
    for rest in ((), (5.0,), (None, 30.0), (5.0, np.nan), (unknown, 30.0), (5.0, 0.0)):
        found = propagate(ra, dec, pmra, pmdec, 2000.0, end, *rest)
        assert all(np.array_equal(f.view(np.int64), e.view(np.int64)) for f, e in zip(found, expected, strict=True))
    # and those of a row are the same in any company
    some = random.integers(0, n, 5)
    alone = [propagate(ra[i], dec[i], pmra[i], pmdec[i], 2000.0, end[i]) for i in some]
    assert np.array_equal(np.array(alone), np.array(expected)[:, some].T)


def test_shapes():
    assert [x.shape for x in propagate(1.0, 2.0, 3.0, 4.0, 2000.0, 2010.0)] == [(), ()]
    assert [x.shape for x in propagate([], [], [], [], 2000.0, 2010.0)] == [(0,), (0,)]
    ra, dec = propagate(np.zeros((3, 1)), 0.0, 100.0, 0.0, 2000.0, [2000.0, 2010.0])
    assert ra.shape == dec.shape == (3, 2) and (ra[:, 0] == 0).all() and (ra[:, 1] > 0).all()


@given(st.lists(st.tuples(RA, DEC, PM, PM, YEARS), max_size=20))
def test_no_row_moves_farther_than_the_largest_motion(rows):
    ra, dec, pmra, pmdec, years = np.array(rows).reshape(-1, 5).T
    new = propagate(ra, dec, pmra, pmdec, 2000.0, 2000.0 + years)
    bound = largest_motion_arcsec(pmra, pmdec, years)
    moved = separation_arcsec(ra, dec, *new).max(initial=0)
    assert moved <= bound + 1e-6
    assert bound <= np.hypot(pmra, pmdec).max(initial=0) * np.abs(years).max(initial=0) / 1000 * 1.001


def test_largest_motion_of_the_unknown_and_of_what_comes_too_near():
    assert largest_motion_arcsec([np.nan, 1.0], [5.0, np.nan], [10.0, np.nan]) == pytest.approx(0.05)
    assert largest_motion_arcsec([], [], 10.0) == 0
    assert largest_motion_arcsec(1.0, 1.0, 1e6, 800.0, -600.0) == 648_000
    assert largest_motion_arcsec(0.0, 0.0, 1e6, 800.0, -600.0) == 0
