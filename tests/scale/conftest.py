"""What the suite needs beside the platform: a Redis, a Dask cluster, homes that the user of Postgres may enter."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
import sqlalchemy as sa

import brought
from integration.conftest import database_server, made_home  # noqa: F401  fixtures
from integration.engine import small_steps as small
from scale.cluster import Cluster
from stellar.engine import engine
from stellar.ledger.connect import ledger_session
from stellar.platform.ports import free_ports, is_free
from stellar.quality import suites
from stellar.settings import load_settings

ROWS = 60_000


@pytest.fixture(scope="session")
def homes() -> Iterator[Path]:
    """Folder for homes; pytest's own (0700) is closed to the user that Postgres runs as when tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="stellar-scale-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis on loopback with a password, started for this suite."""
    server = shutil.which("redis-server")
    if server is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is missing in CI: apt-get install redis-server")
        pytest.skip("no redis-server here; install Debian's package of that name")
    port, password = free_ports(1)[0], secrets.token_urlsafe(16)
    process = subprocess.Popen([server, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    # by standard input, since a command line is for everybody to read
    settings = f"port {port}\nbind 127.0.0.1\nrequirepass {password}\nsave ''\nappendonly no\n"
    process.stdin.write(settings.encode())
    process.stdin.close()
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    try:
        _wait_for_redis(process, url)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_for_redis(process: subprocess.Popen, url: str) -> None:
    give_up = time.monotonic() + 20
    while True:
        assert process.poll() is None, "redis-server ended"
        try:
            redis.Redis.from_url(url, socket_timeout=2).ping()
            return
        except redis.ConnectionError:
            assert time.monotonic() < give_up, "redis-server does not answer"
            time.sleep(0.05)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Cluster]:
    """A Dask scheduler without workers."""
    with Cluster(tmp_path) as running:
        yield running


@pytest.fixture
def cluster(scheduler: Cluster) -> Cluster:
    """A Dask scheduler and two workers of one thread each, every one a process."""
    scheduler.add_workers(2)
    return scheduler


@pytest.fixture
def contexts(
    homes: Path,
    database_server: sa.Engine,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., engine.Context]]:
    """Makes engines on empty homes with ledgers of their own, with the settings that it is given; gates ask nothing."""
    (tmp_path / "default.yaml").write_text("description: asks nothing\nunique_id: false\n")
    monkeypatch.setattr("stellar.quality.suite_files.GATES", tmp_path)
    suites.load_suite.cache_clear()
    with ExitStack() as stack:

        def make(**settings: Any) -> engine.Context:
            name = f"test_{uuid.uuid4().hex}"
            with database_server.connect() as connection:
                connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE stellar STRATEGY file_copy"))
            where = database_server.url.set(database=name, drivername="postgresql")
            url = where.render_as_string(hide_password=False)
            made = load_settings(home=homes / name, postgres_url=url, **settings)
            return engine.Context(made, stack.enter_context(ledger_session(made)), "run-1")

        yield make
    suites.load_suite.cache_clear()


@pytest.fixture
def bring() -> Callable[..., None]:
    """Brings fields of `small_steps` into a lake and makes them current."""

    def stars(ctx: engine.Context, *fields: str) -> None:
        brought.bring(ctx, "test", *map(small.fetched, fields))

    return stars


@pytest.fixture(scope="session")
def tables(homes: Path) -> list[Path]:
    """Four files of stars over a part of the sky, large enough for some ten partitions."""
    random = np.random.default_rng(7)
    return [
        _stars(homes / f"stars_{number}.parquet", number, random.uniform(10, 60, ROWS), random.uniform(-20, 20, ROWS))
        for number in range(4)
    ]


@pytest.fixture(scope="session")
def other_tables(tables: list[Path], homes: Path) -> list[Path]:
    """Another survey of the same stars: half of them, with a scatter of 0.3 arcsec."""
    random = np.random.default_rng(8)
    paths = []
    for number, path in enumerate(tables[:2]):
        stars = pq.read_table(path, columns=["ra", "dec"])
        ra, dec = (stars[name].to_numpy() + random.normal(0, 0.3 / 3600, ROWS) for name in ("ra", "dec"))
        paths.append(_stars(homes / f"others_{number}.parquet", number, ra, dec))
    return paths


def _stars(path: Path, number: int, ra: np.ndarray, dec: np.ndarray) -> Path:
    random = np.random.default_rng([9, number, *path.name.encode()])
    columns = {"id": np.arange(ROWS) * 4 + number, "ra": ra, "dec": dec}
    columns |= {f"f{i}": random.normal(size=ROWS) for i in range(20)}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(scope="session")
def s3() -> Iterator[None]:
    """A real S3 server process (moto's), which every S3 client of this process and its children is told of."""
    port = free_ports(1)[0]
    ours = {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(16),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + 30
        while is_free(port):
            assert process.poll() is None, "moto's server ended"
            assert time.monotonic() < give_up, "moto's server does not listen"
            time.sleep(0.05)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ours.items():
                patch.setenv(name, value)
            yield
    finally:
        process.kill()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def new_bucket(s3: None) -> Callable[[], str]:
    """Makes empty buckets; returns their addresses."""
    import s3fs

    def make() -> str:
        name = f"lake-{uuid.uuid4().hex[:12]}"
        s3fs.S3FileSystem().mkdir(name)
        return f"s3://{name}"

    return make


@pytest.fixture
def bucket(new_bucket: Callable[[], str]) -> str:
    """Address of an empty bucket."""
    return new_bucket()


@pytest.fixture
def there(contexts, bucket):
    """An engine whose lake is in a bucket."""
    return contexts(workers=2, lake_url=f"{bucket}/lake")


@pytest.fixture
def here(contexts):
    """An engine whose lake is at home."""
    return contexts(workers=2)
