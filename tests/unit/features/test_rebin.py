import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.features.rebin import Grid, fit_continuum, normalise, rebin

GRID = Grid(4000, 7000, 3e-4)


def native(low=3.55, high=3.9, step=1e-4):
    return np.arange(low, high, step)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.7e-4, 9e-4), st.floats(0, 1e-4))
def test_integral_of_the_flux_is_kept(seed, step, offset):
    loglam = native(3.55 + offset, 3.9, step)
    flux = np.random.default_rng(seed).uniform(0, 5, len(loglam))
    found, ivar = rebin(loglam, flux, np.ones(len(flux)), GRID)
    assert (ivar > 0).all()
    middle = (loglam[1:] + loglam[:-1]) / 2
    edges = 10 ** np.concatenate([[2 * loglam[0] - middle[0]], middle, [2 * loglam[-1] - middle[-1]]])
    cumulative = np.concatenate([[0], np.cumsum(flux * np.diff(edges))])
    expected = np.diff(np.interp(GRID.edges_angstrom[[0, -1]], edges, cumulative))
    assert (found * np.diff(GRID.edges_angstrom)).sum() == pytest.approx(expected[0], rel=1e-9)


def test_inverse_variance_is_that_of_the_scatter():
    rng = np.random.default_rng(1)
    loglam = native()
    sigma = rng.uniform(0.05, 0.2, len(loglam))
    draws = np.array([rebin(loglam, 1 + sigma * rng.normal(size=len(loglam)), sigma**-2, GRID) for _ in range(300)])
    spread, promised = draws[:, 0].std(axis=0), draws[0, 1] ** -0.5
    assert np.median(spread / promised) == pytest.approx(1, abs=0.02)


def test_bad_pixels_take_no_part_and_gaps_stay_gaps():
    loglam = native()
    flux, ivar = np.ones(len(loglam)), np.ones(len(loglam))
    gap = (10**loglam > 5000) & (10**loglam < 5050)
    lone = np.arange(len(loglam)) % 50 == 0
    flux[gap | lone], ivar[gap | lone] = 1e6, 0.0
    found, weight = rebin(loglam, flux, ivar, GRID)
    wave = GRID.wavelength_angstrom
    assert np.isnan(found[(wave > 5005) & (wave < 5045)]).all()
    assert (weight[np.isnan(found)] == 0).all()
    np.testing.assert_allclose(found[np.isfinite(found)], 1.0)


def test_grid_beyond_the_spectrum_is_masked():
    loglam = native(np.log10(4500), np.log10(6000))
    found, ivar = rebin(loglam, np.ones(len(loglam)), np.ones(len(loglam)), GRID)
    wave = GRID.wavelength_angstrom
    assert (ivar[(wave < 4495) | (wave > 6005)] == 0).all()
    assert np.isfinite(found[(wave > 4505) & (wave < 5995)]).all()


def test_continuum_passes_over_lines_and_keeps_their_depth():
    x = np.linspace(-1, 1, GRID.size)
    rng = np.random.default_rng(2)
    true = 3 + x + 0.5 * x**2
    lines = np.ones(GRID.size)
    for place in range(40, GRID.size - 40, 45):
        lines[place : place + 6] = 0.5
    noise = 0.01
    flux = true * (lines + noise * rng.normal(size=GRID.size))
    ivar = np.full(GRID.size, 1.0) / (noise * true) ** 2
    flux[200:260], ivar[200:260] = np.nan, 0.0
    continuum = fit_continuum(flux[None], ivar[None])
    np.testing.assert_allclose(continuum[0] / true, 1, atol=0.02)
    normal, weight = normalise(flux[None], ivar[None], continuum)
    good = weight[0] > 0
    assert np.isnan(normal[0, 200:260]).all()
    assert np.median(normal[0, good & (lines < 1)]) == pytest.approx(0.5, abs=0.02)
    assert np.median(weight[0, good]) ** -0.5 == pytest.approx(noise, rel=0.05)


def test_noise_does_not_lift_the_continuum():
    rng = np.random.default_rng(3)
    flux = 1 + 0.3 * rng.normal(size=(50, GRID.size))
    continuum = fit_continuum(flux, np.full(flux.shape, 0.3**-2))
    assert np.median(continuum) == pytest.approx(1, abs=0.2)


def test_empty_spectrum_has_no_continuum():
    flux, ivar = np.full((1, GRID.size), np.nan), np.zeros((1, GRID.size))
    continuum = fit_continuum(flux, ivar)
    assert np.isnan(continuum).all()
    assert (normalise(flux, ivar, continuum)[1] == 0).all()
