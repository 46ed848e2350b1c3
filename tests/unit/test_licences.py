"""Each source that the platform reads has terms on record."""

import re

import pytest

from stellar.licences import Licences, licence_text, load_licences
from stellar.settings import CONFIG

SURVEYS = sorted(path.stem for path in (CONFIG / "surveys").glob("*.yaml"))
FILES = sorted(path.stem for path in (CONFIG / "files").glob("*.yaml"))


def source(survey, dataset, **said):
    return {"survey": survey, "release": "r", "dataset": f"raw.{dataset}", "batches": 1, "rows": 1, **said}


def test_every_source_has_terms_and_all_terms_are_of_a_source():
    table = load_licences()
    assert set(table.sources) == {*SURVEYS, *(f"files/{name}" for name in FILES)}
    assert set(table.terms) == {name for names in table.sources.values() for name in names}


def test_terms_by_survey_and_by_file():
    found, unknown = load_licences().of([source("gaia", "gaia"), source("files", "linear_variables")])
    assert list(found) == ["gaia", "linear", "sdss", "twomass"] and unknown == []
    found, unknown = load_licences().of([source("files", "mine"), source("own", "stars")])
    assert (found, unknown) == ({}, ["files/mine", "own/stars"])


def test_the_text_names_each_publisher_its_link_and_papers():
    text = licence_text([source("gaia", "gaia"), source("tess", "tess"), source("own", "x")], "Mine: MIT.")
    assert text.startswith("# Licence\n\nMine: MIT.\n")
    for said in ("ESA/Gaia/DPAC", "Gaia Collaboration et al. (2023)", "MAST Data Use Policy", "own/x"):
        assert said in text
    assert len(re.findall(r"<https://", text)) == 2 and "simulated" not in text
    assert "simulated" in licence_text([source("gaia", "gaia", simulated=True)], "")
    assert "No batch of a survey is on record" in licence_text([], "")


def test_a_source_without_terms_is_a_fault_of_the_table():
    with pytest.raises(ValueError, match="no `terms` of sdss"):
        Licences(terms={}, sources={"sdss": ["sdss"]})
