import numpy as np
import pytest

from stellar.features.line_indices import LINES, RATIOS, band_ratio, equivalent_width, line_indices, window_weights
from stellar.features.rebin import Grid

GRID = Grid()
WAVE = GRID.wavelength_angstrom


def test_window_weights_are_its_width():
    for line in LINES:
        assert window_weights(GRID, *line.line).sum() == pytest.approx(line.line[1] - line.line[0])


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_width_of_a_box_line_on_a_sloping_continuum(line):
    depth = 0.4
    inside = window_weights(GRID, *line.line) / np.diff(GRID.edges_angstrom)
    centre = np.mean(line.line)
    # lines whose window and side band overlap (as published) see a little of themselves in the side band
    shared = max(line.blue[1] - line.line[0], line.line[1] - line.red[0], 0)
    flux = (10 + 0.002 * (WAVE - centre)) * (1 - depth * inside)
    found, error = equivalent_width(flux[None], np.full((1, GRID.size), 1e4), GRID, line)
    expected = depth * (line.line[1] - line.line[0])
    assert found[0] == pytest.approx(expected, rel=0.35 if shared or line.name.startswith("h_") else 0.12)
    assert 0 < error[0] < 0.2


def test_errors_are_the_scatter():
    rng = np.random.default_rng(0)
    flux = 1 + 0.05 * rng.normal(size=(600, GRID.size))
    ivar = np.full(flux.shape, 400.0)
    found = line_indices(flux, ivar, GRID)
    for name in ("ew_h_beta_angstrom", "ratio_continuum_blue"):
        assert found[name].std() == pytest.approx(np.median(found[f"{name}_err"]), rel=0.12)
        expected = 0 if name.startswith("ew") else 1
        assert found[name].mean() == pytest.approx(expected, abs=0.05)


def test_unseen_window_and_negative_reference_give_nothing():
    flux, ivar = np.ones((2, GRID.size)), np.ones((2, GRID.size))
    ivar[0, (WAVE > 4840) & (WAVE < 4870)] = 0
    flux[1] = -1
    line = next(line for line in LINES if line.name == "h_beta")
    assert np.isnan(equivalent_width(flux, ivar, GRID, line)).all()
    assert np.isnan(band_ratio(flux, ivar, GRID, RATIOS[0])[0]).tolist() == [False, True]
