import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import RandomForestRegressor

from stellar.errors import InputError
from stellar.evaluation.metrics import crps_from_quantiles
from stellar.models import create, load_model
from stellar.models.forest import Nodes
from stellar.models.forest_regressor import leaf_values

FEATURES = ["x0", "x1", "x2"]


def stars(n=1500, seed=4):
    """y by x0, its scatter by x1; a tenth of all values missing."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 3))
    scatter = np.where(x[:, 1] > 0, 2.0, 0.2)
    y = 10 + 5 * x[:, 0] + scatter * rng.normal(size=n)
    seen = x.copy()
    seen[:, 2][rng.random(n) < 0.3] = np.nan
    table = pa.table({name: pa.array(seen[:, k], from_pandas=True) for k, name in enumerate(FEATURES)})
    return table, y, x


def made(**params):
    return create("random_forest_regressor", features=FEATURES, targets=["y"], **{"trees": 80, "threads": 1, **params})


def test_leaves_hold_the_distribution_of_meinshausen():
    table, y, _ = stars(300)
    X = np.column_stack([table[name].to_numpy(zero_copy_only=False) for name in FEATURES]).astype(np.float32)
    forest = RandomForestRegressor(20, min_samples_leaf=5, random_state=1).fit(X, y)
    nodes = Nodes.of(forest.estimators_)
    leaves = np.concatenate([found for _, found in nodes.walks(X)])
    kept = leaf_values(leaves, y, np.ones(len(y)), np.full(len(nodes.share), np.nan), 400)
    row = np.flatnonzero(leaves[:, 0] == leaves[7, 0])
    # his weights: the mean over the trees of 1 / size of the shared leaf
    weights = np.mean(
        [(leaves[:, t] == leaves[7, t]) / (leaves[:, t] == leaves[7, t]).sum() for t in range(20)], axis=0
    )
    order = np.argsort(y)
    exact = y[order][np.searchsorted(np.cumsum(weights[order]), [0.1, 0.5, 0.9])]
    ours = np.sort(kept[leaves[7]].ravel())
    np.testing.assert_allclose(np.quantile(ours, [0.1, 0.5, 0.9], method="inverted_cdf"), exact)
    assert set(kept[leaves[7, 0]]) == set(y[row])


def test_a_weight_is_as_many_rows():
    leaves = np.zeros((4, 1), dtype=int)
    y = np.array([1.0, 2, 3, 4])
    twice = leaf_values(np.zeros((5, 1), dtype=int), np.append(y, 4), np.ones(5), np.zeros(1), 5)
    assert (leaf_values(leaves, y, np.array([1.0, 1, 1, 2]), np.zeros(1), 5) == twice).all()
    assert leaf_values(leaves, y, np.array([0.0, 0, 1, 0]), np.zeros(1), 2).tolist() == [[3, 3]]


def test_it_learns_centre_and_scatter():
    table, y, x = stars(4000)
    model = made(min_samples_leaf=10, max_features=1.0).fit(table.slice(0, 3000), y[:3000], seed=2)
    said = model.predict_dist(table.slice(3000))
    truth, wide = y[3000:], x[3000:, 1] > 0.1
    narrow = x[3000:, 1] < -0.1
    low, high = said.interval(0.2)
    assert ((truth >= low) & (truth <= high)).mean() == pytest.approx(0.8, abs=0.08)
    assert np.median((high - low)[wide]) > 2.5 * np.median((high - low)[narrow])
    assert np.abs(said.median - truth)[narrow].mean() < 0.6
    plain = np.tile(np.quantile(y[:3000], said.levels), (len(truth), 1))
    assert crps_from_quantiles(truth, said.levels, said.values) < 0.6 * crps_from_quantiles(truth, said.levels, plain)
    assert (np.diff(said.values, axis=1) >= 0).all()


def test_it_comes_back_the_same_and_threads_do_not_matter(tmp_path):
    table, y, _ = stars()
    model = made().fit(table, y, seed=3)
    model.save(tmp_path / "a")
    said = model.predict_dist(table)
    assert (load_model(tmp_path / "a").predict_dist(table).values == said.values).all()
    made(threads=2).fit(table, y, seed=3).save(tmp_path / "b")
    for name in ("nodes.parquet", "leaves.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_rows_without_a_label_are_left_out():
    table, y, _ = stars(400)
    holes = y.copy()
    holes[::3] = np.nan
    kept = np.flatnonzero(np.isfinite(holes))
    first = made().fit(table, holes, seed=1).predict_dist(table).values
    assert (first == made().fit(table.take(kept), y[kept], seed=1).predict_dist(table).values).all()
    assert made(extra_trees=True).fit(table, holes, seed=1).predict_dist(table).values.shape == first.shape


@pytest.mark.parametrize(
    ("params", "said"),
    [({"trees": 0}, "1 or more"), ({"levels": [0.9, 0.1]}, "must ascend"), ({"tres": 4}, "did you mean `trees`"),
     ({"extra_trees": 3}, "true or false")],
)  # fmt: skip
def test_wrong_parameters_are_refused(params, said):
    with pytest.raises(InputError, match=said):
        made(**params)


def test_the_median_pays_no_heed_to_failed_labels():
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 1, 1500)
    truth = 4000 + 2000 * x
    y = truth + rng.normal(0, 20 + 300 * x) + np.where(rng.random(1500) < 0.05, 6000, 0)
    table = pa.table({"x": x})
    params = {"trees": 80, "min_samples_leaf": 5, "max_features": 1.0, "extra_trees": True, "threads": 1}
    error = {}
    for smoothing in (0.0, 0.2):
        model = create("random_forest_regressor", features=["x"], targets=["teff_k"], smoothing=smoothing, **params)
        found = model.fit(table.slice(0, 1000), y[:1000], seed=2).predict_dist(table.slice(1000))
        error[smoothing] = np.abs(found.median - truth[1000:]).mean()
        assert (np.diff(found.values, axis=1) >= 0).all()
    assert error[0.2] < error[0.0] < 150  # of the mean of the labels it is 300


def test_smoothing_is_a_share():
    with pytest.raises(InputError, match="smoothing is 2; it lies in 0 to 1"):
        create("random_forest_regressor", features=["x"], smoothing=2)
