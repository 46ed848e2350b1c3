"""A Dask cluster as a user starts it: `dask scheduler`, `dask worker`, each a process that can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from scale import hold
from stellar.platform.ports import free_ports

START_S = 60


class Cluster:
    """One scheduler on loopback and its workers, as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
        self.held = folder / "held"
        # workers import what the tests submit
        self._environment = os.environ | {"OMP_NUM_THREADS": "1"} | hold.environment(self.held)
        self._log = (folder / "dask.log").open("ab")
        self._processes: list[subprocess.Popen] = []
        self.workers: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> Self:
        host, port = self.address.removeprefix("tcp://").split(":")
        self._start("scheduler", "--host", host, "--port", port, "--no-dashboard", "--no-show")
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait(timeout=10)
        self._log.close()

    def add_workers(self, count: int, threads: int = 1, hold_in: str = "") -> None:
        """Start workers and wait until the scheduler knows them; `hold_in` names a function that is held in them."""
        options = ["--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        self._environment[hold.HOLD_IN] = hold_in
        for _ in range(count):
            name = f"worker-{len(self.workers)}"
            command = ("worker", self.address, *options, "--name", name, "--local-directory", str(self.folder / name))
            self.workers[name] = self._start(*command)
        give_up = time.monotonic() + START_S
        living = sum(worker.poll() is None for worker in self.workers.values())
        while len(self.tasks()) < living:
            assert time.monotonic() < give_up, (self.folder / "dask.log").read_text()
            time.sleep(0.1)

    def _start(self, *arguments: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._processes.append(process)
        return process

    def tasks(self) -> dict[str, list[str]]:
        """Name of each worker that the scheduler knows, and what it is at."""
        from distributed import Client

        try:
            with Client(self.address, timeout=START_S, set_as_default=False) as client:
                workers = client.scheduler_info(n_workers=-1)["workers"]
                under_way = client.processing()
        except OSError:
            return {}
        return {about["id"]: list(under_way.get(address, ())) for address, about in workers.items()}

    def kill(self, name: str) -> None:
        """`kill -9` of a worker."""
        self.workers[name].send_signal(signal.SIGKILL)
        self.workers[name].wait(timeout=10)

    def kill_scheduler(self) -> None:
        self._processes[0].send_signal(signal.SIGKILL)
        self._processes[0].wait(timeout=10)
