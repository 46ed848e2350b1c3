"""The whole platform as a user starts it: `stellar run` as a process, in a home of its own, with the profile `tiny`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import sqlalchemy as sa

from stellar.ledger.connect import ledger_session
from stellar.platform import airflow, bootstrap
from stellar.platform.client import Airflow
from stellar.platform.processes import leftovers
from stellar.platform.supervisor import running_status
from stellar.settings import Settings, load_settings

PROFILE = "tiny"
RUN_LIMIT_S = 900
START_LIMIT_S = 300


class Home:
    """One `STELLAR_HOME` and what runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: Settings = load_settings(home=folder, profile=PROFILE)
        self.environment = os.environ | {"STELLAR_HOME": str(folder), "STELLAR_PROFILE": PROFILE}
        self.output = folder.with_suffix(".log")
        self._clients: dict[str, Airflow] = {}

    def start(self, *command: str) -> subprocess.Popen:
        """Start a command of the platform; its output goes to `self.output`."""
        with self.output.open("a") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "stellar", *command], env=self.environment, stdout=output, stderr=output
            )

    def run(self) -> str:
        """`stellar run` to its end; what it printed."""
        before = self.output.stat().st_size if self.output.exists() else 0
        process = self.start("run")
        try:
            code = process.wait(timeout=RUN_LIMIT_S)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)
        text = self.output.read_bytes()[before:].decode()
        assert code == 0, text[-6000:]
        return text

    @contextmanager
    def up(self) -> Iterator[None]:
        """`stellar up`, from its being healthy until it is ended."""
        process = self.start("up")
        try:
            wait_for(lambda: self.is_healthy() or process.poll() is not None, START_LIMIT_S, "the platform")
            assert process.poll() is None, self.output.read_text()[-4000:]
            yield
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)

    def status(self) -> dict:
        return running_status(self.settings) or {"parts": {}, "url": None}

    def is_healthy(self) -> bool:
        status = self.status()
        return bool(status.get("ports")) and airflow.is_healthy(status["ports"])

    def client(self) -> Airflow:
        """Logged in as admin; one per address, since logins are limited to a few in a minute."""
        url = self.status()["url"]
        if url not in self._clients:
            self._clients[url] = Airflow(url, "admin", bootstrap.password(self.settings, "admin"))
        return self._clients[url]

    def contents(self) -> dict[str, object]:
        """Rows and content hash of everything current, and every model version with its metrics."""
        with ledger_session(self.settings, "reader") as engine, engine.connect() as connection:
            datasets = connection.execute(sa.text("select dataset, rows, content_hash from lake.current order by 1"))
            versions = connection.execute(sa.text("select model, key, state from registry.version order by 1, 2"))
            metrics = connection.execute(
                sa.text("select version, name, split, slice, value from registry.metric order by 1, 2, 3, 4")
            )
            return {
                "datasets": {row.dataset: (row.rows, row.content_hash) for row in datasets},
                "versions": [tuple(row) for row in versions],
                "metrics": [tuple(row) for row in metrics],
            }

    def query(self, text: str) -> list[tuple]:
        with ledger_session(self.settings, "reader") as engine, engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(text))]

    def marked(self) -> list[psutil.Process]:
        """Living processes of this home, as the kernel knows them."""
        return [process for process in leftovers(self.settings) if is_alive(process)]

    def listening(self) -> set[str]:
        """Addresses that any process of this home listens on."""
        return {
            connection.laddr.ip
            for process in self.marked()
            for connection in tcp_connections(process)
            if connection.status == psutil.CONN_LISTEN
        }


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False  # ended between being listed and being asked


def tcp_connections(process: psutil.Process) -> list:
    try:
        return process.net_connections("tcp")
    except psutil.NoSuchProcess:
        return []


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for a condition; how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.25)
    return time.monotonic() - began
