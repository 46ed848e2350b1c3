import pytest
import yaml

from made_stars import make_class_config, make_config
from stellar.errors import InputError
from stellar.training.config import list_configs, load_config


def write(folder, config, **changes):
    content = config.model_dump(mode="json", exclude_none=True) | changes
    path = folder / f"{config.name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.parametrize("name", list_configs())
@pytest.mark.parametrize("profile", ["simulated", "tiny", "real"])
def test_the_platforms_own_configs_are_right(name, profile):
    config = load_config(name, profile=profile)
    assert config.name == name
    assert config.scores == f"scores.{name.replace('-', '_')}"


def test_the_three_models_of_the_main_job_are_there():
    assert {"photometric-teff", "spectral-class", "lightcurve-class"} <= set(list_configs())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "other"}, "write `name: test-teff`"),
        ({"colums": ["a"]}, "did you mean `columns`?"),
        ({"columns": []}, "columns"),
        ({"columns": ["a", "a"]}, "given twice: a"),
        ({"features": "sed"}, "features"),
        ({"family": "radio"}, "'photometry', 'spectra' or 'lightcurves'"),
        ({"split": {"order": 4, "fractions": {"train": 0.5, "test": 0.5}}}, "missing for calibration, validation"),
        (
            {"split": {"order": 4, "fractions": {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.3}}},
            "add up to 1, not 1.1",
        ),
        ({"split": {"order": 40, "fractions": {}}}, "split.order"),
        ({"conformal": {"alpha": 0.7}}, "conformal.alpha"),
        ({"target": {"name": "teff_k", "kind": "quantity", "bands": {"M": 0}}}, "go together"),
        (
            {"target": {"name": "teff_k", "kind": "quantity", "class_name": "c", "bands": {"K": 9, "M": 0}}},
            "must ascend",
        ),
        ({"target": {"name": "c", "kind": "class", "class_name": "c", "bands": {"M": 0}}}, "remove them"),
        ({"policy": [{"metric": "mae", "op": "<="}]}, "needs a `value`"),
        ({"policy": []}, "policy"),
        ({"attributions": []}, "attributions"),
        ({"calibration": "platt"}, "'temperature', 'isotonic' or 'none'"),
        ({"min_examples": "many"}, "min_examples"),
        ({"slices": [{"column": "g_mag"}]}, "slices.0.edges: this key is missing"),
        ({"description": "short"}, "description"),
    ],
)
def test_each_wrong_key_is_named_with_what_to_do(tmp_path, changes, said):
    path = write(tmp_path, make_config(), **changes)
    with pytest.raises(InputError) as fault:
        load_config(path)
    assert f"{path}" in str(fault.value)
    assert said in str(fault.value)


def test_wording_and_policy_do_not_make_another_model():
    base = make_config()
    same = make_config(description="Said in other words", policy=[{"metric": "mae", "op": "<=", "value": 1}])
    assert base.hash() == same.hash()


@pytest.mark.parametrize("changes", [{"columns": ["bp_rp"]}, {"params": {"rounds": 81}}, {"conformal": {"alpha": 0.2}}])
def test_what_decides_the_model_makes_another(changes):
    assert make_config().hash() != make_config(**changes).hash()


def test_class_column():
    assert make_config().target.class_column == "teff_class"
    assert make_class_config().target.class_column == "spectral_class"


def _schemas():
    from stellar.features.lightcurve_columns import lightcurve_schema
    from stellar.features.lightcurves import DEFAULTS
    from stellar.features.sed import load_sed, schema
    from stellar.features.spectra import DEFAULTS as SPECTRA
    from stellar.features.spectra import Grid, spectra_schema

    return {
        "features.sed": schema(load_sed()),
        "features.spectra": spectra_schema(Grid(**SPECTRA["grid"])),
        "features.lightcurves": lightcurve_schema(DEFAULTS["carry"], magnitudes=False),
        "features.asas_lightcurves": lightcurve_schema([], magnitudes=True),
    }


@pytest.mark.parametrize("name", ["photometric-teff", "spectral-class", "lightcurve-class"])
@pytest.mark.parametrize("profile", ["simulated", "tiny", "real"])
def test_every_column_that_a_config_names_is_made(name, profile):
    config = load_config(name, profile=profile)
    made = set(_schemas()[config.features].names)
    assert {*config.keys, *config.columns, *config.watch, *(part.column for part in config.slices)} <= made


def test_what_a_config_does_not_use_leaves_its_identity_as_it_was():
    plain = make_config(split={"folds": 3})
    assert "needs" not in plain.canonical()
    assert not {"also_by_cell", "deals"} & set(plain.canonical()["split"])
    assert make_config(split={"folds": 3, "deals": 2}).hash() != plain.hash()
    assert make_config(split={"folds": 3, "also_by_cell": 0}).hash() != plain.hash()
    assert make_config(split={"folds": 3}, needs=["u_g"]).hash() != plain.hash()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"needs": ["g_mag"]}, "names g_mag, not among `columns`"),
        ({"split": {"folds": 3, "order": 4, "also_by_cell": 4}}, "goes with `folds` alone"),
        ({"split": {"folds": 3, "also_by_cell": 4}, "on_sky": False}, "takes positions"),
        ({"split": {**make_config().split.model_dump(exclude_unset=True), "deals": 2}}, "`deals` goes with `folds`"),
    ],
)
def test_needs_and_cells_that_cannot_be_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        make_config(**changes)
