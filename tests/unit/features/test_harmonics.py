import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.features.harmonics import fit_series, rise_fraction
from stellar.features.kernels import waves


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_waves_are_cosine_and_sine(cycles):
    cycles = np.array(cycles)
    cosine, sine = np.empty(len(cycles)), np.empty(len(cycles))
    waves(cycles, cosine, sine)
    turn = cycles - np.rint(cycles)
    np.testing.assert_allclose(cosine, np.cos(2 * np.pi * turn), atol=1e-14)
    np.testing.assert_allclose(sine, np.sin(2 * np.pi * turn), atol=1e-14)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_series_is_numpys_least_squares(seed, harmonics):
    rng = np.random.default_rng(seed)
    time, error = np.sort(rng.uniform(0, 30, 150)), rng.uniform(0.5, 2, 150)
    value = 10 + rng.normal(size=150)
    phase = 2 * np.pi * 0.7 * (time - time[0])[:, None] * np.arange(1, harmonics + 1)
    design = np.hstack([np.ones((150, 1)), np.cos(phase), np.sin(phase)])
    expected = np.linalg.lstsq(design / error[:, None], value / error, rcond=None)[0]
    model = np.empty(150)
    coefficients, covariance, explained = fit_series(time, value, 1 / error**2, 0.7, harmonics, model)
    np.testing.assert_allclose(coefficients, expected, atol=1e-4)
    np.testing.assert_allclose(model, design @ coefficients, atol=1e-9)
    assert np.all(np.diag(covariance) > 0)
    assert 0 <= explained < 1


def test_series_of_too_few_phases_stays_finite():
    time = np.repeat(np.arange(10.0), 3)
    model = np.empty(30)
    coefficients, _, _ = fit_series(time, np.sin(time), np.ones(30), 1.0, 5, model)  # all at one phase
    assert np.isfinite(coefficients).all()
    assert np.abs(model).max() < 2


def test_rise():
    assert rise_fraction(np.array([1.0]), np.array([0.3])) == pytest.approx(0.5, abs=0.01)
    k = np.arange(1, 40)
    saw = np.mod(np.angle(np.exp(-1j * np.pi / 2 * np.ones(39))), 2 * np.pi)
    assert rise_fraction(1 / k, saw) < 0.1 or rise_fraction(1 / k, saw) > 0.9
