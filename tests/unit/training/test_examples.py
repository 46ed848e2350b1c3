"""What a config says of its rows: parts, weights, scale, rules."""

import numpy as np
import pyarrow as pa
import pytest

from made_stars import make_class_config, make_config, make_stars
from stellar.errors import InputError
from stellar.training.evaluate import evaluate
from stellar.training.examples import example_weights
from stellar.training.fit import fit, split
from stellar.training.frame import NotTrainableError, prepare_examples

FRACTIONS = {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2}
PLAIN = {"bands": None, "class_name": None}


@pytest.fixture(scope="module")
def stars():
    return make_stars()


@pytest.mark.parametrize("way", [{"fractions": FRACTIONS}, {"folds": 4}])
def test_by_hash_a_part_is_the_stars_own(stars, way):
    config = make_config(split={"by": "hash", **way})
    parts = split(config, stars, seed=3)
    some = np.random.default_rng(1).permutation(len(stars))[:700]
    assert (split(config, stars.take(some), seed=3) == parts[some]).all()
    assert (split(config, stars, seed=4) != parts).any()


@pytest.mark.parametrize("way", [{"fractions": FRACTIONS}, {"folds": 5}])
def test_stratified_parts_share_the_hot_stars(stars, way):
    config = make_config(split={"stratify": {"bins": 5, "hot_above": 8700}, **way})
    parts = split(config, stars, seed=3)
    hot = stars["teff_k"].to_numpy() > 8700
    assert 20 < hot.sum() < 100
    for part in set(parts):
        share = (parts == part).mean()
        assert abs((hot & (parts == part)).sum() - share * hot.sum()) <= 2


def test_weights_level_a_quantity_and_its_classes(stars):
    teff = stars["teff_k"].to_numpy()
    weight = example_weights(make_config(weights={"balance": "target", "bins": 4, "power": 1}), stars)
    assert weight.mean() == pytest.approx(1)
    place = np.clip((teff - teff.min()) / np.ptp(teff) * 4, 0, 3).astype(int)
    sums = np.bincount(place, weight)
    np.testing.assert_allclose(sums, sums[0])
    weight = example_weights(make_class_config(weights={"balance": "target", "power": 1}), stars)
    _, code = np.unique(stars["spectral_class"].to_pylist(), return_inverse=True)
    sums = np.bincount(code, weight)
    np.testing.assert_allclose(sums, sums[0])
    assert example_weights(make_config(), stars) is None


def test_weights_by_an_expression_reach_the_model(stars):
    assert example_weights(make_config(weights="g_mag / 2"), stars).mean() == pytest.approx(1)
    for wrong in ("g_mag - 15", "u_g * 0 + 1"):
        with pytest.raises(InputError, match=r"weights: .* is missing or negative for"):
            example_weights(make_config(weights=wrong), stars)
    split_ = {"split": {"by": "hash", "fractions": FRACTIONS}}
    plain = fit(make_config(**split_), stars, seed=1).bundle.predict(stars)
    weighed = fit(make_config(**split_, weights="case when teff_k > 6000 then 5 else 0.1 end"), stars, seed=1)
    assert not weighed.bundle.predict(stars)["teff_k"].equals(plain["teff_k"])


def test_a_quantity_learned_as_its_logarithm_is_told_in_its_unit(stars, tmp_path):
    target = {"name": "teff_k", "kind": "quantity", "transform": "log10"}
    config = make_config(target=target, policy=[{"metric": "mae", "op": "<=", "value": 600}])
    fitted = fit(config, stars, seed=7)
    found = evaluate(config, fitted, stars, seed=7)
    assert found.figures["mae"].value < 450
    by_params = make_config(target={**target, "transform": "none"}, policy=config.policy,
                            params={**config.params, "log_target": True})  # fmt: skip
    theirs = fit(by_params, stars, seed=7).bundle.predict(stars)["teff_k"].to_numpy()
    np.testing.assert_allclose(fitted.bundle.predict(stars)["teff_k"], theirs, rtol=1e-4)
    fitted.bundle.save(tmp_path)
    assert type(fitted.bundle).load(tmp_path).predict(stars).equals(fitted.bundle.predict(stars))
    cold = stars.set_column(stars.schema.get_field_index("teff_k"), "teff_k", pa.array(np.full(len(stars), -5.0)))
    with pytest.raises(InputError, match="not positive"):
        fit(config, cold, seed=7)


def test_rows_are_counted_by_the_first_rule_that_leaves_them_out(stars):
    config = make_config(
        filters=[{"rule": "bright", "where": "g_mag < 15"}, {"rule": "blue", "where": "u_g < 2 and g_mag < 15"}],
        missing={"rule": "drop"},
        columns=["bp_rp", "u_g", "double"],
        derived={"double": "2 * bp_rp"},
    )
    kept, _, dropped = prepare_examples(config, stars)
    g, u_g = (stars[name].to_numpy(zero_copy_only=False) for name in ("g_mag", "u_g"))
    assert dropped == {"bright": (g >= 15).sum(), "blue": ((g < 15) & ~(u_g < 2)).sum(), "an input is missing": 0}
    assert len(kept) + sum(dropped.values()) == len(stars)
    np.testing.assert_allclose(kept["double"], 2 * kept["bp_rp"].to_numpy())
    only = make_config(missing={"rule": "drop"})
    assert prepare_examples(only, stars)[2] == {"an input is missing": np.isnan(u_g.astype(float)).sum()}


def test_nan_is_as_missing_as_null(stars):
    table = stars.slice(0, 4)
    for name, values in (("bp_rp", [1.0, float("nan"), 2.0, None]), ("u_g", [1.0] * 4),
                         ("teff_k", [5e3, 6e3, float("nan"), 7e3])):  # fmt: skip
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    kept, _, dropped = prepare_examples(make_config(missing={"rule": "drop"}), table)
    assert (kept["bp_rp"].to_pylist(), kept["teff_k"].to_pylist()) == ([1.0], [5e3])
    assert dropped == {"an input is missing": 2}
    needs = make_config(needs=["bp_rp"])
    assert prepare_examples(needs, table)[0]["bp_rp"].to_pylist() == [1.0]


def test_a_rule_must_be_true_or_false(stars):
    with pytest.raises(InputError, match=r"filters\.0\.where: .*not true or false"):
        prepare_examples(make_config(filters=[{"rule": "r", "where": "g_mag + 1"}]), stars)


def test_a_correction_without_hot_stars_is_told(stars):
    target = {"name": "teff_k", "kind": "quantity", "correction": {"reference": "g_mag", "threshold": 8000}}
    with pytest.raises(NotTrainableError, match=r"target\.correction: 0 stars"):
        prepare_examples(make_config(target=target), stars)


def test_medians_of_a_fold_are_of_the_rows_that_it_learned_from(stars):
    config = make_config(split={"folds": 3}, missing={"rule": "median"})
    fitted = fit(config, stars, seed=2)
    u_g = stars["u_g"].to_numpy(zero_copy_only=False).astype(float)
    for one in fitted.tested:
        assert one.bundle.preparation.medians["u_g"] == np.nanmedian(u_g[one.learnt])
    assert "missing:u_g" not in fitted.bundle.ranges.missing
    assert fitted.bundle.ranges.missing["u_g"] == pytest.approx(np.isnan(u_g).mean())
