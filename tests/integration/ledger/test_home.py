"""A home of an older layout is brought to the present one by the first command that opens its ledger."""

import json

import pytest

from brought import bring
from integration.engine import small_steps as small
from stellar.engine import engine
from stellar.engine.recall import read_home
from stellar.ledger import history, snapshots
from stellar.ledger.connect import ledger_session
from stellar.ledger.home import LAYOUT


def layout(settings):
    return json.loads((settings.home / "version").read_text())["layout"]


def test_a_new_home_has_the_present_layout(settings, ledger):
    assert layout(settings) == LAYOUT


@pytest.fixture
def old_home(settings, ledger):
    """As layout 1 had it: no version, no histories, no origins; the ledger alone knows."""
    settings.workers = 1
    ctx = engine.Context(settings, ledger)
    bring(ctx, "test", small.fetched("a"), small.fetched("b"), small.fetched("a", sign="2", seed=3))
    for pattern in (f"*/*/{history.HISTORY}", f"*/*/*/*{history.ORIGIN}"):
        for path in settings.lake.glob(pattern):
            path.unlink()
    (settings.home / "version").unlink()
    return ctx


def test_an_older_home_is_brought_to_it(settings, old_home):
    assert not read_home(settings).rows["ingest.batch"]
    with ledger_session(settings, role="reader"):
        assert layout(settings) == LAYOUT
    found = read_home(settings)
    assert not found.assumed and not found.skipped
    assert len(found.rows["ingest.batch"]) == 3
    assert [row["superseded_by"] is None for row in found.rows["ingest.batch"]].count(True) == 2
    current = snapshots.current(old_home.engine, "raw.stars")
    assert [(row["key"], row["state"]) for row in found.rows["lake.snapshot"]] == [(current.key, "current")]


def test_a_crash_on_the_way_is_made_good(settings, old_home, monkeypatch):
    def crash(*args):
        raise OSError("no space left")

    monkeypatch.setattr(history, "write_batches", crash)
    with pytest.raises(OSError, match="no space"), ledger_session(settings):
        pass
    assert not (settings.home / "version").exists()
    monkeypatch.undo()
    with ledger_session(settings):
        assert layout(settings) == LAYOUT
    assert len(read_home(settings).rows["ingest.batch"]) == 3
