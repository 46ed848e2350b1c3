"""Dust and places of the simulated eclipsing binaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.archive.eclipsing import constants as c
from stellar.archive.eclipsing import galaxy
from stellar.sky.healpix import spatial_index


@pytest.fixture(scope="module")
def tables() -> galaxy.Sightlines:
    return galaxy.sightlines(3)


@settings(deadline=None)
@given(st.floats(0.0, 360.0), st.floats(-90.0, 90.0), st.floats(10.0, 9_000.0))
def test_dust_is_the_integral_along_the_sightline(l_deg: float, b_deg: float, distance_pc: float) -> None:
    found = galaxy.smooth_extinction(np.array([l_deg]), np.array([b_deg]), np.array([distance_pc]))[0]
    path = (np.arange(20_000) + 0.5) / 20_000 * distance_pc
    flat, height = path * np.cos(np.radians(b_deg)), np.abs(path * np.sin(np.radians(b_deg)) + 20.0)
    radius = np.sqrt(8200.0**2 + flat**2 - 2.0 * 8200.0 * flat * np.cos(np.radians(l_deg)))
    dust = np.exp((8200.0 - radius) / c.DUST_LENGTH_PC - height / c.DUST_HEIGHT_PC)
    assert found == pytest.approx(c.DUST_AV_PER_KPC / 1000.0 * dust.mean() * distance_pc, rel=0.03)


def test_dust_near_the_sun_and_through_the_layer() -> None:
    here = np.exp(-20.0 / c.DUST_HEIGHT_PC)  # the Sun stands 20 pc above the layer's middle
    a_v = galaxy.smooth_extinction(np.array([90.0, 0.0]), np.array([0.0, 90.0]), np.array([100.0, 20_000.0]))
    assert a_v[0] == pytest.approx(c.DUST_AV_PER_KPC * 0.1 * here, rel=0.01)
    assert a_v[1] == pytest.approx(c.DUST_AV_PER_KPC * c.DUST_HEIGHT_PC / 1000.0 * here, rel=0.02)


def test_clouds_have_mean_one_and_their_spread() -> None:
    fields = galaxy.clouds(5)
    index = np.random.default_rng(0).integers(0, 12 << 58, 200_000)
    factor = galaxy.cloudiness(fields, index)
    assert factor.mean() == pytest.approx(1.0, abs=0.05)  # the coarsest order has 768 pixels
    assert np.log(factor).std() == pytest.approx(c.DUST_SIGMA_LN, rel=0.05)
    blurred = galaxy.cloudiness(fields, index, finest=3)
    assert len(np.unique(blurred)) == 768
    assert np.array_equal(galaxy.clouds(5)[0], fields[0]) and not np.array_equal(galaxy.clouds(6)[0], fields[0])


def test_brighter_systems_are_seen_further(tables: galaxy.Sightlines) -> None:
    weights = tables.weight(1, np.array([8.0, 4.0, 0.0, -4.0]))
    assert (np.diff(weights) > 0).all()


def test_systems_stand_where_the_survey_sees_them(tables: galaxy.Sightlines) -> None:
    n = 20_000
    component, abs_g = np.full(n, 1), np.full(n, 5.0)
    where = galaxy.place(tables, component, abs_g, np.random.default_rng(1))
    assert np.array_equal(spatial_index(where["ra"], where["dec"]) >> 34, where["index_29"] >> 34)
    # Without dust, G = 20 is 10 kpc for M_G = 5.
    assert where["distance_pc"].max() < 10_500.0
    assert np.abs(where["b"]).mean() < 25.0  # of an even sky 32.7
    # Relative numbers of two pixels are those of the tables.
    pixel = where["index_29"] >> 2 * (29 - c.SIGHTLINE_ORDER)
    share = tables.seen[1, :, galaxy._luminosity(np.array([5.0]))[0]]
    expected = share / share.sum() * n
    counted = np.bincount(pixel, minlength=len(share))
    many = expected > 20
    assert many.sum() > 100
    assert np.mean((counted - expected)[many] ** 2 / expected[many]) == pytest.approx(1.0, abs=0.25)
