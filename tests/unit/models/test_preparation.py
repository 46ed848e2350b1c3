import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import PolynomialFeatures

from stellar.errors import InputError
from stellar.models.preparation import Preparation, power_name, products


def stars(n=400, seed=7):
    rng = np.random.default_rng(seed)
    g = np.where(rng.random(n) < 0.1, -999.0, rng.uniform(10, 20, n))
    parallax = rng.normal(2, 2, n).astype(np.float32)
    parallax[::17] = np.nan
    return pa.table({
        "g_mag": pa.array(g, mask=rng.random(n) < 0.05),
        "parallax": pa.array(parallax),
        "n_obs": pa.array(rng.integers(0, 50, n)),
        "flux": pa.array([[1.0, 2.0]] * n),
        "survey": pa.array(["made"] * n),
    })  # fmt: skip


WHOLE = Preparation(
    inputs=("g_mag", "abs_mag", "n_obs"),
    sentinels=(-999.0,),
    derived={"log_plx": "log10(parallax)", "abs_mag": "g_mag + 5 + 5 * (log_plx - 3)", "unused": "nowhere + 1"},
    rule="median",
    indicators=True,
    powers=products(["g_mag", "n_obs"], 2, interaction_only=False),
    clusters=("g_mag", "n_obs"),
    components=2,
)


def test_it_does_its_steps_in_order():
    made = WHOLE.fit(stars(), seed=1).apply(stars())
    raw, plx = stars()["g_mag"].to_numpy(zero_copy_only=False), stars()["parallax"].to_numpy()
    known = np.isfinite(raw) & (raw != -999)
    median = np.median(raw[known])
    np.testing.assert_allclose(made["g_mag"], np.where(known, raw, median))
    with np.errstate(invalid="ignore"):
        absolute = raw + 5 + 5 * (np.log10(plx) - 3)
    usable = known & (plx > 0)
    np.testing.assert_allclose(made["abs_mag"].to_numpy()[usable], absolute[usable], atol=1e-5)
    assert made["g_mag_missing"].to_pylist() == (~known).tolist()
    np.testing.assert_allclose(made["g_mag_pow2"], made["g_mag"].to_numpy() ** 2)
    np.testing.assert_allclose(made["g_mag_x_n_obs"], made["g_mag"].to_numpy() * made["n_obs"].to_numpy())
    np.testing.assert_allclose(made["cluster_1"].to_numpy() + made["cluster_2"].to_numpy(), 1)
    assert set(WHOLE.fit(stars(), seed=1).columns) <= {*made.column_names}


def test_what_is_predicted_needs_no_column_that_only_an_unused_one_reads():
    assert set(WHOLE.needed) == {"g_mag", "parallax", "n_obs"}


def test_it_comes_back_from_json_the_same():
    fitted = WHOLE.fit(stars(), seed=1)
    again = Preparation.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again.apply(stars(seed=8)).equals(fitted.apply(stars(seed=8)))
    assert again.to_dict() == fitted.to_dict()


def test_medians_are_of_the_rows_that_it_was_fitted_on():
    train, other = stars().slice(0, 100), stars().slice(100)
    fitted = WHOLE.fit(train, seed=1)
    assert fitted.medians == WHOLE.fit(pa.concat_tables([train]), seed=1).medians
    assert fitted.medians["g_mag"] != WHOLE.fit(other, seed=1).medians["g_mag"]


@given(st.lists(st.integers(0, 399), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_a_row_is_prepared_alike_in_any_company(rows):
    fitted = WHOLE.fit(stars(), seed=1)
    alone = fitted.apply(stars().take(rows))
    among = fitted.apply(stars()).take(rows)
    for name in fitted.columns:
        np.testing.assert_allclose(alone[name].to_numpy(zero_copy_only=False).astype(float),
                                   among[name].to_numpy(zero_copy_only=False).astype(float), rtol=1e-12)  # fmt: skip


def test_an_empty_one_hands_the_table_through():
    plain, table = Preparation(inputs=("g_mag",)), stars()
    assert plain.is_empty
    assert plain.fit(table, 1).apply(table) is table


def test_sentinels_are_found_in_single_precision_and_in_whole_numbers():
    table = pa.table({"a": pa.array([-9999.9, 1.0], pa.float32()), "b": pa.array([-999, 3]), "c": ["x", "y"]})
    made = Preparation(inputs=("a", "b", "c"), sentinels=(-9999.9, -999)).apply(table)
    assert made["a"].to_pylist() == [None, 1.0]
    assert made["b"].to_pylist() == [None, 3]


def test_products_are_those_of_scikit_learn():
    matrix = np.random.default_rng(1).normal(size=(5, 3))
    for only in (False, True):
        theirs = PolynomialFeatures(3, interaction_only=only, include_bias=False).fit_transform(matrix)[:, 3:]
        table = pa.table({name: matrix[:, k] for k, name in enumerate("abc")})
        powers = products("abc", 3, interaction_only=only)
        made = Preparation(inputs=tuple("abc"), powers=powers).fit(table, 1).apply(table)
        np.testing.assert_allclose(np.column_stack([made[power_name(one)] for one in powers]), theirs)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (Preparation(inputs=("gone",), rule="median"), "no column gone"),
        (Preparation(inputs=("d",), derived={"d": "gone + 1"}), "no column gone"),
        (Preparation(inputs=("g_mag",), powers=(("g_mag", "survey"),)), "survey is string"),
        (Preparation(inputs=("g_mag",), clusters=("g_mag",), components=300), "fewer components"),
    ],
)
def test_what_cannot_be_prepared_is_named(recipe, said):
    with pytest.raises(InputError, match=said):
        recipe.fit(stars(), 1).apply(stars())


def test_a_column_without_any_value_has_no_median():
    table = pa.table({"a": pa.nulls(20, pa.float64()), "b": np.arange(20.0)})
    with pytest.raises(InputError, match=r"missing: a: no training row"):
        Preparation(inputs=("a", "b"), rule="median").fit(table, 1)


def test_sentinels_of_narrow_types_of_decimals_and_of_nothing():
    table = pa.table(
        {
            "narrow": pa.array([25, 7], pa.uint8()),
            "exact": pa.array([Decimal("1.50"), Decimal("-999")], pa.decimal128(10, 2)),
            "half": pa.array(np.array([-999, 2], np.float16)),
            "empty": pa.nulls(2),
        }
    )
    found = Preparation(inputs=tuple(table.column_names), sentinels=(-999.0, -9999.0)).apply(table)
    assert found["narrow"].to_pylist() == [25, 7]
    assert found["exact"].to_pylist() == [1.5, None]
    assert found["half"].to_pylist() == [None, 2.0]
    assert found["empty"].to_pylist() == [None, None]
