import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest

from made_stars import BANDS, make_class_config, make_config, make_stars
from stellar.evaluation.splits import star_groups
from stellar.models.base import Quantiles
from stellar.registry.bundle import Bundle, band_of, band_probabilities
from stellar.registry.policy import Figure, decide
from stellar.scoring.score import score
from stellar.sky.healpix import spatial_index
from stellar.training.compare import against_baselines, compare
from stellar.training.evaluate import evaluate, evaluate_deals, figures_by_cell
from stellar.training.fit import fit, fit_by_cell, fit_further_deals, split
from stellar.training.frame import NotTrainableError, true_classes

CONFIGS = {
    "quantity": make_config(),
    "class": make_class_config(),
    "isotonic": make_class_config(calibration="isotonic"),
}


@pytest.fixture(scope="module")
def stars():
    return make_stars()


@pytest.fixture(scope="module", params=CONFIGS)
def fitted(request, stars):
    config = CONFIGS[request.param]
    made = fit(config, stars, seed=7)
    found = evaluate(config, made, stars, seed=7)
    return config, made, found


def test_parts_share_no_star_and_no_cell(stars):
    doubled = pa.concat_tables([stars, stars.slice(0, 200)])
    parts = split(make_config(), doubled, seed=3)
    star = np.array(doubled["object_id"].to_pylist())
    assert all(len(set(parts[star == one])) == 1 for one in star[-200:])
    assert set(parts) == {"train", "validation", "calibration", "test"}


def test_test_figures_beat_the_baseline_and_keep_the_promises(fitted):
    config, _, found = fitted
    figures = found.figures
    assert figures["accuracy"].value > figures["baseline_accuracy"].value + 0.2
    assert figures["accuracy"].lower <= figures["accuracy"].value <= figures["accuracy"].upper
    assert figures["ece"].lower <= figures["ece"].value <= figures["ece"].upper
    assert 0.8 < figures["set_coverage"].value <= 1
    if config.target.kind == "quantity":
        assert figures["mae"].value < 0.4 * figures["baseline_mae"].value
        assert 0.82 < figures["interval_coverage"].value < 0.98


