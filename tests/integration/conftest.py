"""Fixtures of the integration tests: a home, its ledger."""

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from served_archive import ServedArchive, served
from stellar.ledger.connect import ledger_session
from stellar.ledger.server import Server, url
from stellar.settings import Settings, load_settings


def _make_home() -> Path:
    # not pytest's tmp_path: its folders are closed to the unprivileged user that Postgres runs as under root
    home = Path(tempfile.mkdtemp(prefix="stellar-test-", dir="/tmp"))
    home.chmod(0o755)
    return home


@contextmanager
def made_folder() -> Iterator[Path]:
    """An empty folder for a home, removed afterwards."""
    path = _make_home()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def bare_home() -> Iterator[Path]:
    """An empty folder, removed afterwards."""
    with made_folder() as path:
        yield path


@pytest.fixture(scope="session")
def made_home() -> Iterator[Path]:
    """A home whose ledger is made and migrated: a server for all tests, and a cluster to copy."""
    path = _make_home()
    with ledger_session(load_settings(home=path, postgres_url=None), role="owner") as engine:
        link = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        link.execute(sa.text("ALTER SYSTEM SET fsync = off"))  # tests kill processes, not machines
        link.close()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def home(bare_home: Path, made_home: Path) -> Path:
    """A STELLAR_HOME with an embedded server of its own (not running) and an empty ledger."""
    for part in ("postgres", "secrets"):
        # cp keeps owners and modes, which Postgres insists on
        subprocess.run(["cp", "-a", made_home / part, bare_home / part], check=True)
    return bare_home


@pytest.fixture(scope="session")
def database_server(made_home: Path) -> Iterator[sa.Engine]:
    """A running server with a migrated database `stellar`, to make databases from; as its owner."""
    path = _make_home()
    for part in ("postgres", "secrets"):
        subprocess.run(["cp", "-a", made_home / part, path / part], check=True)
    settings = load_settings(home=path, postgres_url=None)
    server = Server(settings)
    server.start()
    engine = sa.create_engine(url(settings, "owner", "postgres"), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()
    server.stop()
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def settings_of(home: Path, database_server: sa.Engine) -> Iterator[Settings]:
    """Settings of a home with an empty, migrated ledger: a database of its own on the tests' server."""
    name = f"test_{uuid.uuid4().hex}"
    with database_server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE stellar STRATEGY file_copy"))
    where = database_server.url.set(database=name, drivername="postgresql").render_as_string(hide_password=False)
    yield load_settings(home=home, postgres_url=where)
    with database_server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def settings(bare_home: Path, database_server: sa.Engine) -> Iterator[Settings]:
    """Settings of an empty home with an empty, migrated ledger.

    A command that a test starts as a process needs `STELLAR_POSTGRES_URL` as well as `STELLAR_HOME`, or the fixture
    `home`, whose embedded server it starts itself.
    """
    with settings_of(bare_home, database_server) as made:
        yield made


@pytest.fixture
def ledger(settings: Settings) -> Iterator[sa.Engine]:
    """A ledger of its own for one test, with nothing in it, as the pipeline sees it."""
    with ledger_session(settings) as engine:
        yield engine


@pytest.fixture(scope="session")
def running_archive() -> Iterator[ServedArchive]:
    with served() as service:
        yield service


@pytest.fixture
def archive_service(running_archive: ServedArchive) -> Iterator[ServedArchive]:
    """A small embedded archive, running and well-behaved until a test tells it otherwise."""
    running_archive.misbehave()
    yield running_archive
    running_archive.misbehave()
