"""An engine on an empty ledger, with gates that ask nothing but what the tests say."""

import pytest

import brought
from integration.engine import small_steps as small
from stellar.engine import engine
from stellar.quality import suites


@pytest.fixture
def gates(settings, monkeypatch):
    """Folder of the gates' suites; the default one lets everything pass."""
    folder = settings.home / "gates"
    folder.mkdir()
    (folder / "default.yaml").write_text("description: asks nothing\nunique_id: false\n")
    monkeypatch.setattr("stellar.quality.suite_files.GATES", folder)
    suites.load_suite.cache_clear()
    yield folder
    suites.load_suite.cache_clear()


@pytest.fixture
def ctx(settings, ledger, gates):
    settings.workers = 1
    return engine.Context(settings, ledger, "run-1")


@pytest.fixture
def sync(ctx):
    """Bring fields of stars and make them current; returns the raw snapshot's key."""

    def bring(*names, dataset="stars", **options):
        answers = [small.fetched(name, dataset=dataset, **options) for name in names]
        return brought.bring(ctx, "test", *answers, dataset=dataset)

    return bring