def test_the_long_form_has_classes_and_slices_once_each(fitted):
    rows = list(fitted[2].rows())
    keys = [(row.name, row.slice) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {"class=G", "g_mag=[14, 17)"} <= {row.slice for row in rows}


def test_the_same_seed_gives_the_same_figures(fitted, stars):
    config, made, found = fitted
    again = fit(config, stars, seed=7)
    same = evaluate(config, again, stars, seed=7)
    assert same.figures == found.figures
    assert (again.parts == made.parts).all()


def test_a_bundle_predicts_the_same_after_a_round_trip(fitted, stars, tmp_path):
    _, made, _ = fitted
    made.bundle.save(tmp_path)
    loaded = Bundle.load(tmp_path)
    assert loaded.meaning == made.bundle.meaning
    assert loaded.predict(stars).equals(made.bundle.predict(stars))


def test_scores_are_one_row_per_row_with_version_and_flags(fitted, stars):
    config, made, _ = fitted
    odd = stars.slice(0, 3).set_column(4, "bp_rp", pa.array([50.0, None, stars["bp_rp"][2].as_py()]))
    scored = score(made.bundle, odd, config.name, "0123456789abcdef")
    assert scored["object_id"].to_pylist() == odd["object_id"].to_pylist()
    assert scored["is_out_of_range"].to_pylist() == [True, True, False]
    assert scored["flags"].to_pylist() == ["bp_rp>max", "missing:bp_rp", ""]
    assert set(scored["model_version"].to_pylist()) == {"0123456789abcdef"}
    probabilities = np.column_stack([scored[f"probability_{name.lower()}"] for name in made.bundle.classes])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    best = scored[config.target.class_column].to_pylist()
    assert all(name in members for name, members in zip(best, scored["prediction_set"].to_pylist(), strict=True))
    if config.target.kind == "quantity":
        low, middle, high = (scored[name].to_numpy() for name in ("teff_k_lower", "teff_k", "teff_k_upper"))
        assert ((low <= middle) & (middle <= high)).all()
        assert scored.schema.field("teff_k").metadata[b"unit"] == b"K"


def test_an_empty_partition_gives_the_same_columns(fitted, stars):
    config, made, _ = fitted
    empty, full = (score(made.bundle, rows, config.name, "0" * 16) for rows in (stars.slice(0, 0), stars.slice(0, 5)))
    assert empty.num_rows == 0
    assert empty.schema.equals(full.schema, check_metadata=True)


def test_a_worse_model_is_seen_to_be_worse_on_the_same_stars(stars):
    good_config, bad_config = make_config(), make_config(params={"rounds": 1, "learning_rate": 0.05, "threads": 1})
    good, bad = (fit(config, stars, seed=7) for config in (good_config, bad_config))
    test = bad.rows(stars, "test")
    found = evaluate(bad_config, bad, stars, seed=7)
    theirs, rows = good.bundle.predict(test), np.arange(test.num_rows)
    comparisons = compare(bad_config, found, theirs, rows, "g" * 64, test, seed=7)
    assert set(comparisons) == {"mae", "accuracy"}
    for one in comparisons.values():
        assert one.difference.upper < 0
        assert one.examples == test.num_rows
    assert compare(bad_config, found, theirs.slice(0, 0), rows[:0], "g" * 64, test, seed=7) == {}


def test_a_class_that_training_never_saw_counts_as_wrong(stars):
    config = make_class_config()
    made = fit(config, stars, seed=7)
    names = np.array(stars["spectral_class"].to_pylist(), dtype=object)
    names[made.test_rows[:10]] = "QUARK"
    at = stars.schema.get_field_index("spectral_class")
    found = evaluate(config, made, stars.set_column(at, "spectral_class", pa.array(names.tolist())), seed=7)
    assert found.details["classes"]["per_class"]["QUARK"]["recall"] == 0
    assert found.details["classes"]["per_class"]["QUARK"]["support"] == 10


def test_too_little_sky_is_a_result_not_a_crash(stars):
    one_cell = stars.set_column(1, "ra", pa.array(np.full(len(stars), 10.0))).set_column(
        2, "dec", pa.array(np.full(len(stars), 10.0))
    )
    with pytest.raises(NotTrainableError, match="cannot train"):
        fit(make_config(), one_cell, seed=7)


def test_band_probabilities_follow_the_distribution():
    levels = np.linspace(0.05, 0.95, 19)
    values = np.vstack([np.linspace(4000, 5000, 19), np.linspace(9000, 9500, 19)])
    found = band_probabilities(Quantiles(levels, values), BANDS)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert found[0].argmax() == list(BANDS).index("K")
    assert found[1].argmax() == list(BANDS).index("A")
    assert (band_of(np.array([3900.0, 3899.9, 1e5]), BANDS) == [1, 0, 4]).all()


def by_folds(**changes):
    return make_class_config(**{"split": {"order": 4, "folds": 4}, "params": {"rounds": 20, "threads": 1}, **changes})


def test_folds_test_every_example_with_a_model_that_did_not_see_its_cell(stars):
    config = by_folds()
    made = fit(config, stars, seed=7)
    assert sorted(made.test_rows) == list(range(len(stars)))
    cells = star_groups(
        stars["object_id"].to_pylist(), spatial_index(stars["ra"].to_numpy(), stars["dec"].to_numpy()), 4
    )
    for one in made.tested:
        assert not {*cells[one.rows]} & {*cells[one.learnt]}
        assert not one.learnt[one.rows].any()
    found = evaluate(config, made, stars, seed=7)
    assert found.predictions.num_rows == len(stars)
    assert found.figures["accuracy"].value > found.figures["baseline_accuracy"].value + 0.2
    # the version that is kept has learned from all, so it knows its examples better than the folds did
    own = made.bundle.predict(stars)["spectral_class"].to_pylist()
    assert np.mean(np.array(own) == stars["spectral_class"].to_pylist()) > found.figures["accuracy"].value


def test_folds_keep_strata_even(stars):
    parts = split(by_folds(), stars, seed=7)
    names = np.array(stars["spectral_class"].to_pylist())
    for name in set(names):
        counts = [int(((parts == fold) & (names == name)).sum()) for fold in sorted(set(parts))]
        assert max(counts) < 1.6 * min(counts)


def marked(stars, parts):
    return stars.append_column("part", pa.array(parts, pa.string()))


def test_examples_can_be_marked_as_only_learned_from_or_only_tested_on(stars):
    config = by_folds(on_sky=False, split={"folds": 3, "column": "part"})
    n = len(stars)
    dealt = marked(stars, ["train"] * 100 + ["test"] * 50 + [None] * (n - 150))
    made = fit(config, dealt, seed=7)
    assert sorted(made.test_rows) == list(range(100, n))
    assert all(one.learnt[:100].all() and not one.learnt[100:150].any() for one in made.tested)

    apart = marked(stars, ["test"] * 300 + ["train"] * (n - 300))
    made = fit(config, apart, seed=7)
    assert sorted(made.test_rows) == list(range(300)), "folds of what it learns from calibrate, and do not test"
    assert evaluate(config, made, apart, seed=7).figures["accuracy"].value > 0.6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: marked(t, ["valid"] * len(t)), "says valid"),
        (
            lambda t: marked(pa.concat_tables([t, t]), ["test"] * len(t) + [None] * len(t)),
            "both learned from and tested",
        ),
        (lambda t: marked(pa.concat_tables([t, t]), ["train"] * len(t) + [None] * len(t)), "are of stars of the folds"),
        (lambda t: marked(t.slice(0, 2), [None] * 2), "cannot be dealt to 3 folds"),
    ],
)
def test_parts_that_would_leak_are_refused(stars, change, said):
    config = by_folds(on_sky=False, split={"folds": 3, "column": "part"})
    with pytest.raises(NotTrainableError, match=said):
        split(config, change(stars), seed=7)


