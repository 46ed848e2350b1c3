import numpy as np
import pytest
from scipy.optimize import check_grad

from stellar.models import matern_process
from stellar.models.matern_process import covariance, learn, search

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 3))
Y = np.sin(1.5 * X[:, 0]) + 0.3 * X[:, 1]
Y = (Y - Y.mean()) / Y.std()
ONES = np.ones(60)
THETA = np.array([0.2, 0.5, 1.0, 2.0, -1.0, -3.0])


def test_the_search_follows_its_own_gradient(monkeypatch):
    """The cost's slope by each hyper-parameter is that of differences, with unequal trust in the examples."""
    held = {}
    monkeypatch.setattr(matern_process, "minimize", lambda cost, start, **_: held.update(cost=cost) or _Found(start))
    search(X, Y, RNG.uniform(0.3, 2, 60), iterations=1)
    error = check_grad(lambda t: held["cost"](t)[0], lambda t: held["cost"](t)[1], THETA)
    assert error < 1e-3 * np.linalg.norm(held["cost"](THETA)[1])


class _Found:
    def __init__(self, x):
        self.x = x


def test_left_out_values_are_those_of_processes_without_the_example():
    _, left_out = learn(THETA, X, Y, ONES, None)
    for row in (0, 17, 59):
        others = np.arange(60) != row
        process, _ = learn(THETA, X[others], Y[others], ONES[others], None)
        mean, variance = process.predict(X[row : row + 1])
        assert left_out.mean[row] == pytest.approx(mean[0], abs=1e-5)
        assert left_out.variance[row] == pytest.approx(variance[0], abs=1e-4)


def test_an_input_that_says_nothing_gets_a_great_length():
    lengths = np.exp(search(X, Y, ONES, iterations=50)[1:4])
    assert lengths[2] > 4 * lengths[0]
    assert lengths.argmin() == 0


def test_a_failed_label_does_not_draw_its_neighbours_along():
    wrong = Y.copy()
    row = int(np.abs(X[:, 0]).argmin())
    wrong[row] += 8
    near = X[row : row + 1] + 0.01
    true, _ = learn(THETA, X, Y, ONES, None)[0].predict(near)
    plain, _ = learn(THETA, X, wrong, ONES, None)[0].predict(near)
    robust, _ = learn(THETA, X, wrong, ONES, 4.0)[0].predict(near)
    assert abs(robust[0] - true[0]) < 0.3 * abs(plain[0] - true[0])


def test_covariance_is_matern_and_linear():
    k = covariance(np.array([0.0, 0.0, 0.0, 0.0]), np.zeros((1, 1)), np.array([[1.0]]))
    assert k.shape == (1, 1)
    assert k[0, 0] == pytest.approx((1 + np.sqrt(3)) * np.exp(-np.sqrt(3)))
