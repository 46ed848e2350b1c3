"""Eclipsing pairs: masses, orbits, depths, and their light."""

from __future__ import annotations

import numpy as np
import pytest

from stellar.archive.eclipsing import constants as c
from stellar.archive.eclipsing import parameters, photometry, systems
from stellar.archive.population import initial_masses


@pytest.fixture(scope="module")
def pair() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    pool = systems.pool(c.POPULATION[1], 20_000, rng)
    return systems.varied(pool, rng)


def test_weights_put_kroupa_s_law_back() -> None:
    mass, weight = systems.importance_masses(400_000, np.random.default_rng(0))
    drawn = initial_masses(400_000, np.random.default_rng(1))
    for low, high in ((0.2, 0.5), (0.5, 1.0), (1.0, 3.0), (3.0, 20.0)):
        whole_mass, whole_drawn = (mass > 0.2) & (mass < 20.0), (drawn > 0.2) & (drawn < 20.0)
        share = weight[(mass > low) & (mass < high)].sum() / weight[whole_mass].sum()
        theirs = ((drawn > low) & (drawn < high)).sum() / whole_drawn.sum()
        assert share == pytest.approx(theirs, rel=0.04)


def test_ages_are_those_of_a_constant_rate() -> None:
    age, weight = systems.importance_ages(c.POPULATION[1], 200_000, np.random.default_rng(0))
    low, high = c.POPULATION[1].age
    assert np.average(age, weights=weight) == pytest.approx((low + high) / 2, rel=0.02)
    assert weight.mean() == pytest.approx(1.0, rel=0.02)


def test_the_earth_s_orbit_is_one_au() -> None:
    assert systems.separation_rsun(np.array([1.0]), np.array([365.25]))[0] == pytest.approx(215.032)


def test_heavy_stars_have_more_close_companions() -> None:
    fraction = systems.close_fraction(np.array([1.0, 3.0, 10.0]))
    assert fraction[0] == pytest.approx(0.020) and fraction[2] == pytest.approx(0.13)
    assert fraction[0] < fraction[1] < fraction[2]
    assert systems.close_fraction(np.array([0.5]))[0] >= c.CLOSE_FRACTION_MIN


def test_star_one_is_the_hotter_and_stars_do_not_overlap(pair: dict[str, np.ndarray]) -> None:
    assert (pair["teff1"] >= pair["teff2"]).all()
    assert pair["fill"].max() <= c.OVERFLOW_RADII
    assert pair["depth"].min() >= 0.0 and pair["depth"].max() <= 0.95


def test_stars_in_contact_share_their_heat() -> None:
    pool = systems.pool(c.POPULATION[1], 20_000, np.random.default_rng(2))
    contact = pool["fill"] > c.CONTACT_RADII
    assert contact.sum() > 50
    assert (pool["teff2"] / pool["teff1"])[contact].min() > 0.979
    assert (pool["teff2"] / pool["teff1"])[~contact].min() < 0.8


def test_a_pair_shines_as_both_its_stars(pair: dict[str, np.ndarray]) -> None:
    light = photometry.absolute_magnitudes(pair, np.random.default_rng(0))
    assert np.allclose(light["g"], pair["abs_g"])
    assert (light["g"] <= np.minimum(pair["abs_g1"], pair["abs_g2"]) + 1e-9).all()
    # Of two equal suns: BP-RP 0.82, V-K 1.56 (Pecaut & Mamajek 2013).
    sun = {
        f"{name}{k}": np.array([value])
        for k in "12"
        for name, value in (("teff", 5772.0), ("logg", 4.44), ("abs_g", 4.67))
    }
    of_suns = photometry.absolute_magnitudes(sun | {"feh": np.zeros(1)}, np.random.default_rng(0))
    assert of_suns["bp"][0] - of_suns["rp"][0] == pytest.approx(0.82, abs=0.07)
    assert of_suns["g"][0] - of_suns["k"][0] == pytest.approx(1.56 - 0.16, abs=0.15)


def test_dust_dims_and_reddens(pair: dict[str, np.ndarray]) -> None:
    light = photometry.absolute_magnitudes(pair, np.random.default_rng(0))
    ten = np.full(len(pair["fill"]), 10.0)
    clear, dusty = (photometry.reddened(light, np.full(len(ten), a), ten) for a in (0.0, 1.0))
    assert all(np.allclose(clear[name], light[name]) for name in light)
    dims = [np.median(dusty[name] - clear[name]) for name in ("bp", "g", "rp", "j", "h", "k")]
    assert dims == sorted(dims, reverse=True) and dims[-1] > 0.1
    warm = np.abs(pair["teff1"] - 6000.0) < 300.0
    reddening = (dusty["bp"] - dusty["rp"] - clear["bp"] + clear["rp"])[warm]
    assert np.median(reddening) == pytest.approx(parameters.EBPRP_PER_AV, abs=0.03)


def test_the_composite_lies_between_its_stars(pair: dict[str, np.ndarray]) -> None:
    teff = parameters.composite_teff(pair)
    assert (teff <= pair["teff1"] * (1 + 1e-12)).all() and (teff >= pair["teff2"] * (1 - 1e-12)).all()


def test_hot_stars_come_out_cooler_and_stay_in_order() -> None:
    teff = np.linspace(3_000.0, 50_000.0, 500)
    bias = parameters.hot_bias(teff)
    assert (bias[teff <= c.HOT_FROM_K] == 1.0).all()
    assert (np.diff(bias[teff > c.HOT_FROM_K]) < 0).all() and (np.diff(teff * bias) > 0).all()
