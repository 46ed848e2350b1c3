"""A TAP service as a process, over a lake that the engine built."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from made_sky import bring_sky
from served_tap import running
from stellar.engine.context import Context
from stellar.lake.sql import LakeConnection, connect
from stellar.ledger.connect import ledger_session
from stellar.settings import Settings, load_settings


@dataclass
class Lake:
    """A home with a built lake."""

    settings: Settings
    engine: sa.Engine

    def asks(self) -> LakeConnection:
        return connect(self.settings, self.engine)


@pytest.fixture(scope="module")
def lake(database_server: sa.Engine) -> Iterator[Lake]:
    home = Path(tempfile.mkdtemp(prefix="stellar-tap-", dir="/tmp"))
    name = f"tap_{uuid.uuid4().hex}"
    with database_server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE stellar STRATEGY file_copy"))
    where = database_server.url.set(database=name, drivername="postgresql").render_as_string(hide_password=False)
    settings = load_settings(home=home, postgres_url=where, workers=1)
    with ledger_session(settings) as engine:
        bring_sky(Context(settings, engine))
        yield Lake(settings, engine)
    with database_server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def service(lake: Lake) -> Iterator[str]:
    with running(lake.settings) as (url, _):
        yield url
