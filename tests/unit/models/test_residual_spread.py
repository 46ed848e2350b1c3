import numpy as np
import pytest

from stellar.models.residual_spread import ResidualSpread


def drawn(n, seed):
    rng = np.random.default_rng(seed)
    signs = rng.normal(size=(n, 3))
    return rng.normal(size=n) * np.exp(0.8 * signs[:, 0]), signs


def test_width_follows_the_sign_that_tells_and_no_other():
    spread = ResidualSpread.fit(*drawn(2000, 0), np.ones(2000))
    assert spread.coefficients[1:] == pytest.approx([0.8, 0, 0], abs=0.1)


@pytest.mark.parametrize("n", [60, 2000])
def test_intervals_cover_what_they_say(n):
    covered = []
    for seed in range(20):
        spread = ResidualSpread.fit(*drawn(n, seed), np.ones(n))
        residual, signs = drawn(500, 1000 + seed)
        half = spread.width(signs) * spread.quantiles(np.array([0.05, 0.95]))[1]
        covered.append((np.abs(residual) <= half).mean())
    assert np.mean(covered) == pytest.approx(0.9, abs=0.03)


def test_quantiles_increase_and_are_symmetric():
    spread = ResidualSpread.fit(*drawn(40, 1), np.ones(40))
    values = spread.quantiles(np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]))
    assert (np.diff(values) >= 0).all()
    assert values == pytest.approx(-values[::-1])
    assert values[3] == 0


def test_signs_far_outside_do_not_run_away():
    spread = ResidualSpread.fit(*drawn(200, 2), np.ones(200))
    assert spread.width(np.full((1, 3), 1e6))[0] < 20 * spread.width(np.zeros((1, 3)))[0]
