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
        rest, one = np.delete(np.arange(30), row), at.take(np.array([row]))
        process, _ = condition(START, at.take(rest), y[rest], weight[rest])
        assert left_out.mean[row] == pytest.approx(process.mean(one)[0])
        assert left_out.variance[row] == pytest.approx(process.variance(one)[0])


def test_the_doubt_is_small_beside_an_example_and_all_of_the_process_far_away():
    at = examples(library=np.arange(60) % 3 - 1)
    assert gaussian_process._own_variance(START, at) == pytest.approx(np.diag(covariance(START, at, at)))
    own = examples(40)
    process, _ = condition(START, own, value(own), np.ones(40))
    away = Examples(own.spectrum + 1e3, own.scalars, np.zeros(40), own.library, own.noise)
    assert (process.variance(own) < 0.5 * gaussian_process._own_variance(START, own)).all()
    # what is linear in the spectrum grows with it
    assert (process.variance(away) > 1e3).all()


def test_an_example_of_little_weight_leaves_doubt_as_if_it_were_not_there():
    at = examples(30)
    weight = np.where(np.arange(30) == 4, 1e-6, 1.0)
    one, rest = at.take(np.array([4])), np.delete(np.arange(30), 4)
    whole, _ = condition(START, at, value(at), np.ones(30))
    doubtful, _ = condition(START, at, value(at), weight)
    without, _ = condition(START, at.take(rest), value(at)[rest], np.ones(29))
    assert doubtful.variance(one)[0] == pytest.approx(without.variance(one)[0], rel=1e-3)
    assert doubtful.variance(one)[0] > whole.variance(one)[0]


def test_a_library_with_another_zero_point_helps_and_does_not_shift_the_survey():
    few, many, new = examples(12, 1), examples(80, 2, np.zeros(80, dtype=int)), examples(200, 3)
    rng = np.random.default_rng(4)
    y = np.concatenate([value(few), value(many) + 3.0]) + 0.02 * rng.normal(size=92)
    both = Examples(*(np.concatenate([getattr(few, f), getattr(many, f)]) for f in Examples.__dataclass_fields__))

    def error(at, labels):
        ones = np.ones(len(labels))
        theta = search(at, labels, ones, iterations=60)
        process, _ = condition(theta, at, labels, ones)
        return np.abs(process.mean(new) - value(new)).mean()

    assert error(both, y) < min(error(few, y[:12]), 0.1)


def test_noise_of_the_labels_is_found():
    at = examples(200, 5)
    y = value(at) + 0.3 * np.random.default_rng(6).normal(size=200)
    theta = dict(zip(NAMES, np.exp(search(at, y, np.ones(200), iterations=60)), strict=True))
    assert theta["noise"] + theta["photon_noise"] * at.noise.mean() == pytest.approx(0.09, rel=0.4)