def test_a_model_of_several_targets_gives_each_with_its_interval(stars):
    further = [{"name": "g_mag", "kind": "quantity"}]
    known = np.where(np.arange(len(stars)) % 3 == 0, np.nan, stars["g_mag"].to_numpy())
    at = stars.schema.get_field_index("g_mag")
    table = stars.set_column(at, "g_mag", pa.array(known, from_pandas=True)).append_column("near", stars["g_mag"])
    config = make_config(
        target={"name": "teff_k", "kind": "quantity"},
        further_targets=further,
        architecture="xgb_multitask",
        params={
            "heads": {"teff_k": {"kind": "quantile"}, "g_mag": {"kind": "quantile"}},
            "rounds": 40,
            "learning_rate": 0.2,
            "threads": 1,
        },
        columns=["bp_rp", "u_g", "near"],
        watch=[],
        slices=[],
        policy=[{"metric": "g_mag_mae", "op": "<=", "value": 1}],
    )
    made = fit(config, table, seed=7)
    found = evaluate(config, made, table, seed=7)
    assert found.figures["g_mag_mae"].value < 0.3 * found.figures["g_mag_baseline_mae"].value
    assert found.figures["mae"].value < 0.5 * found.figures["baseline_mae"].value
    assert 0.8 < found.figures["g_mag_interval_coverage"].value <= 1
    assert {"teff_k", "teff_k_lower", "teff_k_upper", "g_mag", "g_mag_lower"} <= {*found.predictions.column_names}


