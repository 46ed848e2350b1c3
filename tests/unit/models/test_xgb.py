import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.models import create, load_model
from stellar.models.xgb import balanced_weights

FEATURES = ["x0", "x1", "x2"]


@pytest.fixture(scope="module")
def stars():
    """Temperature by x0 with known noise of 3%, class by x1, a tenth of all values missing."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3000, 3))
    teff = 5500 * np.exp(0.2 * x[:, 0] + 0.03 * rng.normal(size=len(x)))
    kind = np.where(x[:, 1] > 0.5, "giant", "dwarf")
    seen = np.where(rng.random(x.shape) < 0.1, np.nan, x)
    table = pa.table({name: pa.array(seen[:, k], from_pandas=True) for k, name in enumerate(FEATURES)})
    return table, teff, kind


def test_classifier_learns_and_comes_back_the_same(stars, tmp_path):
    table, _, kind = stars
    model = create("xgb_classifier", features=FEATURES, targets=["kind"], rounds=60, max_depth=3)
    model.fit(table.slice(0, 2000), kind[:2000], validation=(table.slice(2000), kind[2000:]), seed=3)
    p = model.predict_proba(table.slice(2000))
    assert model.classes_ == ("dwarf", "giant")
    assert p.sum(axis=1) == pytest.approx(1)
    # 4% of the stars cannot be known: their x1 is missing and they are giants
    assert (np.array(model.classes_)[p.argmax(axis=1)] == kind[2000:]).mean() > 0.93
    model.save(tmp_path)
    again = load_model(tmp_path)
    assert (again.predict_proba(table.slice(2000)) == p).all()
    assert again.classes_ == model.classes_
    assert again.seed == 3
    assert again.history == model.history


def test_same_seed_same_model(stars):
    table, _, kind = stars
    runs = [
        create("xgb_classifier", features=FEATURES, rounds=30).fit(table, kind, seed=seed).predict_proba(table)
        for seed in (1, 1, 2)
    ]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_quantiles_are_ordered_cover_and_follow_the_log_target(stars, tmp_path):
    table, teff, _ = stars
    params = {"levels": [0.1, 0.5, 0.9], "rounds": 100, "learning_rate": 0.1, "max_depth": 3, "log_target": True}
    model = create("xgb_quantile", features=FEATURES, targets=["teff_k"], **params)
    model.fit(table.slice(0, 2000), teff[:2000], validation=(table.slice(2000), teff[2000:]), seed=1)
    found = model.predict_dist(table.slice(2000))
    assert (np.diff(found.values, axis=1) >= 0).all()
    low, high = found.interval(0.2)
    assert 0.7 < ((teff[2000:] >= low) & (teff[2000:] <= high)).mean() < 0.90
    known = ~np.isnan(np.asarray(table.slice(2000)["x0"].to_pylist(), dtype=float))
    assert np.median(np.abs(found.median - teff[2000:])[known] / teff[2000:][known]) < 0.04
    model.save(tmp_path)
    assert (load_model(tmp_path).predict_dist(table.slice(2000)).values == found.values).all()


def test_several_targets_each_with_its_own_missing_labels(stars, tmp_path):
    table, teff, kind = stars
    heads = {"teff_k": {"kind": "quantile", "levels": [0.1, 0.5, 0.9]}, "kind": {"kind": "class", "rounds": 20}}
    model = create("xgb_multitask", features=FEATURES, targets=["teff_k", "kind"], rounds=40, heads=heads)
    part = {"teff_k": np.where(np.arange(3000) % 3, teff, np.nan), "kind": np.array([None, *kind[1:]], dtype=object)}
    model.fit(table, part, seed=0)
    assert model.history["kind"]["rounds"] == 20
    assert model.predict_dist(table).values.shape == (3000, 3)
    assert model.predict_proba(table).shape == (3000, 2)
    with pytest.raises(InputError, match="no class target 'teff_k'"):
        model.predict_proba(table, "teff_k")
    model.save(tmp_path)
    again = load_model(tmp_path)
    assert (again.predict_dist(table).values == model.predict_dist(table).values).all()
    assert (again.predict_proba(table, "kind") == model.predict_proba(table)).all()


def test_refusals(stars):
    table, teff, kind = stars
    with pytest.raises(InputError, match="two classes"):
        create("xgb_classifier", features=FEATURES).fit(table, np.full(3000, "A"))
    with pytest.raises(InputError, match="not positive"):
        create("xgb_quantile", features=FEATURES, log_target=True).fit(table, teff - 6000)
    with pytest.raises(InputError, match="no quantile target"):
        create("xgb_classifier", features=FEATURES, rounds=2).fit(table, kind).predict_dist(table)
    with pytest.raises(InputError, match="12 labels for 3000 rows"):
        create("xgb_classifier", features=FEATURES).fit(table, kind[:12])


def test_balanced_weights():
    codes = np.array([0, 0, 0, 1])
    assert balanced_weights(codes, 0.0).tolist() == [1, 1, 1, 1]
    full = balanced_weights(codes, 1.0)
    assert full[:3].sum() == pytest.approx(full[3])
    assert full.mean() == pytest.approx(1)
