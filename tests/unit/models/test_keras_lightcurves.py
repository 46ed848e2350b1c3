import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.models import create, load_model

FEATURES = ["time_d", "mag", "mag_err", "period_d", "colour"]
COLUMNS = {"time": "time_d", "value": "mag", "error": "mag_err"}
SMALL = {
    "columns": COLUMNS,
    "value_kind": "mag",
    "period": "period_d",
    "batch_size": 16,
    "dense": 12,
    "dropout": 0.1,
    "learning_rate": 0.01,
    "threads": 2,
}
CNN = {**SMALL, "phase_bins": 24, "raw_bins": 32, "folded_filters": [8, 8], "raw_filters": [8], "epochs": 12}
TOKENS = {**SMALL, "tokens": 10, "patch": 8, "width": 16, "blocks": 1, "attention_heads": 2, "epochs": 20}


def curves(n=150, seed=0):
    """Sine waves and narrow dips of like amplitude, 20 to 200 points, with their periods; log g falls with period."""
    rng = np.random.default_rng(seed)
    kind, period = rng.integers(0, 2, n), 10 ** rng.uniform(-0.5, 0.7, n)
    rows = {"time_d": [], "mag": [], "mag_err": []}
    for k, p in zip(kind, period, strict=True):
        time = np.sort(rng.uniform(0, 40, rng.integers(20, 200)))
        phase = np.mod(time / p + rng.random(), 1)
        signal = 0.2 * np.sin(2 * np.pi * phase) if k else 0.6 * (np.abs(phase - 0.5) < 0.07)
        rows["time_d"].append(time)
        rows["mag"].append(12 + signal + 0.02 * rng.normal(size=len(time)))
        rows["mag_err"].append(np.full(len(time), 0.02))
    table = pa.table({**rows, "period_d": period, "colour": [None if i % 5 == 0 else 0.3 for i in range(n)]})
    logg = 4 - np.log10(period) + 0.05 * rng.normal(size=n)
    return table, np.array(["dips", "sine"])[kind], logg


@pytest.mark.parametrize(("architecture", "params"), [("lightcurve_cnn", CNN), ("lightcurve_transformer", TOKENS)])
def test_tells_dips_from_waves_and_comes_back_from_disk(architecture, params, tmp_path):
    table, labels, _ = curves()
    model = create(architecture, features=FEATURES, **params).fit(table, labels, validation=curves(60, 1)[:2], seed=1)
    new, truth, _ = curves(80, 2)
    p = model.predict_proba(new)
    assert (np.array(model.classes_)[p.argmax(axis=1)] == truth).mean() > 0.85
    vectors = model.embed(new)
    assert vectors.dtype == np.float32
    assert vectors.shape == (80, 12)
    model.save(tmp_path)
    loaded = load_model(tmp_path)
    assert (loaded.predict_proba(new) == p).all()
    assert (loaded.embed(new) == vectors).all()
    # other rows beside it, another length, no points and no period change nothing or break nothing
    assert loaded.predict_proba(new.slice(3, 2)) == pytest.approx(p[3:5], abs=1e-5)
    odd = pa.table(
        {
            "time_d": [[], np.arange(3000.0), None],
            "mag": [[], np.sin(np.arange(3000.0)), None],
            "mag_err": [[], np.full(3000, 0.1), None],
            "period_d": [1.0, None, -2.0],
            "colour": pa.array([None, None, 0.1]),
        }
    )
    assert np.isfinite(loaded.predict_proba(odd)).all()


def test_two_targets_where_each_row_has_but_one():
    table, labels, logg = curves(240)
    known = np.arange(240) % 2 == 0
    y = {"kind": np.where(known, labels.astype(object), None), "logg_dex": np.where(known, np.nan, logg)}
    heads = {"kind": {"kind": "class"}, "logg_dex": {"kind": "quantity"}}
    model = create(
        "lightcurve_multitask", features=FEATURES, targets=("kind", "logg_dex"), heads=heads, **{**CNN, "epochs": 20}
    ).fit(table, y, seed=2)
    new, truth, value = curves(100, 3)
    assert (np.array(model.classes_)[model.predict_proba(new, "kind").argmax(axis=1)] == truth).mean() > 0.85
    q = model.predict_dist(new, "logg_dex")
    assert np.abs(q.median - value).mean() < 0.7 * np.abs(value - value.mean()).mean()
    assert (np.diff(q.values, axis=1) > 0).all()
    with pytest.raises(InputError, match="no quantity target 'kind'"):
        model.predict_dist(new, "kind")


def test_same_seed_same_network_with_augmentation():
    table, labels, _ = curves(60)
    one, two, other = (
        create("lightcurve_cnn", features=FEATURES, **{**CNN, "epochs": 2}).fit(table, labels, seed=seed)
        for seed in (5, 5, 6)
    )
    assert (one.predict_proba(table) == two.predict_proba(table)).all()
    assert one.history == two.history
    assert (one.predict_proba(table) != other.predict_proba(table)).any()


def test_refusals():
    for features, params, words in (
        (["time_d", "mag"], SMALL, "features lack mag_err, period_d"),
        (FEATURES, {**SMALL, "value_kind": "counts"}, "value_kind is flux or mag"),
        (FEATURES, {**SMALL, "columns": {"time": "time_d"}}, "columns names time and value"),
        (FEATURES, {**SMALL, "members": 0}, "members is a whole number of 1 or more"),
        (FEATURES, {**SMALL, "precision": "half"}, "precision is one of"),
        (FEATURES, {**SMALL, "augment": {"wobble": 1}}, "unknown wobble"),
    ):
        with pytest.raises(InputError, match=words):
            create("lightcurve_cnn", features=features, **params)
    with pytest.raises(InputError, match="backbone"):
        create("lightcurve_multitask", features=FEATURES, **SMALL, backbone="forest")
