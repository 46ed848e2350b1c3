"""A home with a few curated stars and a console over it, for the tests of one module together."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from integration.conftest import _make_home
from integration.engine import small_steps as small
from stellar.engine import engine, ingest
from stellar.engine.context import Context
from stellar.ledger.connect import ledger_session
from stellar.settings import Settings, load_settings


@contextmanager
def made_settings(database_server: sa.Engine) -> Iterator[Settings]:
    """What the fixture `settings` gives, for longer than one test."""
    home, name = _make_home(), f"test_{uuid.uuid4().hex}"
    with database_server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE stellar STRATEGY file_copy"))
    where = database_server.url.set(database=name, drivername="postgresql").render_as_string(hide_password=False)
    yield load_settings(home=home, postgres_url=where, workers=1)
    with database_server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    shutil.rmtree(home, ignore_errors=True)


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
    unit, answer = small.fetched(name)
    ingest.plan_units(ctx, "test", [unit])
    ingest.record_batch(ctx, unit, answer)
    raw = ingest.commit_raw(ctx, "raw.stars")
    engine.gate(ctx, [raw.key])
    engine.promote(ctx, [raw.key], who="test", reason="sync")
    engine.run(ctx, [small.curate_step()])
