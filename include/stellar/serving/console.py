"""The SQL console: questions run in processes of their own, bounded in memory, time, spill and number.

A question that does too much ends its own process at most; the next one gets a new process. Processes are started when
they are first needed and kept warm: they hold the lake open as it is current.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from stellar.errors import InputError, StellarError
from stellar.settings import Settings

_PACKAGES = Path(__file__).resolve().parents[2]
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH")
_KEPT_PREFIXES = ("STELLAR_", "AWS_", "LC_", "SSL_")
START_S = 90.0
#: How long a stopped question may take to end before its process is ended.
GRACE_S = 1.5
LOOK_S = 0.1
OUTCOMES = 200


class BusyError(StellarError):
    """All processes are at work, and waiting did not help."""


@dataclass(frozen=True)
class Limits:
    """What questions may take.

    Attributes
    ----------
    workers : int
        Questions that run at once.
    memory_mb : int
        Of DuckDB in one process; one that holds 1.6 times as much, and what it had at its start, is ended.
    spill_mb : int
        Of files of one process that DuckDB puts aside what exceeds its memory into.
    threads : int
    time_s, most_time_s : float
        Time of a question when it does not say, and the longest that it may ask for; of downloads twice that.
    rows, most_rows : int
        Rows on the screen when a question does not say, and at most.
    file_rows : int
        Rows of a download.
    wait_s : float
        How long a question waits for a process.
    idle_s : float
        After so long without a question a process ends.
    """

    workers: int = 2
    memory_mb: int = 768
    spill_mb: int = 2048
    threads: int = 2
    time_s: float = 30.0
    most_time_s: float = 300.0
    rows: int = 1000
    most_rows: int = 10_000
    file_rows: int = 1_000_000
    wait_s: float = 10.0
    idle_s: float = 1800.0


class _Ended(Exception):  # noqa: N818
    """The process has gone."""


class _Worker:
    """One process and its frames."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self.spill = settings.cache / "console" / f"{os.getpid()}-{uuid.uuid4().hex}"
        self.spill.mkdir(parents=True)
        told = asdict(limits) | {"spill": str(self.spill)}
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "stellar.serving.console_worker", json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(settings),
            cwd=self.spill,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in: IO[bytes] = self.process.stdin
        self._out: int = self.process.stdout.fileno()
        self._held = bytearray()
        self.base_bytes = 0
        self.task = 0

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def send(self, what: dict[str, Any]) -> None:
        """Hand over a task, or what is to be done with one."""
        try:
            self._in.write(json.dumps(what).encode() + b"\n")
            self._in.flush()
        except (BrokenPipeError, ValueError):
            raise _Ended from None

    def frame(self, wait_s: float) -> tuple[str, bytes] | None:
        """The next frame; None when there is none after so long."""
        until = time.monotonic() + wait_s
        while (found := self._whole()) is None:
            ready, _, _ = select.select([self._out], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return None
            part = os.read(self._out, 1 << 18)
            if not part:
                raise _Ended
            self._held += part
        return found

    def _whole(self) -> tuple[str, bytes] | None:
        if len(self._held) < 5:
            return None
        size = 5 + struct.unpack_from(">I", self._held, 1)[0]
        if len(self._held) < size:
            return None
        found = chr(self._held[0]), bytes(self._held[5:size])
        del self._held[:size]
        return found

    def resident_bytes(self) -> int:
        """Memory that the process holds now."""
        with suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
            return int(pages) * os.sysconf("SC_PAGESIZE")
        return 0

    def end(self) -> None:
        """End the process and remove what it put aside."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        for stream in (self._in, self.process.stdout):
            with suppress(OSError, ValueError):
                stream.close()  # type: ignore[union-attr]
        shutil.rmtree(self.spill, ignore_errors=True)


class Console:
    """The processes that questions run in.

    Parameters
    ----------
    settings : Settings
    limits : Limits, optional
    """

    def __init__(self, settings: Settings, limits: Limits | None = None) -> None:
        self.settings, self.limits = settings, limits or Limits()
        self._lock = threading.Condition()
        self._free: list[_Worker] = []
        self._workers: set[_Worker] = set()
        self._starting = 0
        self._stops: dict[tuple[str, str], threading.Event] = {}
        self._outcomes: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
        self._closed = False
        _clear(settings.cache / "console")
        atexit.register(self.close)

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            workers, self._workers, self._free = list(self._workers), set(), []
            self._lock.notify_all()
        for worker in workers:
            worker.end()

    def warm(self) -> None:
        """Start a process if there is none, so that the first question finds it ready."""
        with self._lock:
            if self._workers or self._starting or self._closed:
                return
        with suppress(StellarError), self._taken(1.0):
            pass

    def names(self) -> dict[str, Any]:
        """Names to be completed: datasets with their columns, the ledger's tables, functions."""
        return self._answered({"op": "names"}, ("", uuid.uuid4().hex), 60.0)

    def run(
        self, statement: str, *, user: str, token: str, rows: int | None = None, time_s: float | None = None
    ) -> dict[str, Any]:
        """Answer a question for the screen.

        Parameters
        ----------
        statement : str
        user, token : str
            Who asks, and a name of the question, by which it can be stopped.
        rows : int, optional
        time_s : float, optional

        Returns
        -------
        dict
            `columns, rows, more, ms, snapshots` as `console_answers.screen` gives them.

        Raises
        ------
        InputError
            With what is wrong with the question, or what it took too much of.
        BusyError
            When all processes stay at work.
        """
        most = _within("rows", rows, self.limits.rows, self.limits.most_rows)
        task = {"op": "query", "statement": statement, "rows": most}
        return self._answered(task, (user, token), _within("time", time_s, self.limits.time_s, self.limits.most_time_s))

    def download(self, statement: str, form: str, *, user: str, token: str) -> Iterator[bytes]:
        """The whole result of a question as a file, in parts; `outcome` tells afterwards whether it was cut.

        Raises
        ------
        InputError
            At the first part, when the question is wrong; later the file breaks off.
        """
        task = {"op": "download", "statement": statement, "form": form, "rows": self.limits.file_rows}
        with self._watched((user, token)) as stop, self._taken(self.limits.wait_s) as worker:
            for letter, content in self._frames(worker, task, stop, 2 * self.limits.most_time_s):
                if letter == "H":
                    yield b""
                elif letter == "B":
                    yield content
                else:
                    self._note((user, token), _checked(json.loads(content)))

    def outcome(self, user: str, token: str) -> dict[str, Any]:
        """How many rows a download had, and whether there are more."""
        with self._lock:
            found = self._outcomes.get((user, token))
        if found is None:
            raise InputError("this download did not come to its end, or is long past")
        return found

    def stop(self, user: str, token: str) -> bool:
        """Stop a user's question; whether there was one."""
        with self._lock:
            event = self._stops.get((user, token))
        if event is not None:
            event.set()
        return event is not None

    def _answered(self, task: dict[str, Any], key: tuple[str, str], time_s: float) -> dict[str, Any]:
        with self._watched(key) as stop, self._taken(self.limits.wait_s, stop) as worker:
            for letter, content in self._frames(worker, task, stop, time_s):
                if letter == "E":
                    return _checked(json.loads(content))
        raise InputError("there was no answer; ask again")

    def _frames(
        self, worker: _Worker, task: dict[str, Any], stop: threading.Event, time_s: float
    ) -> Iterator[tuple[str, bytes]]:
        """Frames of a task up to its last one; what takes too much is stopped, and if it does not, ended."""
        worker.task += 1
        number, until, ended = worker.task, time.monotonic() + time_s, False
        most = worker.base_bytes + int(self.limits.memory_mb * 1.6) * (1 << 20)
        try:
            worker.send(task | {"id": number})
            while True:
                found = worker.frame(LOOK_S)
                if stop.is_set():
                    self._interrupt(worker, number)
                    raise InputError("stopped")
                if found is not None:
                    ended = found[0] == "E"
                    yield found
                    if ended:
                        return
                if worker.resident_bytes() > most:
                    self._drop(worker)
                    raise InputError(
                        f"stopped: the question took more than {_mb(most)} of memory; ask for fewer rows or columns, "
                        "shorter texts and lists, or add up in parts"
                    )
                if time.monotonic() > until:
                    self._interrupt(worker, number)
                    raise InputError(
                        f"stopped after {time_s:g} s; narrow the question (a cone, a LIMIT, fewer columns), or give it "
                        f"more time, up to {self.limits.most_time_s:g} s"
                    )
        except _Ended:
            self._drop(worker)
            raise InputError(
                "the question ended its process, most likely by taking too much memory; a new one stands ready. Ask "
                "for less at once"
            ) from None
        except GeneratorExit:  # nobody takes the file any more
            if not ended:
                self._interrupt(worker, number)
            raise

    def _interrupt(self, worker: _Worker, number: int) -> None:
        """Stop a task, and where it does not stop in time its process."""
        until = time.monotonic() + GRACE_S
        try:
            worker.send({"op": "stop", "id": number})
            while (left := until - time.monotonic()) > 0:
                found = worker.frame(left)
                if found is not None and found[0] == "E":
                    return
        except _Ended:
            pass
        self._drop(worker)

    @contextmanager
    def _watched(self, key: tuple[str, str]) -> Iterator[threading.Event]:
        event = threading.Event()
        with self._lock:
            if key in self._stops:
                raise InputError("a question of this name runs already")
            self._stops[key] = event
        try:
            yield event
        finally:
            with self._lock:
                self._stops.pop(key, None)

    @contextmanager
    def _taken(self, wait_s: float, stop: threading.Event | None = None) -> Iterator[_Worker]:
        worker = self._take(wait_s, stop)
        try:
            yield worker
        finally:
            with self._lock:
                if worker in self._workers:
                    self._free.append(worker)
                self._lock.notify()

    def _take(self, wait_s: float, stop: threading.Event | None) -> _Worker:
        until = time.monotonic() + wait_s
        with self._lock:
            while True:
                if self._closed:
                    raise BusyError("the console was closed")
                while self._free:
                    worker = self._free.pop()  # the one that worked last is the warmest
                    if worker.is_running:
                        return worker
                    self._workers.discard(worker)
                    worker.end()
                if len(self._workers) + self._starting < self.limits.workers:
                    self._starting += 1
                    break
                if stop is not None and stop.is_set():
                    raise InputError("stopped")
                if time.monotonic() > until:
                    raise BusyError(
                        f"{self.limits.workers} questions run already, as many as may at once; wait a little and ask "
                        "again, or stop one of yours"
                    )
                self._lock.wait(LOOK_S)
        try:
            worker = self._started()
        except BaseException:
            with self._lock:
                self._starting -= 1
            raise
        with self._lock:
            self._starting -= 1
            self._workers.add(worker)
        return worker

    def _started(self) -> _Worker:
        worker = _Worker(self.settings, self.limits)
        try:
            found = worker.frame(START_S)
        except _Ended:
            found = None
        if found is None:
            worker.end()
            raise StellarError("no process for questions could be started; the API server's log says why")
        worker.base_bytes = worker.resident_bytes()
        return worker

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._workers.discard(worker)
            self._lock.notify()
        worker.end()

    def _note(self, key: tuple[str, str], outcome: dict[str, Any]) -> None:
        with self._lock:
            self._outcomes[key] = outcome
            while len(self._outcomes) > OUTCOMES:
                self._outcomes.popitem(last=False)


def _clear(folder: Path) -> None:
    """Remove what processes of a server that is gone put aside."""
    for path in folder.glob("*-*"):
        if not Path(f"/proc/{path.name.split('-')[0]}").exists():
            shutil.rmtree(path, ignore_errors=True)


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("stopped"):
        raise InputError("stopped")
    if "error" in answer:
        raise InputError(answer["error"])
    return answer


def _within(name: str, value: float | None, default: float, most: float) -> Any:
    if value is None:
        return default
    if not 0 < value <= most:
        raise InputError(f"{name}: {value:g} is not between 0 and {most:g}")
    return value


def _mb(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MB"


def _environment(settings: Settings) -> dict[str, str]:
    """What a process that runs questions must know, and none of the server's secrets beside."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_ENVIRONMENT or name.startswith(_KEPT_PREFIXES)
    }
    path = os.pathsep.join(filter(None, (str(_PACKAGES), kept.get("PYTHONPATH"))))
    given: dict[str, Callable[[], str | None]] = {
        "STELLAR_HOME": lambda: str(settings.home),
        "STELLAR_ROOT": lambda: str(settings.root),
        "STELLAR_PROFILE": lambda: settings.profile,
        "STELLAR_LAKE": lambda: settings.lake_url,
        "STELLAR_POSTGRES_URL": lambda: settings.postgres_url.get_secret_value() if settings.postgres_url else None,
    }
    told = {name: value for name, value in ((name, get()) for name, get in given.items()) if value}
    return kept | told | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
