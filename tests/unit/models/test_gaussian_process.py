import numpy as np
import pytest
from scipy.optimize import approx_fprime

from stellar.models import gaussian_process
from stellar.models.gaussian_process import NAMES, START, SURVEY, Examples, condition, covariance, search


def examples(n=60, seed=0, library=None):
    rng = np.random.default_rng(seed)
    return Examples(
        spectrum=rng.normal(size=(n, 4)) / 2,
        scalars=rng.normal(size=(n, 2)),
        has_scalars=(rng.random(n) < 0.7).astype(float),
        library=np.full(n, SURVEY) if library is None else library,
        noise=rng.uniform(0.5, 2, n),
    )


def value(at):
    return np.sin(at.spectrum[:, 0]) + 0.5 * at.spectrum[:, 1]


def test_gradient_is_the_slope_of_the_cost(monkeypatch):
    seen = {}

    def keep(cost, start, **_):
        seen["cost"] = cost
        return type("Result", (), {"x": start})

    monkeypatch.setattr(gaussian_process, "minimize", keep)
    at = examples(library=np.arange(60) % 3 - 1)
    search(at, value(at), np.linspace(0.5, 2, 60), iterations=1)
    theta = START + np.linspace(-0.5, 0.5, len(START))
    numeric = approx_fprime(theta, lambda x: seen["cost"](x)[0], 1e-6)
    assert seen["cost"](theta)[1] == pytest.approx(numeric, rel=2e-3, abs=2e-3)


def test_covariance_is_positive_and_blind_to_scalars_that_are_missing():
    at = examples(library=np.arange(60) % 3 - 1)
    matrix = covariance(START, at, at)
    assert np.linalg.eigvalsh(matrix).min() > -1e-8
    other = Examples(at.spectrum, np.where(at.has_scalars[:, None] > 0, at.scalars, 99.0), *_rest(at))
    assert covariance(START, other, other) == pytest.approx(matrix)


def _rest(at):
    return at.has_scalars, at.library, at.noise


def test_left_out_predictions_are_those_of_a_process_without_the_row():
    at = examples(30)
    y, weight = value(at), np.ones(30)
    _, left_out = condition(START, at, y, weight)
    for row in (0, 17):
        rest = np.delete(np.arange(30), row)
        alpha, _ = condition(START, at.take(rest), y[rest], weight[rest])
        alone = covariance(START, at.take(np.array([row])), at.take(rest)) @ alpha
        assert left_out[row] == pytest.approx(alone[0])


def test_a_library_with_another_zero_point_helps_and_does_not_shift_the_survey():
    few, many, new = examples(12, 1), examples(80, 2, np.zeros(80, dtype=int)), examples(200, 3)
    rng = np.random.default_rng(4)
    y = np.concatenate([value(few), value(many) + 3.0]) + 0.02 * rng.normal(size=92)
    both = Examples(*(np.concatenate([getattr(few, f), getattr(many, f)]) for f in Examples.__dataclass_fields__))

    def error(at, labels):
        ones = np.ones(len(labels))
        theta = search(at, labels, ones, iterations=60)
        alpha, _ = condition(theta, at, labels, ones)
        return np.abs(covariance(theta, new, at) @ alpha - value(new)).mean()

    assert error(both, y) < min(error(few, y[:12]), 0.1)


def test_noise_of_the_labels_is_found():
    at = examples(200, 5)
    y = value(at) + 0.3 * np.random.default_rng(6).normal(size=200)
    theta = dict(zip(NAMES, np.exp(search(at, y, np.ones(200), iterations=60)), strict=True))
    assert theta["noise"] + theta["photon_noise"] * at.noise.mean() == pytest.approx(0.09, rel=0.4)
