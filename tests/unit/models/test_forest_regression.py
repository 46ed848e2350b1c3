import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from stellar.errors import InputError, IntegrityError
from stellar.models import create, load_model

FEATURES = ["x", "z"]


@pytest.fixture(scope="module")
def stars():
    """Noise that grows with x, and one label in twenty that failed upwards."""
    rng = np.random.default_rng(5)
    x, z = rng.uniform(0, 1, size=(2, 1500))
    y = 4000 + 2000 * x + rng.normal(0, 20 + 300 * x)
    failed = rng.random(1500) < 0.05
    return pa.table({"x": x, "z": z}), np.where(failed, y + 6000, y), 4000 + 2000 * x


def new(**params):
    settings = {"trees": 80, "min_samples_leaf": 5, **params}
    return create("forest_regression", features=FEATURES, targets=["teff_k"], **settings)


@pytest.fixture(scope="module")
def fitted(stars):
    table, y, _ = stars
    return new(log_target=True).fit(table.slice(0, 1000), y[:1000], seed=2)


def test_the_weights_give_the_forest_s_own_mean(stars):
    """A mean of labels by the leaves' weights is what scikit-learn predicts: the weights are right."""
    table, y, _ = stars
    model = new(levels=[(k + 0.5) / 2000 for k in range(2000)], smoothing=0.0).fit(table.slice(0, 300), y[:300], seed=2)
    X = np.column_stack([table[name].to_numpy() for name in FEATURES]).astype(np.float32)
    order = np.argsort(y[:300], kind="stable")
    forest = ExtraTreesRegressor(80, max_features=0.7, min_samples_leaf=5, random_state=2).fit(X[order], y[:300][order])
    mean = model.predict_dist(table.slice(300, 50)).values.mean(axis=1)
    np.testing.assert_allclose(mean, forest.predict(X[300:350]), rtol=1e-3)


def test_the_median_pays_no_heed_to_failed_labels_and_widths_follow_the_noise(stars, fitted):
    table, y, truth = stars
    found = fitted.predict_dist(table.slice(1000))
    assert np.median(np.abs(found.median - truth[1000:])) < 80
    assert np.abs(found.median - truth[1000:]).mean() < 150  # by the mean of the labels it is 300
    low, high = found.interval(0.1)
    assert 0.84 < ((y[1000:] >= low) & (y[1000:] <= high)).mean() < 0.97
    x = table["x"].to_numpy()[1000:]
    quarter = found.at(0.75) - found.at(0.25)
    assert np.median(quarter[x > 0.8]) > 2 * np.median(quarter[x < 0.2])
    assert (np.diff(found.values, axis=1) >= 0).all()


def test_it_comes_back_the_same_and_is_the_same_again(stars, fitted, tmp_path):
    table, y, _ = stars
    fitted.save(tmp_path / "a")
    again = load_model(tmp_path / "a").predict_dist(table)
    np.testing.assert_array_equal(again.values, fitted.predict_dist(table).values)
    new(log_target=True).fit(table.slice(0, 1000), y[:1000], seed=2).save(tmp_path / "b")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    (tmp_path / "a" / "examples.npz").unlink()
    with pytest.raises(IntegrityError, match="train the model again"):
        load_model(tmp_path / "a")


def test_an_input_that_no_example_lacked_stands_for_the_median_where_it_lacks(stars, fitted):
    table, _, _ = stars
    middle = float(np.median(table["z"].to_numpy()[:1000].astype(np.float32)))
    rows = pa.table({"x": [0.5, 0.5], "z": pa.array([None, middle], pa.float64())})
    found = fitted.predict_dist(rows).values
    np.testing.assert_array_equal(found[0], found[1])


def test_wrong_settings_and_labels_are_refused(stars):
    table, y, _ = stars
    with pytest.raises(InputError, match="smoothing is 2"):
        new(smoothing=2)
    with pytest.raises(InputError, match="levels must increase"):
        new(levels=[0.5, 0.5])
    with pytest.raises(InputError, match="labels above 0"):
        new(log_target=True).fit(table, y - 9000)
    with pytest.raises(InputError, match="not fitted yet"):
        new().predict_dist(table)
