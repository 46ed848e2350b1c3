import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError, IntegrityError
from stellar.models import create, load_model

VIEWS = [["a", "b"], ["b"]]


@pytest.fixture(scope="module")
def stars():
    """A temperature that both columns tell together and `b` alone in part; a third lacks `a`, a few have neither."""
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(2, 700))
    teff = 5500 * np.exp(0.1 * a + 0.2 * np.tanh(b)) * np.exp(rng.normal(0, 0.01, 700))
    a = np.where(rng.random(700) < 0.3, np.nan, a)
    b = np.where(np.arange(700) % 100 == 99, np.nan, b)
    return pa.table({"a": pa.array(a, from_pandas=True), "b": pa.array(b, from_pandas=True)}), teff


@pytest.fixture(scope="module")
def fitted(stars):
    table, teff = stars
    return new().fit(table.slice(0, 500), teff[:500], seed=3)


def new(**params):
    settings = {"views": VIEWS, "log_target": True, "search_rows": 150, "iterations": 20, **params}
    return create("gp_regression", features=["a", "b"], targets=["teff_k"], **settings)


def test_rows_are_told_by_the_best_view_that_they_have(stars, fitted):
    table, teff = stars
    test = table.slice(500)
    found = fitted.predict_dist(test)
    a, b = (np.isfinite(test[name].to_numpy(zero_copy_only=False)) for name in ("a", "b"))
    error = np.abs(found.median / teff[500:] - 1)
    assert np.median(error[a & b]) < 0.015
    assert 0.03 < np.median(error[~a & b]) < 0.12
    nothing = found.values[~b & ~a] if (~a & ~b).any() else found.values[~b]
    np.testing.assert_allclose(nothing, np.tile(np.quantile(teff[:500], fitted.levels), (len(nothing), 1)), rtol=0.01)


def test_intervals_hold_the_truth_and_grow_where_less_is_known(stars, fitted):
    table, teff = stars
    test = table.slice(500)
    low, high = fitted.predict_dist(test).interval(0.1)
    assert 0.82 < ((teff[500:] >= low) & (teff[500:] <= high)).mean() < 0.98
    a = np.isfinite(test["a"].to_numpy(zero_copy_only=False))
    assert np.median((high - low)[~a]) > 3 * np.median((high - low)[a])
    far = pa.table({"a": [0.0, 4.0], "b": [0.0, 4.0]})
    low, high = fitted.predict_dist(far).interval(0.1)
    assert ((high - low) / high)[1] > ((high - low) / high)[0]


def test_it_comes_back_the_same_and_is_the_same_again(stars, fitted, tmp_path):
    table, teff = stars
    fitted.save(tmp_path / "a")
    again = load_model(tmp_path / "a").predict_dist(table)
    np.testing.assert_allclose(again.values, fitted.predict_dist(table).values, rtol=1e-12)
    new().fit(table.slice(0, 500), teff[:500], seed=3).save(tmp_path / "b")
    for name in ("model.json", "processes.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (tmp_path / "a" / "processes.npz").write_bytes(b"broken")
    with pytest.raises(IntegrityError, match="train the model again"):
        load_model(tmp_path / "a")


def test_order_of_rows_and_their_company_do_not_matter(stars, fitted):
    table, _ = stars
    order = np.random.default_rng(1).permutation(table.num_rows)
    whole = fitted.predict_dist(table).median
    np.testing.assert_allclose(fitted.predict_dist(table.take(pa.array(order))).median, whole[order], rtol=1e-9)
    np.testing.assert_allclose(fitted.predict_dist(table.slice(10, 1)).median, whole[10:11], rtol=1e-9)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"views": [["a", "c"]]}, "reads c, not among the features"),
        ({"views": [[]]}, "a view is empty"),
        ({"levels": [0.9, 0.1]}, "levels must increase"),
        ({"view": []}, "unknown parameter view"),
    ],
)
def test_wrong_settings_are_refused(params, said):
    with pytest.raises(InputError, match=said):
        new(**params)


def test_too_few_rows_and_bad_labels_are_refused(stars):
    table, teff = stars
    with pytest.raises(InputError, match="it takes 30"):
        new().fit(table.slice(0, 20), teff[:20])
    with pytest.raises(InputError, match="labels above 0"):
        new().fit(table.slice(0, 100), -teff[:100])
