import numpy as np
import pytest
from astropy.timeseries import LombScargle
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.features.periodogram import grid_of
from stellar.features.periods import (
    fit_fourier,
    log10_false_alarm,
    resolve_multiple,
    strongest_peak,
)

SEARCH = {"fmax": 24.0, "fmin": None, "samples_per_peak": 5}


def sector(seed=0, noise=0.01):
    rng = np.random.default_rng(seed)
    time = np.arange(0, 27, 0.02)
    time = time[(time < 13) | (time > 14.2)]
    return time, noise * rng.normal(size=len(time)), np.full(len(time), noise)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 5), st.floats(0, 6.28))
def test_period_of_a_sine_within_its_error(period, phase):
    time, noise, error = sector()
    peak = strongest_peak(time, 1 + 0.02 * np.sin(2 * np.pi * time / period + phase) + noise, error, **SEARCH)
    assert abs(peak.frequency - 1 / period) < 5 * peak.frequency_err
    assert peak.frequency_err < 0.001
    assert peak.log10_fap < -50


def test_power_and_false_alarm_are_astropys():
    time, noise, error = sector(1)
    for amplitude in (0.0, 0.001, 0.002):
        value = 1 + amplitude * np.sin(2 * np.pi * time / 0.7) + noise
        peak = strongest_peak(time, value, error, **SEARCH)
        reference = LombScargle(time, value, error)
        grid = grid_of(time[-1] - time[0], None, 24.0, 5)
        assert peak.power >= reference.power(grid.step * np.arange(grid.first, grid.last + 1)).max() - 1e-5
        assert peak.power == pytest.approx(reference.power(peak.frequency), rel=1e-9)
        expected = reference.false_alarm_probability(peak.power, method="baluev", maximum_frequency=24.0)
        assert peak.log10_fap == pytest.approx(np.log10(expected), abs=0.02)


def test_false_alarm_of_certain_periods_does_not_underflow():
    assert log10_false_alarm(1 - 1e-9, 4000, 24, 60) < -10000
    assert log10_false_alarm(0.001, 4000, 24, 60) == pytest.approx(0, abs=1e-3)


def eclipses(time, period, second, width=0.02):
    phase = np.mod((time - 0.3) / period, 1)
    near = lambda centre: np.exp(-0.5 * ((np.mod(phase - centre + 0.5, 1) - 0.5) / width) ** 2)  # noqa: E731
    return 1 - 0.3 * near(0.2) - second * near(0.7)


@pytest.mark.parametrize("period", [0.6, 1.7, 4.1])
@pytest.mark.parametrize("width", [0.02, 0.06])
def test_eclipsing_binary_gets_its_whole_cycle(period, width):
    time, noise, error = sector(2)
    value = eclipses(time, period, 0.1, width) + noise
    peak = strongest_peak(time, value, error, **SEARCH)
    multiple, ratio = resolve_multiple(time, value, error, 1 / peak.frequency, longest=27 / 2.5)
    assert multiple / peak.frequency == pytest.approx(period, rel=0.01)
    assert (ratio < 1) == (multiple > 1)


@pytest.mark.parametrize("period", [0.13, 0.9, 6.0])
def test_sine_keeps_its_period(period):
    time, noise, error = sector(3)
    value = 1 + 0.05 * np.sin(2 * np.pi * time / period) + noise
    assert resolve_multiple(time, value, error, period, longest=27 / 2.5) == (1, 1.0)


def test_fourier_series_with_its_errors():
    true_a, true_p = np.array([0.1, 0.04, 0.02]), np.array([0.5, 2.0, -1.0])
    found = []
    for seed in range(60):
        time, noise, error = sector(seed)
        order = np.arange(1, 4)[:, None]
        value = 1 + (true_a[:, None] * np.cos(order * 2 * np.pi * (time - time[0]) / 0.8 + true_p[:, None])).sum(axis=0)
        found.append(fit_fourier(time, value + noise, error, 0.8, harmonics=3)[0])
    amplitude, phase = np.array([f.amplitude for f in found]), np.array([f.phase for f in found])
    np.testing.assert_allclose(amplitude.mean(axis=0), true_a, atol=2e-4)
    np.testing.assert_allclose(phase.mean(axis=0), true_p, atol=0.01)
    np.testing.assert_allclose(amplitude.std(axis=0) / found[0].amplitude_err, 1, atol=0.35)
    np.testing.assert_allclose(phase.std(axis=0) / found[0].phase_err, 1, atol=0.35)
    assert found[0].explained > 0.95
