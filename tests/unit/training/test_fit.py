import numpy as np
import pyarrow as pa
import pytest

from made_stars import BANDS, make_class_config, make_config, make_stars
from stellar.models.base import Quantiles
from stellar.registry.bundle import Bundle, band_of, band_probabilities
from stellar.scoring.score import score
from stellar.training.compare import compare
from stellar.training.evaluate import evaluate
from stellar.training.fit import fit, split
from stellar.training.frame import NotTrainableError

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
        low, middle, high = (scored[name].to_numpy() for name in ("teff_lower_k", "teff_k", "teff_upper_k"))
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