def test_a_baseline_is_fitted_and_tested_on_the_same_examples(stars):
    weak = {"architecture": "xgb_classifier", "columns": ["u_g"], "params": {"rounds": 2, "threads": 1}}
    config = by_folds(
        baselines={"weak": weak}, watch=[], policy=[{"metric": "accuracy", "op": "better_than_baselines"}]
    )
    made = fit(config, stars, seed=7)
    found = evaluate(config, made, stars, seed=7)
    against = against_baselines(config, stars, stars.take(made.test_rows), found, seed=7)
    assert against["weak"]["accuracy"].difference.value > 0
    assert against["weak"]["accuracy"].examples == len(stars)
    assert any(row.slice == "baseline=weak" and row.name == "accuracy" for row in found.rows())
    assert decide(config.policy, found.figures, baselines=against).promote
    turned = {"weak": {"accuracy": replace(against["weak"]["accuracy"], difference=Figure(-0.1, -0.2, 0.0))}}
    refused = decide(config.policy, found.figures, baselines=turned)
    assert not refused.promote
    assert "of weak, the best of 1" in refused.reasons[0]


def test_too_few_known_values_to_promise_an_interval_is_an_endless_one_not_a_crash(stars):
    known = np.where(np.arange(len(stars)) < len(stars) - 40, np.nan, stars["g_mag"].to_numpy())
    table = stars.set_column(stars.schema.get_field_index("g_mag"), "g_mag", pa.array(known, from_pandas=True))
    heads = {"teff_k": {"kind": "quantile"}, "g_mag": {"kind": "quantile"}}
    config = make_config(
        target={"name": "teff_k", "kind": "quantity"},
        further_targets=[{"name": "g_mag", "kind": "quantity"}],
        architecture="xgb_multitask",
        params={"heads": heads, "rounds": 5, "threads": 1},
        conformal={"alpha": 0.01},
        watch=[],
        slices=[],
    )
    made = fit(config, table, seed=7)
    found = evaluate(config, made, table, seed=7)
    json.dumps(found.details, allow_nan=False)
    assert np.isinf(found.predictions["g_mag_upper"].to_numpy()).all()


def test_a_frame_with_nothing_to_test_on_is_a_result(stars):
    config = by_folds(on_sky=False, split={"folds": 3, "column": "part"})
    with pytest.raises(NotTrainableError, match="nothing to test on"):
        split(config, marked(stars, ["train"] * len(stars)), seed=7)


def test_folds_of_classes_with_fewer_members_than_folds(stars):
    names = [f"type-{k}" for k in range(40)]
    few = stars.slice(0, 40).set_column(
        stars.schema.get_field_index("spectral_class"), "spectral_class", pa.array(names)
    )
    parts = split(by_folds(on_sky=False, split={"folds": 4}), few, seed=7)
    assert len(set(parts)) == 4


def test_an_unknown_quantity_is_of_no_band(stars):
    values = pa.array([None, 5000.0, None])
    table = stars.slice(0, 3).set_column(stars.schema.get_field_index("teff_k"), "teff_k", values)
    made = fit(make_config(), stars, seed=7)
    assert true_classes(made.bundle.meaning, table).tolist() == [None, "K", None]


def test_the_answer_is_in_its_own_set_also_when_the_model_chose_another_than_the_likeliest(stars):
    config = make_class_config()
    made = fit(config, stars, seed=7)
    made.bundle.model.predict_class = lambda X, target=None: ["F"] * len(X)
    shown = made.bundle.predict(stars)
    assert set(shown["spectral_class"].to_pylist()) == {"F"}
    assert all("F" in members for members in shown["prediction_set"].to_pylist())
    np.testing.assert_allclose(shown["probability"], shown["probability_f"])


def test_an_empty_column_of_a_text_file_is_missing_values(stars):
    made = fit(make_config(), stars, seed=7)
    rows = stars.slice(0, 4)
    empty = rows.set_column(rows.schema.get_field_index("u_g"), "u_g", pa.nulls(4))
    assert made.bundle.predict(empty)["teff_k"].is_valid().to_pylist() == [True] * 4


