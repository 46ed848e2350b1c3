import numpy as np
import pytest

from stellar.features.aliases import CANDIDATES, are_aliases, harmonics_for, true_peak
from stellar.features.periodogram import Window, grid_of, peaks, reach_of


@pytest.mark.parametrize(
    ("frequency", "other", "wanted"),
    [
        (1.7, 0.7, True),
        (1.7, 2.7027, True),
        (1.7, 0.3, True),
        (0.7, 1.31, True),
        (1.7, 1.7005, True),
        (1.7, 0.9, False),
    ],
)
def test_aliases_stand_whole_days_apart(frequency, other, wanted):
    assert are_aliases(frequency, other) == wanted
    assert are_aliases(other, frequency) == wanted


def test_few_points_bear_few_harmonics():
    assert [harmonics_for(n) for n in (5, 17, 25, 33, 1000)] == [1, 2, 3, 4, 4]


@pytest.mark.parametrize("period", [0.4571, 0.5573, 0.6139, 0.7191])
def test_sawtooth_from_one_site_gets_its_period(period):
    rng = np.random.default_rng(int(period * 1e4))
    time = np.sort(rng.choice(2000, 70, replace=False) * 0.99727 + rng.uniform(0, 0.04, 70))  # the same hour each night
    time -= time[0]
    value = np.interp(np.mod(time / period, 1), [0, 0.15, 1], [0, 1, 0]) + 0.02 * rng.normal(size=70)
    grid = grid_of(time[-1], None, 5.0, 5)
    window = Window([time], [np.ones(70)], [grid])
    power = window.powers([value])[0]
    at = np.empty(CANDIDATES, np.int64)
    at = at[: peaks(power, grid.first, reach_of(grid, time[-1]), at)]
    _, frequency, height = true_peak(time, value, window.weights[0], power, at, grid.step)
    assert 1 / frequency == pytest.approx(period, rel=1e-3)
    assert 0 < height <= 1
