"""A home with a few curated stars and a console over it, for the tests of one module together."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from brought import bring
from integration.conftest import made_folder, settings_of
from integration.engine import small_steps as small
from stellar.engine import engine
from stellar.engine.context import Context
from stellar.ledger.connect import ledger_session
from stellar.settings import Settings


@contextmanager
def made_settings(database_server: sa.Engine) -> Iterator[Settings]:
    """What the fixture `settings` gives, for longer than one test."""
    with made_folder() as home, settings_of(home, database_server) as settings:
        settings.workers = 1
        yield settings


@contextmanager
def home_of_stars(database_server: sa.Engine) -> Iterator[Context]:
    """`raw.stars`, `curated.stars` and `quarantine.stars` of two fields."""
    with made_settings(database_server) as settings, ledger_session(settings) as ledger:
        ctx = Context(settings, ledger)
        bring_field(ctx, "a")
        bring_field(ctx, "b")
        yield ctx


def bring_field(ctx: Context, name: str) -> None:
    """One field of stars, through to current rows."""
    bring(ctx, "test", small.fetched(name))
    engine.run(ctx, [small.curate_step()])
