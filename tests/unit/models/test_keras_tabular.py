import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.models import create, load_model

FEATURES = ["x0", "x1", "x2"]
SMALL = {"width": 24, "blocks": 1, "dense": 12, "dropout": 0.0, "epochs": 30, "batch_size": 32, "learning_rate": 0.01,
         "threads": 2}  # fmt: skip


def stars(n=700, seed=0):
    """A number and a class by x0 and x1; the scatter of the number by x1, and x2 often missing."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 3))
    y = 3 + 2 * x[:, 0] + np.where(x[:, 1] > 0, 0.5, 0.05) * rng.normal(size=n)
    kind = np.where(x[:, 0] * x[:, 1] > 0, "even", "odd")
    table = pa.table({name: x[:, k] * 10 ** (2 * k) for k, name in enumerate(FEATURES)})
    return table.set_column(2, "x2", pa.array(x[:, 2], mask=rng.random(n) < 0.4)), y, kind, x


@pytest.fixture(scope="module")
def fitted():
    table, y, kind, _ = stars()
    held, y_held, kind_held, _ = stars(200, 1)
    model = create("tabular_network", features=FEATURES, targets=["y_k", "kind"], members=2, **SMALL)
    return model.fit(table, {"y_k": y, "kind": kind}, validation=(held, {"y_k": y_held, "kind": kind_held}), seed=1)


def test_it_tells_numbers_with_their_scatter_and_classes(fitted):
    table, y, kind, x = stars(400, 2)
    said = fitted.predict_dist(table, "y_k")
    low, high = said.interval(0.2)
    wide = x[:, 1] > 0.1
    assert np.abs(said.median - y)[~wide].mean() < 0.25
    assert np.median((high - low)[wide]) > 2 * np.median((high - low)[x[:, 1] < -0.1])
    assert ((y >= low) & (y <= high)).mean() == pytest.approx(0.8, abs=0.12)
    p = fitted.predict_proba(table, "kind")
    assert (np.array(fitted.classes["kind"])[p.argmax(axis=1)] == kind).mean() > 0.85


def test_it_comes_back_from_disk_the_same(fitted, tmp_path):
    table = stars(50, 3)[0]
    fitted.save(tmp_path)
    again = load_model(tmp_path)
    assert (again.predict_dist(table, "y_k").values == fitted.predict_dist(table, "y_k").values).all()
    assert again.predict_dist(table.slice(4, 3), "y_k").values == pytest.approx(
        fitted.predict_dist(table, "y_k").values[4:7], abs=1e-5
    )


def test_the_same_seed_gives_the_same_network():
    table, y, _, _ = stars(150)
    few = {**SMALL, "epochs": 2, "noise": 0.1}
    said = [create("tabular_network", features=FEATURES, targets=["y"], **few).fit(table, y, seed=seed)
            .predict_dist(table).values for seed in (5, 5, 6)]  # fmt: skip
    assert (said[0] == said[1]).all()
    assert (said[0] != said[2]).any()


@pytest.mark.parametrize(
    ("params", "said"), [({"width": 0}, "1 or more"), ({"log": ["x9"]}, "x9"), ({"blocks": "two"}, "a whole number")]
)
def test_wrong_parameters_are_refused(params, said):
    with pytest.raises(InputError, match=said):
        create("tabular_network", features=FEATURES, **params)
