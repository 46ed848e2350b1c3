import numpy as np
import pytest

from stellar.errors import InputError
from stellar.features.continuum import asymmetric_spline, running_quantile
from stellar.features.rebin import Grid

GRID = Grid()
WAVE = GRID.wavelength_angstrom
X = np.linspace(-1, 1, GRID.size)
TRUE = 5 + 0.8 * X - 0.6 * X**2


def stars(noise=0.01, seed=0):
    """A star with lines, one with bands over a third of it, one with emission."""
    rng = np.random.default_rng(seed)
    flux = np.tile(TRUE, (3, 1))
    for centre in (4341, 4862, 6564):
        flux[0] *= 1 - 0.6 * np.exp(-0.5 * ((WAVE - centre) / 12) ** 2)
    for low, high in ((5167, 5400), (6159, 6300), (7055, 7300), (7600, 7850)):
        flux[1, np.abs(WAVE - (low + high) / 2) < (high - low) / 2] *= 0.6
    flux[2] *= 1 + 4 * np.exp(-0.5 * ((WAVE - 6564) / 8) ** 2)
    flux = flux * (1 + noise * rng.normal(size=flux.shape))
    return flux, np.full(flux.shape, 1 / (noise * 5) ** 2)


@pytest.mark.parametrize("fit", [asymmetric_spline, lambda f, i: running_quantile(f, i, 201, 0.8)])
def test_neither_lines_nor_bands_nor_emission_move_it(fit):
    flux, ivar = stars()
    ivar[:, 400:430] = 0
    flux[:, 400:430] = np.nan
    found = fit(flux, ivar)
    inner = slice(60, -60)
    error = np.abs(found / TRUE - 1)[:, inner]
    assert np.median(error, axis=1).max() < 0.03
    assert np.quantile(error, 0.95, axis=1).max() < 0.08
    assert np.isfinite(found).all()


def test_scale_does_not_matter():
    flux, ivar = stars()
    for fit in (asymmetric_spline, lambda f, i: running_quantile(f, i, 101)):
        assert fit(flux * 1e-17, ivar * 1e34) == pytest.approx(fit(flux, ivar) * 1e-17, rel=1e-6)


def test_running_quantile_is_numpys():
    rng = np.random.default_rng(3)
    flux, ivar = rng.normal(size=(2, 60)), (rng.random((2, 60)) < 0.7).astype(float)
    found = running_quantile(flux, ivar, 11, 0.7)
    for row in range(2):
        for at in range(60):
            window = slice(max(0, at - 5), at + 6)
            values = flux[row, window][ivar[row, window] > 0]
            assert found[row, at] == pytest.approx(np.quantile(values, 0.7))


def test_too_little_to_go_by():
    flux, ivar = stars()
    ivar[1] = 0
    ivar[2, 20:] = 0
    found = asymmetric_spline(flux, ivar)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True]
    assert np.isnan(running_quantile(flux, ivar, 51)).all(axis=1).tolist() == [False, True, False]
    with pytest.raises(InputError, match="asymmetry"):
        asymmetric_spline(flux, ivar, asymmetry=1.2)
    with pytest.raises(InputError, match="quantile"):
        running_quantile(flux, ivar, 11, 1.5)
