"""Separations against astropy's and against high precision arithmetic."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from hypothesis import given
from hypothesis import strategies as st

from stellar.sky.separation import atan_deg, separation_arcsec, separation_deg, sin_cos_deg, unit_vectors

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


LONG = np.longdouble
PER_DEGREE = LONG("3.14159265358979323846264338327950288") / 180


def test_sine_cosine_and_arc_tangent_are_right_to_the_last_bits():
    """Against extended precision; the error is counted in units of the last place, of the angle's own in radians."""
    angle = np.concatenate(
        [np.linspace(-135, 135, 100_001), 10.0 ** np.linspace(-300, 0, 1000), [44.999999, 45.000001]]
    )
    for found, exact in zip(sin_cos_deg(angle), (np.sin(angle * PER_DEGREE), np.cos(angle * PER_DEGREE)), strict=True):
        # near a zero other than that at 0 the rounding of the long doubles' own pi shows
        assert (np.abs(found - exact) <= 4e-16 * np.abs(exact) + 1e-18).all()
    assert sin_cos_deg(np.array([-90.0, 0.0, 90.0]))[1].tolist() == [0, 1, 0]
    y, x = np.sin(angle[:100_001] * PER_DEGREE), np.cos(angle[:100_001] * PER_DEGREE)
    first = (x >= 0) & (y >= 0)
    y, x = y[first].astype(float), x[first].astype(float)
    exact = np.arctan2(y.astype(LONG), x.astype(LONG)) / PER_DEGREE
    assert (np.abs(atan_deg(y, x) - exact) <= 5e-16 * exact).all()


def test_poles_are_points():
    ra = np.linspace(-400, 400, 101)
    assert (separation_deg(ra, 90.0, 12.3, 90.0) == 0).all()
    assert (separation_deg(ra, 90.0, 12.3, -90.0) == 180).all()
    assert (separation_deg(ra, -90.0, ra[::-1], 0.0) == 90).all()


def test_a_row_is_the_same_in_any_company_and_any_shape():
    random = np.random.default_rng(8)
    ra1, ra2 = random.uniform(-360, 720, (2, 30_000))
    dec1, dec2 = random.uniform(-90, 90, (2, 30_000))
    found = separation_arcsec(ra1, dec1, ra2, dec2)
    for i in range(0, 30_000, 997):
        assert found[i] == separation_arcsec(ra1[i], dec1[i], ra2[i], dec2[i])
    assert np.array_equal(found[7::3], separation_arcsec(ra1[7::3], dec1[7::3], ra2[7::3], dec2[7::3]))
    outer = separation_arcsec(ra1[:200, None], dec1[:200, None], ra2[None, :150], dec2[None, :150])
    assert outer.shape == (200, 150) and np.array_equal(np.diagonal(outer), found[:150])
    assert separation_arcsec([], [], [], []).shape == (0,)
    assert separation_arcsec(1.0, 2.0, 3.0, 4.0).shape == ()
    assert np.isnan(separation_arcsec([np.nan, 1.0], 0.0, 0.0, [0.0, np.nan])).all()
