import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from stellar.errors import InputError, IntegrityError
from stellar.models import create, load_model
from stellar.models.forest import Nodes

FEATURES = ["x0", "x1", "x2"]


@pytest.fixture(scope="module")
def stars():
    """Class by x0 and x1; a tenth of all values missing."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(900, 3))
    kind = np.where(x[:, 0] > 0.5, "giant", np.where(x[:, 1] > 0, "dwarf", "subdwarf"))
    seen = np.where(rng.random(x.shape) < 0.1, np.nan, x)
    return pa.table({name: pa.array(seen[:, k], from_pandas=True) for k, name in enumerate(FEATURES)}), kind


def test_nodes_answer_as_scikit_learn_does(stars):
    table, kind = stars
    X = np.column_stack([table[name].to_numpy(zero_copy_only=False) for name in FEATURES]).astype(np.float32)
    forest = ExtraTreesClassifier(40, min_samples_leaf=3, random_state=2).fit(X[:600], kind[:600])
    found = Nodes.of(forest.estimators_).predict(X)
    np.testing.assert_allclose(found, forest.predict_proba(X), atol=1e-6)


def test_it_learns_and_comes_back_the_same(stars, tmp_path):
    table, kind = stars
    model = create("forest_classifier", features=FEATURES, targets=["kind"], trees=60, threads=1)
    model.fit(table.slice(0, 600), kind[:600], seed=3)
    p = model.predict_proba(table.slice(600))
    assert model.classes_ == ("dwarf", "giant", "subdwarf")
    assert p.sum(axis=1) == pytest.approx(1)
    assert (np.array(model.classes_)[p.argmax(axis=1)] == kind[600:]).mean() > 0.8
    model.save(tmp_path / "a")
    again = load_model(tmp_path / "a")
    assert (again.predict_proba(table.slice(600)) == p).all()
    create("forest_classifier", features=FEATURES, targets=["kind"], trees=60, threads=2).fit(
        table.slice(0, 600), kind[:600], seed=3
    ).save(tmp_path / "b")
    assert (tmp_path / "a" / "nodes.parquet").read_bytes() == (tmp_path / "b" / "nodes.parquet").read_bytes()


def test_damaged_nodes_are_named(stars, tmp_path):
    table, kind = stars
    create("forest_classifier", features=FEATURES, trees=2).fit(table, kind).save(tmp_path)
    (tmp_path / "nodes.parquet").write_bytes(b"nothing")
    with pytest.raises(IntegrityError, match=r"nodes\.parquet"):
        load_model(tmp_path)


@pytest.mark.parametrize(("params", "said"), [({"kinds": []}, "nothing"), ({"kinds": ["oak"]}, "oak")])
def test_unknown_kinds_are_refused(params, said):
    with pytest.raises(InputError, match=said):
        create("forest_classifier", features=FEATURES, **params)


def test_a_blend_is_the_weighted_mean_of_its_members(stars, tmp_path):
    table, kind = stars
    forest = {"architecture": "forest_classifier", "params": {"trees": 20}, "weight": 3, "columns": ["x0", "x1"]}
    boosted = {"architecture": "xgb_classifier", "params": {"rounds": 20}}
    blend = create("blend", features=FEATURES, targets=["kind"], members=[forest, boosted])
    blend.fit(table.slice(0, 600), kind[:600], seed=1)
    p = blend.predict_proba(table)
    own = [member.predict_proba(table) for member in blend.members]
    np.testing.assert_allclose(p, 0.75 * own[0] + 0.25 * own[1])
    blend.save(tmp_path)
    assert (load_model(tmp_path).predict_proba(table) == p).all()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([{"architecture": "xgb_classifier"}], "two or more"),
        ([{"params": {}}, {"architecture": "xgb_classifier"}], "no `architecture`"),
        ([{"architecture": "xgb_classifier", "wieght": 2}] * 2, "unknown key wieght"),
        ([{"architecture": "xgb_classifier", "weight": 0}] * 2, "above 0"),
        ([{"architecture": "xgb_classifier", "columns": ["x9"]}] * 2, "x9 not among"),
    ],
)
def test_a_wrong_member_is_named(members, said):
    with pytest.raises(InputError, match=said):
        create("blend", features=FEATURES, members=members)
