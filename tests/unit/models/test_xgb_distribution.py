import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.evaluation.metrics import quantile_metrics
from stellar.models import create, load_model
from stellar.models.xgb_distribution import quantiles_of_steps

FEATURES = ["x0", "x1"]


def skies(n, seed):
    """A number whose place follows x0 and whose noise grows tenfold with x1."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=(n, 2))
    noise = 0.01 * 10 ** ((x[:, 1] + 1) / 2)
    y = 10 ** (3.7 + 0.1 * x[:, 0] + noise * rng.standard_normal(n))
    return pa.table({name: x[:, k] for k, name in enumerate(FEATURES)}), y, noise


@pytest.mark.parametrize("few_rows", [50_000, 1000])
def test_widths_follow_the_noise_and_levels_hold(few_rows):
    table, y, noise = skies(12_000, 1)
    model = create("xgb_distribution", features=FEATURES, targets=["t"], rounds=80, learning_rate=0.1, max_depth=3,
                   log_target=True, few_rows=few_rows, width_rounds=40, shape_rounds=20)  # fmt: skip
    model.fit(table.slice(0, 8000), y[:8000], seed=1)
    found = model.predict_dist(table.slice(8000))
    about = quantile_metrics(y[8000:], found.levels, found.values)
    assert about["pit_mean"] == pytest.approx(0.5, abs=0.03)
    assert about["pit_std"] == pytest.approx(0.2887, abs=0.02)
    low, high = found.interval(0.1)
    inside = (y[8000:] >= low) & (y[8000:] <= high)
    quiet = noise[8000:] < np.quantile(noise[8000:], 0.3)
    loud = noise[8000:] > np.quantile(noise[8000:], 0.7)
    assert np.median((high - low)[loud]) > 3 * np.median((high - low)[quiet])
    assert 0.84 < inside[quiet].mean() < 0.96
    assert 0.84 < inside[loud].mean() < 0.96


def test_comes_back_the_same_and_knows_its_settings(tmp_path):
    table, y, _ = skies(800, 2)
    model = create("xgb_distribution", features=FEATURES, rounds=10, width_rounds=5, shape_rounds=5)
    model.fit(table, np.where(np.arange(800) % 7, y, np.nan), seed=3)
    model.save(tmp_path)
    again = load_model(tmp_path)
    assert (again.predict_dist(table).values == model.predict_dist(table).values).all()
    twice = create("xgb_distribution", features=FEATURES, rounds=10, width_rounds=5, shape_rounds=5)
    twice.fit(table, np.where(np.arange(800) % 7, y, np.nan), seed=3)
    assert (twice.predict_dist(table).values == model.predict_dist(table).values).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"loss": "l1"}, "loss 'l1'"), ({"levels": [0.5, 0.4, 0.9]}, "rising"), ({"width": 3}, "unknown parameter width")],
)
def test_wrong_settings_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        create("xgb_distribution", features=FEATURES, **wrong)


def test_too_few_rows_and_targets_without_a_logarithm_are_refused():
    table, y, _ = skies(30, 4)
    with pytest.raises(InputError, match="10 labelled rows are too few"):
        create("xgb_distribution", features=FEATURES).fit(table.slice(0, 10), y[:10])
    with pytest.raises(InputError, match="not positive"):
        create("xgb_distribution", features=FEATURES, log_target=True).fit(table, y - y.mean())


@given(st.lists(st.floats(-0.2, 1.2), min_size=4, max_size=4), st.integers(0, 1000))
@settings(deadline=None)
def test_quantiles_of_steps_rise_and_meet_the_steps(steps, seed):
    cuts = np.sort(np.random.default_rng(seed).normal(size=4)) + 0.01 * np.arange(4)
    levels = np.array([0.01, 0.2, 0.5, 0.8, 0.99])
    values = np.empty((1, 5))
    quantiles_of_steps(np.array([steps]), cuts, levels, values)
    assert np.isfinite(values).all()
    assert (np.diff(values[0]) >= -1e-12).all()
    inside = (values[0] > cuts[0]) & (values[0] < cuts[-1])
    p = np.maximum.accumulate(np.clip(steps, 0, 1))
    assert np.interp(values[0][inside], cuts, p) == pytest.approx(levels[inside], abs=1e-6)


def test_a_target_that_does_not_vary_has_a_distribution():
    table, _, _ = skies(60, 5)
    model = create("xgb_distribution", features=FEATURES, rounds=3, width_rounds=2, shape_rounds=2)
    found = model.fit(table, np.full(60, 5000.0), seed=1).predict_dist(table)
    assert found.values == pytest.approx(5000.0, abs=1.0)
