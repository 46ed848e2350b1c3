import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stellar.errors import InputError
from stellar.evaluation import metrics

P = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
Y = np.array([0, 1, 1, 0])


def test_classification_by_hand():
    found = metrics.classification_metrics(Y, P, ["A", "F", "G"], n_bins=2)
    assert found["accuracy"] == 0.75
    assert found["per_class"]["A"] == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "support": 2,
        "roc_auc": pytest.approx(3 / 4),
        "average_precision": pytest.approx(5 / 6),
    }
    assert found["per_class"]["G"]["support"] == 0
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)  # G neither occurs nor is predicted
    assert found["confusion"] == [[2, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.3, 0.7, 0.5]).mean())
    one_hot = np.eye(3)[Y]
    assert found["brier"] == pytest.approx(((P - one_hot) ** 2).sum(axis=1).mean())
    # bins {0.5, 0.6} with accuracy 0.5 and {0.7, 0.8} with accuracy 1
    assert found["ece"] == pytest.approx((abs(1.1 - 1) + abs(1.5 - 2)) / 4)


def test_ece_is_small_only_for_true_probabilities():
    rng = np.random.default_rng(0)
    top = rng.uniform(0.5, 1, 20000)
    p = np.stack([top, 1 - top], axis=1)
    y = (rng.random(20000) > top).astype(int)
    assert metrics.expected_calibration_error(y, p) < 0.012
    sharp = p**3 / (p**3).sum(axis=1, keepdims=True)
    assert metrics.expected_calibration_error(y, sharp) > 0.1
    curve = metrics.reliability_curve(y, p)
    assert sum(b["n"] for b in curve) == 20000
    assert len(curve) == 10


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 12), st.randoms())
def test_equal_mass_bins_ignore_order_and_keep_ties_together(scores, n_bins, random):
    bins = metrics.equal_mass_bins(np.array(scores, float), n_bins)
    assert bins.min() >= 0
    assert bins.max() < n_bins
    order = list(range(len(scores)))
    random.shuffle(order)
    assert (metrics.equal_mass_bins(np.array(scores, float)[order], n_bins) == bins[order]).all()
    by_score = {}
    for score, number in zip(scores, bins, strict=True):
        assert by_score.setdefault(score, number) == number


def test_regression_by_hand():
    found = metrics.regression_metrics([4000, 5000, 6000], [4100, 5000, 6900])
    assert found["mae"] == pytest.approx(1000 / 3)
    assert found["bias"] == pytest.approx(1000 / 3)
    assert found["rmse"] == pytest.approx(np.sqrt((100**2 + 900**2) / 3))
    assert found["within_10_percent"] == pytest.approx(2 / 3)
    assert found["r2"] == pytest.approx(1 - (100**2 + 900**2) / 2e6)
    with pytest.raises(InputError):
        metrics.regression_metrics([], [])


def test_interval_metrics_by_hand():
    found = metrics.interval_metrics([1, 5], [0, 0], [2, 4], alpha=0.2)
    assert found["coverage"] == 0.5
    assert found["mean_width"] == 3
    assert found["winkler"] == pytest.approx((2 + 4 + 2 / 0.2 * 1) / 2)


def test_crps_and_pit_of_a_normal_forecast():
    rng = np.random.default_rng(1)
    y = rng.normal(size=4000)
    levels = np.linspace(0.005, 0.995, 199)
    values = np.broadcast_to(stats.norm.ppf(levels), (len(y), len(levels)))
    expected = (y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / np.sqrt(np.pi)).mean()  # Gneiting 2005
    assert metrics.crps_from_quantiles(y, levels, values) == pytest.approx(expected, rel=0.01)
    found = metrics.quantile_metrics(y, levels, values)
    assert found["pit_mean"] == pytest.approx(0.5, abs=0.015)
    assert found["pit_std"] == pytest.approx(1 / np.sqrt(12), abs=0.006)
    np.testing.assert_allclose(metrics.pit_from_quantiles(y, levels, values), stats.norm.cdf(y), atol=0.006)


def test_mismatched_rows_are_refused():
    with pytest.raises(InputError, match="belong together"):
        metrics.brier_score(Y[:2], P)
    with pytest.raises(InputError, match="class indices"):
        metrics.log_loss(np.array([0, 1, 1, 3]), P)
    with pytest.raises(InputError, match="no rows"):
        metrics.log_loss(np.zeros(0, int), P[:0])