def test_figures_by_cell_come_from_models_that_saw_nothing_of_the_cell(stars):
    config = make_config(split={"folds": 3, "also_by_cell": 3}, params={"rounds": 20, "threads": 1})
    grouped = fit_by_cell(config, stars, seed=7)
    index = spatial_index(stars["ra"].to_numpy(), stars["dec"].to_numpy())
    cell = star_groups(stars["object_id"].to_pylist(), index, 3)
    assert len(np.unique(cell)) > 3
    for one in grouped.tested:
        assert not set(cell[one.rows]) & set(cell[one.learnt])
    assert sorted(grouped.test_rows) == list(range(len(stars)))
    found = figures_by_cell(config, grouped, stars, seed=7)
    assert {"mae_by_cell", "rmse_by_cell", "interval_coverage_by_cell"} <= set(found)
    assert not any(name.startswith("baseline") for name in found)
    assert fit_by_cell(make_config(), stars, seed=7) is None


def test_further_deals_test_every_star_again_and_figures_are_the_means(stars):
    table = stars.slice(0, 400)
    config = make_config(split={"folds": 3, "deals": 3}, params={"rounds": 10, "threads": 1})
    first = fit(config, table, seed=7)
    deals = [first, *fit_further_deals(config, table, first, seed=7)]
    assert len(deals) == 3
    for one in deals:
        assert sorted(one.test_rows) == list(range(400))
        assert not any(np.isin(part.rows, np.flatnonzero(part.learnt)).any() for part in one.tested)
    assert len({tuple(one.parts) for one in deals}) == 3
    alone = [evaluate(config, one, table, seed=7).figures["mae"] for one in deals]
    found = evaluate_deals(config, first, table, seed=7)
    assert found.figures["mae"].value == pytest.approx(np.mean([one.value for one in alone]))
    assert found.figures["mae"].upper == pytest.approx(np.mean([one.upper for one in alone]))
    assert found.details["deals"]["mae"] == [one.value for one in alone]
    # a deal is what the seed after the first one's gives
    assert alone[1].value == evaluate(config, fit(config, table, seed=8), table, seed=7).figures["mae"].value


def test_one_deal_is_the_folds_themselves(stars):
    table = stars.slice(0, 400)
    config = make_config(split={"folds": 3}, params={"rounds": 10, "threads": 1})
    first = fit(config, table, seed=7)
    assert list(fit_further_deals(config, table, first, seed=7)) == []
    found = evaluate_deals(config, first, table, seed=7)
    assert found.figures == evaluate(config, first, table, seed=7).figures and "deals" not in found.details


def test_a_row_without_the_needed_columns_has_nulls_and_the_others_are_as_before(stars):
    table = stars.slice(0, 400)
    config = make_config(split={"folds": 2}, needs=["bp_rp"], params={"rounds": 10, "threads": 1})
    bundle = fit(config, table, seed=7).bundle
    whole = bundle.predict(table)
    holes = pa.array([k % 5 == 0 for k in range(400)])
    at = table.column_names.index("bp_rp")
    lacking = table.set_column(at, "bp_rp", pa.compute.if_else(holes, None, table["bp_rp"]))
    found = bundle.predict(lacking, refused=["no star" if k == 1 else None for k in range(400)])
    assert found.schema == whole.schema
    for k, (teff, flags) in enumerate(zip(found["teff_k"].to_pylist(), found["flags"].to_pylist(), strict=True)):
        if k % 5 == 0:
            assert teff is None
            assert flags == "not predicted: none of bp_rp is there"
        elif k == 1:
            assert teff is None
            assert flags == "no star"
        else:
            assert teff == whole["teff_k"][k].as_py()
    assert found["prediction_set"].to_pylist()[0] is None
