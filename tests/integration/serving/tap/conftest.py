"""A TAP service as a process, over a lake that the engine built."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from console_home import made_settings
from made_sky import bring_sky
from served_tap import running
from stellar.engine.context import Context
from stellar.lake.sql import LakeConnection, connect
from stellar.ledger.connect import ledger_session
from stellar.settings import Settings


@dataclass
class Lake:
    """A home with a built lake."""

    settings: Settings
    engine: sa.Engine

    def asks(self) -> LakeConnection:
        return connect(self.settings, self.engine)


@pytest.fixture(scope="module")
def lake(database_server: sa.Engine) -> Iterator[Lake]:
    with made_settings(database_server) as settings, ledger_session(settings) as engine:
        bring_sky(Context(settings, engine))
        yield Lake(settings, engine)


@pytest.fixture(scope="module")
def service(lake: Lake) -> Iterator[str]:
    with running(lake.settings) as (url, _):
        yield url
