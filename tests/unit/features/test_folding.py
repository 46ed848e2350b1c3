import numpy as np
import pytest

from stellar.features.folding import common_course, folded_scatter, minima, phases, whole_cycle


def test_phases():
    phase = np.empty(4)
    phases(np.array([2.0, 2.25, 3.0, 4.9]), 1.0, phase)
    np.testing.assert_allclose(phase, [0, 0.25, 0, 0.9], atol=1e-12)


def test_scatter_about_bins():
    phase, value = np.array([0.1, 0.1, 0.6, 0.6]), np.array([1.0, 3.0, 5.0, 5.0])
    assert folded_scatter(phase, value, np.ones(4), 2) == pytest.approx(1.0)  # 2 over 4 points less 2 bins


def test_common_course_joins_bins():
    phase = np.linspace(0, 1, 400, endpoint=False)
    course = np.empty(400)
    common_course(phase, np.sin(2 * np.pi * phase), course)
    np.testing.assert_allclose(course, np.sin(2 * np.pi * phase), atol=0.05)


def cycles(seed, time, level):
    """Cycles of one day, each with an amplitude of its own where `level` says so."""
    rng = np.random.default_rng(seed)
    height = 1 + level * rng.normal(size=int(time[-1]) + 2)
    return height[time.astype(int)] * np.sin(2 * np.pi * time) + 0.01 * rng.normal(size=len(time))


@pytest.mark.parametrize("seed", range(5))
def test_cycles_that_all_differ_have_no_longer_period(seed):
    time = np.arange(0, 8, 0.005)
    assert whole_cycle(time, cycles(seed, time, 0.3), np.ones(len(time)), 1.0, 3.2, 7.0) == (1, 1.0)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_cycles_that_take_turns_make_one(factor):
    time = np.arange(0, 60, 0.01)
    value = cycles(0, time, 0.0)
    value[(time.astype(int) % factor == 1)] *= 0.8
    assert whole_cycle(time, value, np.ones(len(time)), 1.0, 24.0, 7.0)[0] == factor


def test_minima_of_a_curve_with_gaps_in_phase():
    time = np.arange(0, 40, 0.013)
    phase = np.mod(time / 2, 1)
    flux = 1 - 0.4 * (np.abs(phase - 0.3) < 0.03) - 0.1 * (np.abs(phase - 0.8) < 0.03)
    seen = np.abs(phase - 0.55) > 0.06
    found = np.empty(7)
    minima(time[seen], flux[seen], 0.5, found)
    assert found[0] == pytest.approx(0.4, abs=0.02)
    assert found[3] == pytest.approx(0.1, abs=0.02)
    assert found[5] == pytest.approx(0.5, abs=0.03)
    assert found[6] == pytest.approx(0.25, abs=0.06)
    minima(time[:12], flux[:12], 0.5, found)
    assert np.isnan(found).all()
