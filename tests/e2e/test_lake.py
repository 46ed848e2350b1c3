"""What a run leaves in the lake: every question has its answer, and the tools of the field open it as it lies."""

import re

import pytest

from stellar.lake.read import Catalog
from stellar.lake.sql import connect
from stellar.ledger.connect import ledger_session

#: Questions that a sound and small home may answer with no rows.
MAY_BE_EMPTY = {
    "gate_failures",
    "quarantine_reasons",
    "rows_in_quarantine",
    "undecided_candidates",
    "white_dwarf_candidates",
}


@pytest.fixture(scope="module")
def lake(undisturbed):
    with ledger_session(undisturbed.settings, role="reader") as ledger, connect(undisturbed.settings, ledger) as opened:
        yield opened


def pytest_generate_tests(metafunc):
    if "question" in metafunc.fixturenames:
        folder = metafunc.config.rootpath / "sql" / "queries"
        metafunc.parametrize("question", sorted(folder.glob("*.sql")), ids=lambda path: path.stem)


def test_question(lake, question):
    text = question.read_text()
    if lacking := sorted(set(re.findall(r"\bown\.\w+", text)) - set(lake.catalogs)):
        pytest.skip(
            f"about users' own tables, of which a profile's home has no {lacking[0]}: unit/lake/test_own_queries"
        )
    table = lake.arrow(text)
    assert table.num_rows > 0 or question.stem in MAY_BE_EMPTY
    if question.stem == "row_accounting":
        assert all(table["adds_up"].to_pylist()) and table.num_rows >= len(lake.catalogs)


def test_nothing_of_the_lake_is_hidden(lake):
    assert lake.faults == {}
    for name in lake.catalogs:
        assert lake.execute(f"SELECT count(*) FROM {name}").fetchone()[0] == lake.catalogs[name].rows


def test_lsdb_and_hats_take_what_lies_in_the_lake(lake):
    import hats.io.validation
    import lsdb

    on_sky = {name: one for name, one in lake.catalogs.items() if one.is_hats}
    assert {"curated.objects", "scores.photometric_teff"} <= set(on_sky)
    for name, catalog in on_sky.items():
        assert hats.io.validation.is_valid_catalog(catalog.root, strict=True), name
        if name == "curated.objects" or name.startswith("scores."):
            assert len(lsdb.open_catalog(catalog.root)) == Catalog(catalog.root).rows
            assert len(lsdb.open_catalog(catalog.root).compute()) == catalog.rows
