"""Proper motion: there and back, the poles, and astropy's answer."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import assume, given
from hypothesis import strategies as st

from stellar.sky.motion import propagate
from stellar.sky.separation import separation_arcsec

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
