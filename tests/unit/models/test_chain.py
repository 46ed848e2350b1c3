import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.models import create, load_model

COLUMNS = ["a", "b"]
TARGETS = ["logg", "teff_k"]
SMALL = {"rounds": 60, "learning_rate": 0.1, "max_depth": 3, "width_rounds": 20, "shape_rounds": 10}
LINK = {"architecture": "xgb_distribution", "params": SMALL}


def chain(**more):
    params = {"order": TARGETS, "links": {"logg": {**LINK, "columns": ["a"]}, "teff_k": {**LINK, "columns": ["b"]}}}
    return create("chain", features=COLUMNS, targets=TARGETS, **{**params, **more})


def stars(n, noise, seed):
    """The second quantity follows the first, which is known from `a` with `noise`."""
    rng = np.random.default_rng(seed)
    logg = rng.normal(3, 1, n)
    teff = 5000 + 500 * logg + 100 * rng.normal(size=n)
    table = pa.table({"a": logg + noise * rng.normal(size=n), "b": rng.normal(size=n)})
    return table, {"logg": logg, "teff_k": teff}


def test_the_second_quantity_is_as_unsure_as_the_first_makes_it(tmp_path):
    width = {}
    for noise in (0.02, 0.5):
        model = chain().fit(*stars(4000, noise, 1), seed=1)
        table, truth = stars(1500, noise, 2)
        found = model.predict_dist(table, "teff_k")
        low, high = found.interval(0.1)
        assert 0.84 < ((truth["teff_k"] >= low) & (truth["teff_k"] <= high)).mean() < 0.97
        width[noise] = np.median(high - low)
    assert width[0.5] > 1.8 * width[0.02]
    assert np.abs(model.predict_dist(table, "logg").median - truth["logg"]).mean() < 0.5
    model.save(tmp_path)
    assert (load_model(tmp_path).predict_dist(table, "teff_k").values == found.values).all()


def test_rows_that_lack_one_of_the_targets_serve_the_other():
    table, truth = stars(600, 0.1, 3)
    truth["logg"][:300] = np.nan
    truth["teff_k"][400:] = np.nan
    held, held_truth = stars(200, 0.1, 4)
    model = chain().fit(table, truth, validation=(held, held_truth), seed=1)
    assert np.isfinite(model.predict_dist(table, "teff_k").values).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"order": ["logg"]}, "name each target once"),
        ({"links": {"logg": LINK, "teff_k": {"params": {}}}}, "link teff_k: no `architecture`"),
    ],
)
def test_wrong_settings_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        chain(**wrong)
