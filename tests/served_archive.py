"""The embedded archive as a running process, for tests that talk to it over HTTP."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import requests

from stellar.archive.build import build_archive
from stellar.settings import Settings, load_settings

SEED, SCALE = 20260101, 0.02


class ServedArchive:
    """A running archive: its folder, URL, and the means to make it misbehave."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder, self.state = folder, state
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "stellar.archive.service", "--folder", folder),
                *("--port-file", state / "archive.json", "--token-file", state / "token"),
            ],
            env={**os.environ, "STELLAR_ARCHIVE_FAULTS": ""},
        )
        until = time.monotonic() + 120
        while not (state / "archive.json").exists():
            assert self.process.poll() is None, "the archive ended before it listened"
            assert time.monotonic() < until, "the archive does not listen"
            time.sleep(0.05)
        self.url = json.loads((state / "archive.json").read_text())["url"]
        self.token = (state / "token").read_text()

    def settings(self, home: Path, **overrides: Any) -> Settings:
        """Settings of a home whose `embedded` services are this archive."""
        home.joinpath("run").mkdir(parents=True, exist_ok=True)
        home.joinpath("run/archive.json").write_text(json.dumps({"url": self.url}))
        return load_settings(home=home, **overrides)

    def misbehave(self, **faults: Any) -> dict[str, Any]:
        """Set faults from now on (none without arguments); what was set, and given so far."""
        answer = requests.post(
            f"{self.url}/_faults", json=faults, headers={"Authorization": f"Bearer {self.token}"}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def given(self) -> dict[str, int]:
        """How many answers of each kind were given since the faults were set."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.get(f"{self.url}/_faults", headers=headers, timeout=30).json()["given"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def content(table: pa.Table) -> str:
    """Hash of a table's rows; unlike `Table.equals` it takes NaN for NaN."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


@contextmanager
def served(folder: Path | None = None) -> Iterator[ServedArchive]:
    """An archive of its own: of `folder`, or a small one made for it."""
    state = Path(tempfile.mkdtemp(prefix="stellar-archive-", dir="/tmp"))
    if folder is None:
        folder = state / "archive"
        build_archive(folder, seed=SEED, scale=SCALE)
    service = ServedArchive(folder, state)
    try:
        yield service
    finally:
        service.stop()
        shutil.rmtree(state, ignore_errors=True)
