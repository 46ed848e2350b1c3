import numpy as np
import pytest

from stellar.features.bands import BANDS, band_sn, synthetic_colours
from stellar.features.rebin import Grid

GRID = Grid()
WAVE = GRID.wavelength_angstrom


def test_a_source_of_constant_f_nu_has_no_colour():
    flux = np.tile(WAVE**-2.0, (2, 1)) * np.array([[1.0], [1e-15]])
    found = synthetic_colours(flux, 1e4 / flux**2, GRID)
    for name in ("syn_g_r", "syn_r_i"):
        assert found[name] == pytest.approx([0, 0], abs=2e-3)
        assert (found[f"{name}_err"] < 0.01).all()


def test_a_black_body_of_the_suns_temperature():
    # B_lambda at 5,772 K in photon-weighted AB; the Sun has g - r = 0.44, r - i = 0.11 (Willmer 2018)
    flux = (WAVE**-5.0 / np.expm1(1.4388e8 / (WAVE * 5772)))[None]
    found = synthetic_colours(flux, 1e6 / flux**2, GRID)
    assert found["syn_g_r"][0] == pytest.approx(0.44, abs=0.15)
    assert found["syn_r_i"][0] == pytest.approx(0.11, abs=0.1)


def test_errors_are_the_scatter():
    rng = np.random.default_rng(0)
    noise = 0.2
    flux = 1 + noise * rng.normal(size=(500, GRID.size))
    found = synthetic_colours(flux, np.full(flux.shape, noise**-2), GRID)
    assert found["syn_g_r"].std() == pytest.approx(np.median(found["syn_g_r_err"]), rel=0.15)


def test_a_band_that_was_not_seen_has_no_colour():
    flux, ivar = np.ones((3, GRID.size)), np.ones((3, GRID.size))
    ivar[0, WAVE > 6500] = 0
    flux[1] = -1
    found = synthetic_colours(flux, ivar, GRID)
    assert np.isnan(found["syn_g_r"]).tolist() == [True, True, False]
    assert np.isnan(found["syn_r_i_err"]).tolist() == [True, True, False]


def test_signal_to_noise_of_each_band():
    wave = np.linspace(3800, 9000, 4000)
    flux, ivar = np.full(4000, 3.0), np.where(wave < 5500, 4.0, 25.0)
    ivar[wave > BANDS["i"][0]] = 0
    found = band_sn(wave, flux, ivar)
    assert found["sn_g"] == pytest.approx(6)
    assert found["sn_r"] == pytest.approx(15)
    assert np.isnan(found["sn_i"])
