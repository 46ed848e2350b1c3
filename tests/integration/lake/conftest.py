"""A home with a few curated and quarantined stars, brought in through the engine as a survey's are."""

import pytest

from brought import bring
from integration.engine import small_steps as small
from stellar.engine import engine
from stellar.engine.context import Context


@pytest.fixture
def ctx(settings, ledger):
    settings.workers = 1
    return Context(settings, ledger)


@pytest.fixture
def stars(ctx):
    """`raw.stars`, `curated.stars` and `quarantine.stars` of two fields."""
    bring(ctx, "test", small.fetched("a"), small.fetched("b"))
    engine.run(ctx, [small.curate_step()])
    return ctx
