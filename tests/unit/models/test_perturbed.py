import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.models import create, load_model

COLUMNS = ["colour", "colour_err"]
SMALL = {"rounds": 60, "learning_rate": 0.1, "max_depth": 3, "width_rounds": 20, "shape_rounds": 10}


def model(**more):
    params = {"member": {"architecture": "xgb_distribution", "params": SMALL}, "errors": {"colour": "colour_err"}}
    return create("perturbed", features=COLUMNS, targets=["t"], **{**params, **more})


def stars(n, error, seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 1, n)
    y = 4000 + 3000 * truth + rng.normal(0, 30, n)
    return pa.table({"colour": truth + error * rng.normal(size=n), "colour_err": np.full(n, error)}), y


def test_intervals_cover_stars_that_are_measured_worse_than_those_learnt_from(tmp_path):
    fitted = model().fit(*stars(4000, 0.0, 1), seed=2)
    table, y = stars(2000, 0.1, 3)
    found = fitted.predict_dist(table)
    inside = [
        (y >= low) & (y <= high) for low, high in [found.interval(0.1), fitted.member.predict_dist(table).interval(0.1)]
    ]
    assert inside[0].mean() > 0.85
    assert inside[1].mean() < 0.35
    fitted.save(tmp_path)
    assert (load_model(tmp_path).predict_dist(table).values == found.values).all()
    assert (fitted.predict_dist(table.slice(7, 5)).values == found.values[7:12]).all()


def test_an_unknown_error_counts_as_none():
    fitted = model(draws=4).fit(*stars(1000, 0.0, 1), seed=2)
    table = pa.table({"colour": [0.3], "colour_err": pa.array([None], pa.float64())})
    exact = pa.table({"colour": [0.3], "colour_err": [0.0]})
    assert (fitted.predict_dist(table).values == fitted.predict_dist(exact).values).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"errors": {}}, "`errors` is empty"),
        ({"errors": {"colour": "sigma"}}, "sigma, not among `columns`"),
        ({"member": {"params": {}}}, "member: no `architecture`"),
        ({"draws": 1}, "too few"),
    ],
)
def test_wrong_settings_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        model(**wrong)
