"""Fixtures of the integration tests: a home, its ledger."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from stellar.ledger.connect import ledger_session
from stellar.settings import Settings, load_settings


def _make_home() -> Path:
    # not pytest's tmp_path: its folders are closed to the unprivileged user that Postgres runs as under root
    home = Path(tempfile.mkdtemp(prefix="stellar-test-", dir="/tmp"))
    home.chmod(0o755)
    return home


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty STELLAR_HOME, removed afterwards."""
    path = _make_home()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings(home=home, postgres_url=None)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[sa.Engine]:
    """A ledger of its own for one test, with nothing in it, as the pipeline sees it."""
    with ledger_session(settings) as engine:
        yield engine
