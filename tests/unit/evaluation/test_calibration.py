import json

import numpy as np
import pytest
from scipy.special import ndtri

from stellar.errors import InputError
from stellar.evaluation.calibration import QuantileCalibrator, calibrator_from_dict, fit_calibrator
from stellar.evaluation.metrics import expected_calibration_error, log_loss


def overconfident(n=6000, seed=0, power=2.5):
    """True probabilities, and the same sharpened; labels drawn from the true ones."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([1.0, 1.0, 1.0], n)
    y = (rng.random(n)[:, None] > np.cumsum(true, axis=1)).sum(axis=1)
    sharp = true**power
    return true, sharp / sharp.sum(axis=1, keepdims=True), y


def test_temperature_finds_the_power_and_keeps_the_ranking():
    true, sharp, y = overconfident()
    found = fit_calibrator("temperature", sharp, y)
    assert found.to_dict()["temperature"] == pytest.approx(2.5, rel=0.06)
    np.testing.assert_allclose(found.apply(sharp), true, atol=0.03)
    assert (found.apply(sharp).argmax(axis=1) == sharp.argmax(axis=1)).all()


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_calibrated_on_rows_not_seen(kind):
    _, sharp, y = overconfident(seed=1)
    _, held, held_y = overconfident(seed=2)
    found = fit_calibrator(kind, sharp, y).apply(held)
    assert found.sum(axis=1) == pytest.approx(1)
    assert expected_calibration_error(held_y, found) < 0.25 * expected_calibration_error(held_y, held)
    assert log_loss(held_y, found) < log_loss(held_y, held)


@pytest.mark.parametrize("kind", ["temperature", "isotonic", "none"])
def test_round_trip_through_json(kind):
    _, sharp, y = overconfident(n=500)
    found = fit_calibrator(kind, sharp, y)
    again = calibrator_from_dict(json.loads(json.dumps(found.to_dict())))
    assert (again.apply(sharp) == found.apply(sharp)).all()


def test_certain_probabilities_stay_finite():
    p, y = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 1, 1])
    for kind in ("temperature", "isotonic"):
        found = fit_calibrator(kind, p, y).apply(p)
        assert np.isfinite(found).all()
        assert (found > 0).all()


def test_unknown_kind_and_empty_part():
    with pytest.raises(InputError, match="platt"):
        fit_calibrator("platt", np.eye(2), np.array([0, 1]))
    with pytest.raises(InputError, match="larger fraction"):
        fit_calibrator("temperature", np.zeros((0, 2)), np.zeros(0, int))


def test_levels_of_quantiles_are_set_right():
    rng = np.random.default_rng(1)
    y = rng.normal(size=4000)
    levels = np.linspace(0.01, 0.99, 49)
    too_narrow = np.tile(0.5 * ndtri(levels) + 0.2, (4000, 1))
    found = QuantileCalibrator.fit(levels, too_narrow[:2000], y[:2000])
    right = found.apply(levels, too_narrow[2000:])
    inner = (levels > 0.15) & (levels < 0.8)  # beyond, the narrow quantiles have nothing to give
    assert (y[2000:, None] <= right).mean(axis=0)[inner] == pytest.approx(levels[inner], abs=0.03)
    assert (np.diff(right, axis=1) >= 0).all()
    again = QuantileCalibrator.from_dict(found.to_dict())
    assert (again.apply(levels, too_narrow) == found.apply(levels, too_narrow)).all()
