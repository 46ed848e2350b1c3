import numpy as np
import pytest
from astropy.timeseries import BoxLeastSquares

from stellar.features.boxes import box_at, box_near, strongest_box


def transits(period, depth, duration, seed=0, noise=0.001):
    rng = np.random.default_rng(seed)
    time = np.arange(0, 60, 0.02)
    time = time[(time < 28) | (time > 30)]
    inside = np.abs(np.mod(time / period - 0.4 + 0.5, 1) - 0.5) * period < duration / 2
    return time, 1 - depth * inside + noise * rng.normal(size=len(time)), np.full(len(time), noise)


@pytest.mark.parametrize(("period", "duration"), [(1.37, 0.1), (3.71, 0.2), (11.3, 0.4)])
def test_transits_are_found(period, duration):
    time, flux, error = transits(period, 0.004, duration)
    box = strongest_box(time, flux, error, shortest_d=0.5, longest_d=20.0)
    assert box.period_d == pytest.approx(period, rel=0.002)
    assert box.depth == pytest.approx(0.004, abs=5 * box.depth_err + 4e-4)
    assert box.duration_d == pytest.approx(duration, rel=0.5)
    assert box.turns >= 5
    assert 0 < box.power < 1


def test_power_and_depth_are_those_of_two_levels():
    time, flux, error = transits(2.5, 0.01, 0.25)
    box = box_at(time, flux, error * np.linspace(1, 2, len(time)), np.array([1 / 2.5]))
    weight = 1 / (error * np.linspace(1, 2, len(time))) ** 2
    cycles = (time - time[0]) / box.period_d - box.phase + 0.5
    inside = np.abs(np.mod(cycles, 1) - 0.5) * box.period_d < box.duration_d / 2
    model = np.where(inside, np.average(flux[inside], weights=weight[inside]), 0)
    model += np.where(inside, 0, np.average(flux[~inside], weights=weight[~inside]))
    left = (weight * (flux - model) ** 2).sum()
    whole = (weight * (flux - np.average(flux, weights=weight)) ** 2).sum()
    assert box.power == pytest.approx(1 - left / whole, abs=1e-3)
    reference = BoxLeastSquares(time, flux, 1 / np.sqrt(weight)).power([2.5], [box.duration_d], oversample=40)
    assert box.depth == pytest.approx(reference.depth[0], rel=0.05)


def test_multiples_of_a_peak_are_tried():
    time, flux, error = transits(2.4, 0.1, 0.1)
    box = box_near(time, flux, error, [5 / 2.4], 1 / 300)
    assert box.period_d == pytest.approx(2.4, rel=0.002)


def test_no_box_where_there_is_none():
    time = np.arange(0, 10, 0.01)
    assert strongest_box(time, np.full(1000, 1.1), np.ones(1000), shortest_d=0.5) is None
    assert strongest_box(time, np.ones(1000), np.ones(1000), shortest_d=50.0) is None
    assert box_near(time, np.ones(1000), np.ones(1000), [0.01], 0.001) is None
