import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import norm

from stellar.models.pooling import pool

LEVELS = np.linspace(0.005, 0.995, 199)


def test_mixture_of_two_normal_laws():
    values = np.stack([-1 + ndtri(LEVELS), 2 + 0.5 * ndtri(LEVELS)])[:, None, :]
    found = pool(LEVELS, values, np.array([[3.0], [1.0]]))
    below = 0.75 * norm.cdf(found.values[0], -1, 1) + 0.25 * norm.cdf(found.values[0], 2, 0.5)
    assert below[5:-5] == pytest.approx(LEVELS[5:-5], abs=0.01)


def test_a_part_without_weight_takes_no_part():
    values = np.stack([np.zeros(199), ndtri(LEVELS)])[:, None, :]
    found = pool(LEVELS, values, np.array([[0.0], [2.0]]))
    assert found.values[0] == pytest.approx(ndtri(LEVELS), abs=0.06)


def test_equal_weights_where_none_are_given():
    values = np.stack([np.full(199, 1.0), np.full(199, 3.0)])[:, None, :]
    found = pool(LEVELS, values)
    assert found.at(0.2)[0] == 1.0
    assert found.at(0.8)[0] == 3.0
