"""A home with a few curated and quarantined stars, brought in through the engine as a survey's are."""

import pytest

from integration.engine import small_steps as small
from stellar.engine import engine, ingest
from stellar.engine.context import Context


@pytest.fixture
def ctx(settings, ledger):
    settings.workers = 1
    return Context(settings, ledger)


@pytest.fixture
def stars(ctx):
    """`raw.stars`, `curated.stars` and `quarantine.stars` of two fields; the keys by dataset."""
    for name in ("a", "b"):
        unit, answer = small.fetched(name)
        ingest.plan_units(ctx, "test", [unit])
        ingest.record_batch(ctx, unit, answer)
    raw = ingest.commit_raw(ctx, "raw.stars")
    engine.gate(ctx, [raw.key])
    engine.promote(ctx, [raw.key], who="test", reason="sync")
    engine.run(ctx, [small.curate_step()])
    return ctx
