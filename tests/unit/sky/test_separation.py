"""Separations against astropy's and against high precision arithmetic."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from hypothesis import given
from hypothesis import strategies as st

from stellar.sky.separation import separation_arcsec, unit_vectors

RA, DEC = st.floats(0, 360), st.floats(-90, 90)


@given(RA, DEC, RA, DEC)
def test_agrees_with_vincenty(ra1, dec1, ra2, dec2):
    expected = np.degrees(angular_separation(*np.radians([ra1, dec1, ra2, dec2]))) * 3600
    found = separation_arcsec(ra1, dec1, ra2, dec2)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-8)
    assert found == separation_arcsec(ra2, dec2, ra1, dec1)


@given(RA, DEC)
def test_zero_to_itself_and_half_a_turn_to_the_antipode(ra, dec):
    assert separation_arcsec(ra, dec, ra, dec) == 0
    assert separation_arcsec(ra, dec, ra + 180, -dec) == pytest.approx(648_000, rel=1e-13)


@pytest.mark.parametrize("step_mas", [1e-2, 1e-1, 1.0, 100.0])
@pytest.mark.parametrize("dec", [0.0, 45.0, -89.0])
def test_exact_below_a_milliarcsecond(step_mas, dec):
    """Against the small-angle formula on the doubles that the positions really are, in 50 digits."""
    getcontext().prec = 50
    step = step_mas / 3.6e6
    ra2, dec2 = 10.0 + step / np.cos(np.radians(dec)), dec + step
    across = (Decimal(float(ra2)) - Decimal(10)) * Decimal(float(np.cos(np.radians((dec + dec2) / 2))))
    up = Decimal(float(dec2)) - Decimal(dec)
    expected = float((across**2 + up**2).sqrt() * 3600)
    assert separation_arcsec(10.0, dec, ra2, dec2) == pytest.approx(expected, rel=1e-9)


def test_across_ra_zero_and_over_the_pole():
    assert separation_arcsec(359.9999, 0, 0.0001, 0) == pytest.approx(0.72, rel=1e-9)
    assert separation_arcsec(0.0, 89.9999, 180.0, 89.9999) == pytest.approx(0.72, rel=1e-9)
    assert separation_arcsec(12.0, 90.0, 200.0, 90.0) == pytest.approx(0, abs=1e-9)


def test_broadcasts():
    assert separation_arcsec(np.zeros((3, 1)), 0, np.arange(4.0), 0).shape == (3, 4)


@given(RA, DEC)
def test_unit_vectors_have_length_one(ra, dec):
    assert np.linalg.norm(unit_vectors(ra, dec)) == pytest.approx(1, rel=1e-15)
