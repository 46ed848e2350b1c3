"""Units that columns' names say, and what a config says of a bundle."""

import pytest

from made_stars import make_class_config, make_config, make_stars
from stellar.errors import IntegrityError
from stellar.registry.description import check_description, describe, task_of, unit_of
from stellar.training.fit import fit


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("teff_k", "K"),
        ("parallax_mas", "mas"),
        ("parallax_mas_err", "mas"),
        ("g_mag", "mag"),
        ("log_period_d", "log10(d)"),
        ("pmra_mas_per_yr", "mas/yr"),
        ("j_k", None),
        ("g_k", None),
        ("k", None),
        ("bp_rp", None),
        ("bp_rp_err", None),
        ("kurtosis", None),
        ("log_peak", None),
    ],
)
def test_units(column, unit):
    assert unit_of(column) == unit


@pytest.mark.parametrize(("config", "task"), [(make_config(), "regression"), (make_class_config(), "classification")])
def test_a_config_agrees_with_its_bundle_alone(config, task):
    bundle = fit(config, make_stars(700), seed=1).bundle
    assert task_of(bundle) == f"tabular-{task}"
    schema = [{"name": "bp_rp", "type": "double", "unit": "mag", "ucd": "", "description": "Colour"}]
    said = describe(bundle, "a" * 64, schema, {"file": None, "why_not": "x"})
    first, second = said["features"]
    assert (first["type"], first["unit"], first["description"]) == ("double", "mag", "Colour")
    assert (second["type"], second["unit"], second["description"]) == ("float32", None, None)
    assert second["missing_share"] == pytest.approx(0.1, abs=0.05) and first["lower"] < first["upper"]
    assert [one["name"] for one in said["outputs"]] == bundle.prediction_schema().names
    check_description(said, bundle, "config.json")
    for name, value in (("alpha", 0.2), ("classes", ["A"]), ("features", None), ("features", [1]), ("watched", [])):
        with pytest.raises(IntegrityError, match=f"{name} (is|are) not what"):
            check_description({**said, name: value}, bundle, "config.json")
    with pytest.raises(IntegrityError, match="format 2"):
        check_description({**said, "format": 2}, bundle, "config.json")
