import numpy as np
import pytest
from astropy.timeseries import LombScargle
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.features.nufft import BLOCK, Footprints, correction, grid_size
from stellar.features.periodogram import Window, grid_of, highest_elsewhere, peaks, power_at, refine


def season(seed=0, points=400, days=90.0):
    """Nights of a third of a day, with clouds; errors of all sizes."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, int(days), points) + rng.uniform(0, 0.33, points))
    return time - time[0], rng.normal(size=points), rng.uniform(0.5, 2.0, points)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 200), st.integers(20, 3000), st.integers(0, 2**31), st.sampled_from([1.0, 2.0]))
def test_sums_are_those_of_the_definition(points, count, seed, stretch):
    rng = np.random.default_rng(seed)
    x, weight = np.sort(rng.uniform(0, 0.5, points)), rng.normal(size=points)
    size = grid_size(count)
    found = Footprints([x], size, stretch).sums([weight], count)[0] * correction(size)[:count]
    expected = np.exp(-2j * np.pi * stretch * np.arange(count)[:, None] * x) @ weight
    assert np.abs(found - expected).max() < 1e-4 * np.abs(weight).sum()


@given(st.integers(1, 10_000_000))
def test_grid_is_long_enough_and_not_much_longer(count):
    size = grid_size(count)
    assert size >= max(2.5 * count, 64)
    assert size <= max(2.5 * count * 1.27 + 4, 80)
    assert size % 2 == 0


def test_powers_are_astropys_whatever_the_block():
    curves = [season(seed, points) for seed, points in enumerate((60, 300, 400, 500))]
    grids = [grid_of(90.0, None, 8.0, 5)] * BLOCK
    window = Window([c[0] for c in curves], [1 / c[2] ** 2 for c in curves], grids)
    powers = window.powers([c[1] for c in curves])
    for (time, value, error), power, grid in zip(curves, powers, grids, strict=True):
        frequency = grid.step * np.arange(grid.first, grid.last + 1)
        reference = LombScargle(time, value, error).power(frequency, method="slow")
        told = power[grid.first :] > 0  # where the times can tell a sinusoid from its mean
        assert told.mean() > 0.95
        np.testing.assert_allclose(power[grid.first :][told], reference[told], atol=2e-4)
    alone = Window([curves[1][0]], [1 / curves[1][2] ** 2], grids[:1]).powers([curves[1][1]])[0]
    np.testing.assert_array_equal(alone, powers[1])


def test_value_without_scatter_has_no_power():
    time, _, error = season()
    grid = grid_of(time[-1], None, 8.0, 5)
    window = Window([time], [1 / error**2], [grid])
    assert window.powers([np.full(len(time), 3.0)])[0].max() == 0
    assert refine(time, np.full(len(time), 3.0), window.weights[0], 1.0, 0.1) == (1.0, 0.0)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.15, 7.3), st.floats(0, 6.28), st.floats(-0.9, 0.9))
def test_refined_frequency_is_the_best_one(frequency, phase, off):
    time, noise, error = season(3)
    value = np.sin(2 * np.pi * frequency * time + phase) + 0.1 * noise
    weight = 1 / error**2
    weight /= weight.sum()
    step = 1 / (5 * time[-1])
    found, power = refine(time, value, weight, frequency + off * step, step * 2)
    reference = LombScargle(time, value, error)
    near = found + step * np.linspace(-0.5, 0.5, 101)
    assert power == pytest.approx(reference.power(found), abs=1e-9)
    assert power >= reference.power(near).max() - 1e-7
    assert power_at(time, value, weight, found) == pytest.approx(power, abs=1e-9)


def test_peaks_stand_apart_and_come_highest_first():
    power = np.zeros(100, np.float32)
    power[[10, 13, 30, 31, 60, 90]] = [5, 6, 3, 4, 7, 1]
    found = np.empty(4, np.int64)
    assert peaks(power, 5, 4, found) == 4
    assert found.tolist() == [60, 13, 31, 90]
    assert highest_elsewhere(power, 5, 60.0, 2) == 6  # 30 and 90 are a part and a multiple of 60
