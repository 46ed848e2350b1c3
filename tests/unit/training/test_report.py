import numpy as np
import pyarrow as pa
import pytest

from made_stars import make_class_config, make_config, make_stars
from page_checks import read_page
from stellar.errors import InputError
from stellar.models.xgb import XgbQuantile
from stellar.training.card import Provenance, Subject
from stellar.training.compare import against_baselines
from stellar.training.evaluate import evaluate
from stellar.training.fit import fit
from stellar.training.frame import Frame, numbers
from stellar.training.importance import importance
from stellar.training.report import report
from stellar.training.report_columns import Columns, absolute_magnitude
from stellar.training.report_copy import report_in

FOLDS = {"split": {"order": None, "folds": 3}, "on_sky": False}
HOSTILE = {"K": "<script>alert(1)</script>", "G": "$\\frac{", "F": 'x" onload="y'}


@pytest.fixture(scope="module")
def stars():
    made = make_stars(900)
    rng = np.random.default_rng(2)
    teff = made["teff_k"].to_numpy()
    made = made.append_column("g_abs_mag", pa.array(4.5 - 8 * np.log10(teff / 5800) + rng.normal(0, 0.3, 900)))
    made = made.append_column("ebv", pa.array(rng.gamma(2, 0.05, 900), mask=rng.random(900) < 0.2))
    logg = pa.array(4.4 + rng.normal(0, 0.1, 900), mask=rng.random(900) < 0.5)
    return made.append_column("logg_dex", logg)


def subject_of(config, stars):
    fitted = fit(config, stars, seed=7)
    evaluation = evaluate(config, fitted, stars, seed=7)
    against_baselines(config, stars, stars.take(fitted.test_rows), evaluation, 7)
    frame = Frame(stars, {"features.made": "c" * 16}, "0" * 64, {"B dropped: under 20 examples": 7})
    snapshots = [{"dataset": "raw.stars", "key": "e" * 64, "rows": 900}]
    batches = [{"survey": "stars", "release": "made", "dataset": "raw.stars", "batches": 3, "rows": 900}]
    return Subject(config, "ab" * 32, 7, frame, fitted, evaluation, Provenance(snapshots, batches))


def titles(read):
    return {str(one["alt"]).split(",")[0] for one in read.all("img")}


def test_a_quantity_with_bands_has_all_sections_and_the_same_bytes_twice(stars):
    baselines = {"colour alone": {"architecture": "xgb_quantile", "columns": ["bp_rp"], "params": {"rounds": 20}}}
    columns = {"report": {"absolute_magnitude": "g_abs_mag", "extinction": "ebv"}}
    html = report(subject_of(make_config(baselines=baselines, **columns), stars))
    read = read_page(html)
    assert read.headings == [
        "figures", "answers-teff-k", "classes", "by-slices", "stars", "features", "beside-its-baselines", "examples",
        "distributions", "provenance", "limits", "attributions",
    ]  # fmt: skip
    for said in (
        "PIT of teff_k", "Residuals of teff_k by g_mag", "Residuals of teff_k by ebv", "Coverage of teff_k by ebv",
        "Coverage of sets by g_mag", "Hertzsprung-Russell diagram: residuals of teff_k", "teff_k along bp_rp",
        "Importance of the features for teff_k", "What each feature does to single answers", "mae beside the baselines",
        "colour alone", "Confusion matrix", "Reliability", "e" * 16, "c" * 16, "made by the tests", "ab" * 32,
        "B dropped: under 20 examples", "missing: train",
    ):  # fmt: skip
        assert said in read.text, said
    assert len(html) < 2_000_000
    again = subject_of(make_config(baselines=baselines, **columns), stars)
    assert report(again) == html


def test_names_of_classes_are_escaped_in_text_and_pictures(stars):
    at = stars.schema.get_field_index("spectral_class")
    names = [HOSTILE.get(name, name) for name in stars["spectral_class"].to_pylist()]
    hostile = stars.set_column(at, "spectral_class", pa.array(names))
    html = report(subject_of(make_class_config(attributions=["<img src=http://example.org>"]), hostile))
    read = read_page(html)
    assert {"figures", "classes", "by-slices", "stars", "features", "examples", "distributions"} <= {*read.headings}
    assert not [one for one in read.headings if one.startswith("answers")]
    for said in [*HOSTILE.values(), "Accuracy by g_mag", "Hertzsprung-Russell diagram: predicted classes",
                 "<img src=http://example.org>", "Classes of spectral_class"]:  # fmt: skip
        assert said in read.text, said


def test_a_model_with_folds_of_other_trees_and_few_columns_has_a_report(stars):
    plain = stars.select(["object_id", "u_g", "ebv", "spectral_class"])
    params = {"trees": 10, "threads": 1}
    config = make_class_config(
        architecture="forest_classifier", params=params, columns=["u_g", "ebv"], watch=[], slices=[], **FOLDS
    )
    read = read_page(report(subject_of(config, plain)))
    assert "stars" not in read.headings
    assert "rise of the log loss" in " ".join(str(one["alt"]) for one in read.all("img"))
    assert "3 folds; 900 test examples" in read.text
    assert "Coverage of sets by ebv" in read.text


