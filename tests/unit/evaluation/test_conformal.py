import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.evaluation.conformal import (
    ConformalIntervals,
    ConformalSets,
    conformal_from_dict,
    conformal_quantile,
    set_metrics,
)


def classes(n, seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([0.6] * 5, n)
    y = (rng.random(n)[:, None] > np.cumsum(p, axis=1)).sum(axis=1)
    wrong = p**0.5  # a model that is not calibrated still gets its coverage
    return wrong / wrong.sum(axis=1, keepdims=True), y


def test_quantile_rank():
    scores = np.arange(1.0, 20.0)  # 19 scores: ceil(20 * 0.9) = 18th
    assert conformal_quantile(scores[::-1], 0.1) == 18
    assert math.isinf(conformal_quantile(scores[:5], 0.1))
    with pytest.raises(InputError):
        conformal_quantile(scores, 0)


@pytest.mark.parametrize("method", ["lac", "aps"])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_sets_cover(method, alpha):
    p, y = classes(3000, 1)
    found = ConformalSets.fit(p, y, alpha=alpha, method=method)
    held, held_y = classes(6000, 2)
    figures = set_metrics(found.sets(held), held_y, alpha)
    assert figures["coverage"] > 1 - alpha - 0.025
    assert 1 <= figures["mean_size"] < 5
    if method == "lac":
        assert figures["coverage"] < 1 - alpha + 0.025


def test_lac_sets_are_no_larger_than_adaptive_ones():
    p, y = classes(3000, 1)
    held, _ = classes(3000, 2)
    sizes = {m: ConformalSets.fit(p, y, alpha=0.1, method=m).sets(held).sum() for m in ("lac", "aps")}
    assert sizes["lac"] <= 1.02 * sizes["aps"]


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_sure_and_right_answers_get_small_sets(method):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 8, 600)
    p = np.full((600, 8), 1e-4)
    p[np.arange(600), np.where(rng.random(600) < 0.95, y, (y + 1) % 8)] = 1
    p /= p.sum(axis=1, keepdims=True)
    inside = ConformalSets.fit(p[:300], y[:300], alpha=0.1, method=method).sets(p[300:])
    assert set_metrics(inside, y[300:], 0.1)["mean_size"] < 1.2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["lac", "aps"]), st.floats(0.02, 0.6))
def test_set_always_holds_the_best_class(seed, method, alpha):
    p, y = classes(60, seed)
    inside = ConformalSets.fit(p, y, alpha=alpha, method=method).sets(p)
    assert inside[np.arange(60), p.argmax(axis=1)].all()
    # and with a class every likelier one
    assert (
        np.take_along_axis(inside, np.argsort(-p, axis=1), axis=1)[:, :-1]
        >= np.take_along_axis(inside, np.argsort(-p, axis=1), axis=1)[:, 1:]
    ).all()


@pytest.mark.parametrize("scaled", [True, False])
def test_intervals_too_narrow_and_too_wide_are_put_right(scaled):
    rng = np.random.default_rng(3)
    sigma = rng.uniform(50, 400, 8000)
    y = 5000 + sigma * rng.normal(size=8000)
    for factor in (0.5, 3.0):
        low, high = 5000 - factor * sigma, 5000 + factor * sigma
        found = ConformalIntervals.fit(low[:4000], high[:4000], y[:4000], alpha=0.1, scaled=scaled)
        new_low, new_high = found.apply(low[4000:], high[4000:])
        assert ((y[4000:] >= new_low) & (y[4000:] <= new_high)).mean() == pytest.approx(0.9, abs=0.025)
        assert (new_low <= new_high).all()


def test_round_trip_through_json():
    p, y = classes(200, 1)
    sets = ConformalSets.fit(p, y, alpha=0.1)
    assert (conformal_from_dict(json.loads(json.dumps(sets.to_dict()))).sets(p) == sets.sets(p)).all()
    low, high = np.zeros(50), np.ones(50)
    intervals = ConformalIntervals.fit(low, high, np.linspace(-1, 2, 50), alpha=0.1)
    again = conformal_from_dict(json.loads(json.dumps(intervals.to_dict(), allow_nan=False)))
    np.testing.assert_array_equal(again.apply(low, high), intervals.apply(low, high))


def test_too_few_rows_promise_nothing_and_so_hold_everything():
    p, y = classes(4, 1)
    found = ConformalSets.fit(p, y, alpha=0.1)
    again = conformal_from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert again.sets(p).all()
