import numpy as np
import pytest

from stellar.features.timescales import (
    asymmetry,
    middle,
    point_to_point,
    quantiles,
    slow_scatter,
    structure,
    usual_step,
    variance,
)


def test_white_noise_has_a_flat_structure_function_and_a_walk_a_rising_one():
    rng = np.random.default_rng(0)
    time = np.sort(rng.uniform(0, 300, 3000))
    edges, found = np.array([0.0, 0.3, 3.0, 30.0]), np.empty(3)
    structure(time, rng.normal(size=3000), edges, found)
    np.testing.assert_allclose(found, 0, atol=0.05)
    structure(time, np.cumsum(rng.normal(size=3000)), edges, found)
    assert found[0] < found[1] - 0.5 < found[2] - 1
    structure(time[:3], rng.normal(size=3), edges, found)
    assert np.isnan(found).all()


def test_slow_scatter():
    rng = np.random.default_rng(1)
    time = np.sort(rng.uniform(0, 3000, 4000))
    slow = np.sin(2 * np.pi * time / 1000)
    assert slow_scatter(time, slow, 30.0, 3) == pytest.approx(1, abs=0.02)
    assert slow_scatter(time, rng.normal(size=4000), 30.0, 3) == pytest.approx(1 / np.sqrt(40), rel=0.25)
    assert np.isnan(slow_scatter(time[:5], slow[:5], 5000.0, 3))


def test_robust_numbers():
    rng = np.random.default_rng(2)
    value = rng.normal(size=5000) + np.linspace(0, 50, 5000)
    assert point_to_point(value) == pytest.approx(1, rel=0.05)
    assert variance(np.array([1.0, 3.0])) == 1
    assert usual_step(np.array([0.0, 1.0, 3.0, 4.0])) == 1
    assert middle(np.array([np.nan, 1.0, 2.0, 9.0])) == 2
    assert np.isnan(middle(np.array([np.nan])))
    found = np.empty(3)
    quantiles(np.sort(value), np.array([0.1, 0.5, 0.98]), found)
    np.testing.assert_allclose(found, np.quantile(value, [0.1, 0.5, 0.98]))
    assert asymmetry(0.0, 3.0, 4.0) == 0.75
    assert np.isnan(asymmetry(1.0, 1.0, 1.0))