def test_a_target_that_is_not_always_known_has_its_own_section(stars):
    heads = {"teff_k": {"kind": "quantile"}, "logg_dex": {"kind": "quantile"}}
    config = make_config(
        target={"name": "teff_k", "kind": "quantity"},
        further_targets=[{"name": "logg_dex", "kind": "quantity"}],
        architecture="xgb_multitask",
        params={"rounds": 20, "threads": 1, "heads": heads},
    )
    read = read_page(report(subject_of(config, stars)))
    assert {"answers-teff-k", "answers-logg-dex"} <= {*read.headings}
    assert "Residuals of logg_dex by teff_k" in read.text
    assert "Importance of the features for logg_dex" in read.text


def test_odd_columns_and_few_stars_have_a_report_too(stars):
    few = stars.slice(0, 300).drop_columns(["g_abs_mag", "ebv"])
    values = few["bp_rp"].to_numpy().copy()
    values[::7], values[1::7] = np.inf, 1e30
    odd = {
        "constant": pa.array([3.0] * 300),
        "null": pa.nulls(300, pa.float64()),
        "is_bright": pa.array([True, None, False] * 100),
        "count": pa.array(np.arange(300) % 3),
        "wild": pa.array(values),
        "g_r": pa.array([1.0] * 300),
        "extinction_r": pa.nulls(300, pa.float64()),
    }
    for name, column in odd.items():
        few = few.append_column(name, column)
    columns = ["bp_rp", *odd]
    slices = [{"column": name, "edges": [0.0]} for name in ("constant", "null", "wild")]
    split = {"order": None, "fractions": {"train": 0.7, "validation": 0.1, "calibration": 0.18, "test": 0.02}}
    for config in (
        make_config(columns=columns, slices=slices, report={"colour": "g_r"}, split=split, on_sky=False),
        make_class_config(columns=columns, slices=slices, report={"colour": "wild"}, split=split, on_sky=False),
    ):
        subject = subject_of(config, few)
        assert len(subject.fitted.test_rows) < 20
        assert "distributions" in read_page(report(subject)).headings


def test_shap_values_add_up_to_the_answer(stars):
    config = make_config(params={"rounds": 20, "threads": 1, "levels": [0.25, 0.5, 0.75]})
    fitted = fit(config, stars, seed=7)
    model = fitted.bundle.model
    assert isinstance(model, XgbQuantile)
    one = importance(fitted.bundle, stars.slice(0, 200), "teff_k", 7)
    assert one.method == "shap" and one.contributions.shape == (200, 2)
    # the contributions differ from the median by what the mean answer is, the same for every row (levels do not cross
    # often: sorting them changes few rows)
    rest = numbers(pa.table({"x": model.predict_dist(stars.slice(0, 200)).median}), "x") - one.contributions.sum(axis=1)
    assert np.median(np.abs(rest - np.median(rest))) < 0.5
    assert one.values[0] > one.values[1]


@pytest.mark.parametrize("log", [False, True])
def test_a_distribution_of_three_boosters_is_explained_by_the_first(stars, log):
    params = {"rounds": 20, "width_rounds": 5, "shape_rounds": 5, "threads": 1, "log_target": log}
    config = make_config(architecture="xgb_distribution", params=params, columns=["bp_rp", "u_g", "g_mag"])
    fitted = fit(config, stars, seed=7)
    one = importance(fitted.bundle, stars.slice(0, 200), "teff_k", 7)
    assert one.unit.endswith("dex of teff_k" if log else "teff_k")
    assert one.values.argmin() == 2, "the magnitude tells nothing"
    assert (one.values.max() < 1) == log


def test_columns_are_named_by_the_config_or_known_by_usual_names(stars):
    columns = Columns.of(make_config(report={"colour": "u_g"}), stars.schema)
    assert (columns.magnitude, columns.colour, columns.extinction) == ("g_mag", "u_g", "ebv")
    assert absolute_magnitude(columns, stars)[0] == "g_abs_mag"
    # Vega (HIP 91262): 130.23 mas and 0.03 mag give 0.60
    near = pa.table({"g_mag": [0.03, 1.0], "parallax_mas": [130.23, -1.0]})
    name, values = absolute_magnitude(Columns.of(make_config(), near.schema), near)
    assert "parallax_mas" in name
    np.testing.assert_allclose(values, [0.60, np.nan], atol=0.005)
    assert absolute_magnitude(Columns(), near) is None


def test_a_version_without_a_report_says_so(tmp_path):
    class Old:
        model, number = "test-teff", 3

    with pytest.raises(InputError, match=r"test-teff@3 has no report\.html.*stellar models card test-teff@3"):
        report_in(tmp_path, Old())
