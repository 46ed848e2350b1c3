"""The trigger forms: what Airflow's API refuses before there is a run, and what the forms offer."""

import copy
import json
import os
import subprocess
import sys

import pytest
from airflow.sdk.exceptions import ParamValidationError

SYNCS = ("sync_gaia", "sync_sdss", "sync_tess", "sync_labels", "sync_files")
WRONG = [
    ("sync_gaia", {"ra_deg": 360}, "ra_deg"),
    ("sync_gaia", {"dec_deg": -91}, "dec_deg"),
    ("sync_gaia", {"radius_deg": 0}, "radius_deg"),
    ("sync_gaia", {"cells": ["30/1"]}, "cells"),
    ("sync_gaia", {"cells": ["5-1024"]}, "cells"),
    ("sync_gaia", {"release": "gaiadr2"}, "release"),
    ("sync_sdss", {"release": "dr7"}, "release"),
    ("sync_tess", {"row_cap": 0}, "row_cap"),
    ("sync_labels", {"units": [""]}, "units"),
    ("sync_files", {"dry_run": "yes"}, "dry_run"),
    ("train_models", {"models": ["no-such-model"]}, "models"),
    ("train_models", {"files": ["model.json"]}, "files"),
    ("maintain_lake", {"keep": 0}, "keep"),
    ("import_catalog", {"files": [], "name": "a", "id_column": "n"}, "files"),
    ("import_catalog", {"files": ["f"], "name": "A", "id_column": "n"}, "name"),
    ("crossmatch_catalogs", {"left": "a", "right": "b", "name": "c", "radius_arcsec": 0}, "radius_arcsec"),
    ("crossmatch_catalogs", {"left": "a", "right": "b", "name": "c", "radius_arcsec": 1, "how": "full"}, "how"),
]
RIGHT = [
    ("sync_gaia", {"ra_deg": 0, "dec_deg": 20.0, "radius_deg": 0.3, "release": "gaiadr3"}),
    ("sync_gaia", {"cells": ["0/0", "29/7"], "covered": ["3/1"], "release": None}),
    ("sync_sdss", {"release": "dr16", "row_cap": 10, "magnitude_limit": 18}),
    ("train_models", {"models": ["photometric-teff", "mine.yaml"], "files": ["./a/b.yml"]}),
]


@pytest.fixture(scope="module")
def bag(root):
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(root / "dags"))


def validated(bag, name: str, given: dict) -> dict:
    """What Airflow makes of a run's parameters, as its API does before it makes the run."""
    params = copy.deepcopy(bag.dags[name].params)
    params.update(given)
    return params.validate()


@pytest.mark.parametrize(("name", "given", "field"), WRONG)
def test_a_wrong_value_is_refused_and_named(bag, name, given, field):
    with pytest.raises(ParamValidationError, match=rf"Invalid input for param {field}\b"):
        validated(bag, name, given)


@pytest.mark.parametrize(("name", "given"), RIGHT)
def test_right_values_are_taken(bag, name, given):
    assert {key: validated(bag, name, given)[key] for key in given} == given


def test_an_unknown_model_is_refused_with_the_names_there_are(bag):
    with pytest.raises(ParamValidationError, match=r"'no-such-model'.*photometric-teff.*spectral-class"):
        validated(bag, "train_models", {"models": ["no-such-model"]})


def test_every_field_has_a_title_and_a_section_and_every_dag_that_works_a_dry_run(bag):
    for name, dag in bag.dags.items():
        for field in dag.params:
            schema = dag.params.get_param(field).schema
            assert schema.get("title") and schema.get("section"), f"{name}.{field}"
            assert schema.get("type"), f"{name}.{field} has no type"
        assert "dry_run" in dag.params, name
        assert dag.params["dry_run"] is False


def test_the_forms_offer_the_releases_that_the_clients_know():
    import yaml

    from common.names import CONFIG, RELEASES
    from stellar.surveys import gaia, sdss

    assert set(RELEASES["gaia"]) == set(gaia.RELEASES)
    assert set(RELEASES["sdss"]) == set(sdss.RELEASES)
    for survey, releases in RELEASES.items():
        configured = yaml.safe_load((CONFIG / "surveys" / f"{survey}.yaml").read_text())["sync"]["release"]
        assert releases[0] == configured
        assert survey in ("gaia", "sdss") or releases == (configured,)


SHOW = """
import json
import crossmatch_catalogs as m, sync_gaia as g, train_models as t
one = lambda dag, name: dag.params.get_param(name).schema
print(json.dumps({"left": one(m.crossmatch_catalogs(), "left")["examples"],
  "covered": one(g.sync_gaia(), "covered")["examples"], "models": one(t.train_models(), "models")["examples"]}))
"""


def offered(root, home) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=root / "dags",
        env=os.environ | {"STELLAR_HOME": str(home), "STELLAR_PROFILE": "tiny"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_choices_come_from_the_file_that_promotions_write(root, tmp_path):
    from stellar.training.config import list_configs

    assert offered(root, tmp_path)["covered"] == [], "a home without data"
    (tmp_path / "cache").mkdir()
    told = {"datasets": ["curated.gaia", "own.stars"], "cells": {"gaia": ["2/12", "2/3"], "sdss_photo": ["2/4"]}}
    (tmp_path / "cache" / "choices.json").write_text(json.dumps(told))
    shown = offered(root, tmp_path)
    assert shown["left"] == ["curated.gaia", "own.stars"]
    assert shown["covered"] == ["2/3", "2/12"]
    assert shown["models"] == sorted(list_configs())
    (tmp_path / "cache" / "choices.json").write_text("{ cut")
    assert offered(root, tmp_path)["left"] == [], "a damaged file keeps no DAG from loading"
