"""Fixtures of the integration tests: a home, its ledger."""

import shutil
import subprocess
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
def bare_home() -> Iterator[Path]:
    """An empty folder, removed afterwards."""
    path = _make_home()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def made_home() -> Iterator[Path]:
    """A home whose ledger is made and migrated, to copy: making one anew for each test costs seconds."""
    path = _make_home()
    with ledger_session(load_settings(home=path, postgres_url=None), role="owner") as engine:
        link = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        link.execute(sa.text("ALTER SYSTEM SET fsync = off"))  # tests kill processes, not machines
        link.close()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def home(bare_home: Path, made_home: Path) -> Path:
    """A STELLAR_HOME with an empty ledger, removed afterwards."""
    for part in ("postgres", "secrets"):
        # cp keeps owners and modes, which Postgres insists on
        subprocess.run(["cp", "-a", made_home / part, bare_home / part], check=True)
    return bare_home


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings(home=home, postgres_url=None)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[sa.Engine]:
    """A ledger of its own for one test, with nothing in it, as the pipeline sees it."""
    with ledger_session(settings) as engine:
        yield engine
