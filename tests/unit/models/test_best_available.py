import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.models import create, load_model

SMALL = {"rounds": 40, "learning_rate": 0.1, "max_depth": 3, "width_rounds": 20, "shape_rounds": 10}
COLUMNS = ["gaia", "infrared"]


def members(**more):
    return {
        "members": [
            {"name": "gaia", "architecture": "xgb_distribution", "params": SMALL, "columns": ["gaia"]},
            {"name": "gaia_2mass", "architecture": "xgb_distribution", "params": SMALL},
        ],
        **more,
    }


@pytest.fixture(scope="module")
def stars():
    """One colour that knows the target badly, one that half of the stars have and that knows it well."""
    rng = np.random.default_rng(1)
    y = rng.normal(5500, 800, 6000)
    gaia, infrared = y + rng.normal(0, 600, 6000), y + rng.normal(0, 100, 6000)
    has = rng.random(6000) < 0.5
    infrared[~has] = np.nan
    return pa.table({"gaia": gaia, "infrared": pa.array(infrared, from_pandas=True)}), y, has


@pytest.mark.parametrize("combine", ["choose", "pool"])
def test_each_star_gets_the_surest_that_it_can_have(stars, tmp_path, combine):
    table, y, has = stars
    model = create("best_available", features=COLUMNS, targets=["t"], **members(combine=combine))
    model.fit(table.slice(0, 4000), y[:4000], validation=(table.slice(4000, 1000), y[4000:5000]), seed=1)
    found, method = model.predict_by(table.slice(5000))
    said = np.array(method.to_pylist())
    assert (said[~has[5000:]] == "gaia").all()
    assert (said[has[5000:]] == "gaia_2mass").mean() > 0.95
    error = np.abs(found.median - y[5000:])
    assert error[has[5000:]].mean() < 0.4 * error[~has[5000:]].mean()
    low, high = found.interval(0.1)
    assert 0.85 < ((y[5000:] >= low) & (y[5000:] <= high)).mean() < 0.97
    model.save(tmp_path)
    again, names = load_model(tmp_path).predict_by(table.slice(5000))
    assert (again.values == found.values).all()
    assert names.equals(method)


def test_a_row_that_lacks_something_for_all_is_answered_by_the_one_that_lacks_least(stars):
    table, y, _ = stars
    model = create("best_available", features=COLUMNS, targets=["t"], **members()).fit(table, y, seed=1)
    found, method = model.predict_by(pa.table({"gaia": pa.array([None], pa.float64()), "infrared": [5000.0]}))
    assert method.to_pylist() == ["gaia"]
    assert np.isfinite(found.values).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"members": []}, "two or more"),
        ({"combine": "vote"}, "`choose` or `pool`"),
        (
            {"members": [{"name": "a"}, {"name": "b", "architecture": "xgb_distribution"}]},
            "member 1: no `architecture`",
        ),
        (
            {"members": [{"name": "a", "architecture": "xgb_distribution", "colums": []}] * 2},
            "unknown key colums",
        ),
        (
            {"members": [{"name": "a", "architecture": "xgb_distribution", "needs": ["w1"]}] * 2},
            "w1 not among `columns`",
        ),
        ({"members": [{"name": "a", "architecture": "xgb_distribution"}] * 2}, "two members have one name"),
    ],
)
def test_wrong_settings_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        create("best_available", features=COLUMNS, **{**members(), **wrong})


def test_a_member_without_examples_is_named(stars):
    table, y, _ = stars
    nothing = table.set_column(1, "infrared", pa.nulls(len(table), pa.float64()))
    with pytest.raises(InputError, match=r"member gaia_2mass: .*0 labelled rows.*needs gaia, infrared"):
        create("best_available", features=COLUMNS, targets=["t"], **members()).fit(nothing, y)
