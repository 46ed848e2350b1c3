"""The SQL console: questions run in processes of their own, bounded in memory, time, spill and number.

A question that does too much ends its own process at most; the next one gets a new process. Processes are started when
they are first needed and kept warm: they hold the lake open as it is current.
"""

from __future__ import annotations

import atexit
import json
import shutil
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stellar.errors import InputError, StellarError
from stellar.settings import Settings

from .console_process import Ended, Limits, Worker
from .console_watch import LOOK_S, Watch

START_S = 90.0
#: How long a stopped question may take to end before its process is ended.
GRACE_S = 1.5
OUTCOMES = 200


class BusyError(StellarError):
    """All processes are at work, and waiting did not help; or the user has a download under way."""


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
        self._free: list[Worker] = []
        self._workers: set[Worker] = set()
        self._starting = 0
        self._stops: dict[tuple[str, str], threading.Event] = {}
        self._downloads: dict[str, threading.Event] = {}
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
        BusyError
            When all processes stay at work, or another download of the user is under way.
        """
        task = {"op": "download", "statement": statement, "form": form, "rows": self.limits.file_rows}
        with (
            self._watched((user, token)) as stop,
            self._only_download(user, stop),
            self._taken(self.limits.wait_s, stop) as worker,
        ):
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
        self, worker: Worker, task: dict[str, Any], stop: threading.Event, time_s: float
    ) -> Iterator[tuple[str, bytes]]:
        """Frames of a task up to its last one; what takes too much is stopped, and if it does not, ended."""
        worker.task += 1
        number, until, ended = worker.task, time.monotonic() + time_s, False
        watch = Watch(
            worker,
            stop,
            time_s=time_s,
            grace_s=2 * GRACE_S,  # a task that is stopped gently has ended by then
            most_bytes=worker.base_bytes + int(self.limits.memory_mb * 1.6) * (1 << 20),
            end=lambda: self._give_up(worker, stop),
        )
        try:
            worker.send(task | {"id": number})
            while True:
                found = worker.frame(LOOK_S)
                if stop.is_set():
                    self._interrupt(worker, number)
                    raise InputError("stopped")
                if found is not None:
                    ended = found[0] == "E"
                    if ended and watch.close():
                        self._drop(worker)
                    yield found
                    if ended:
                        return
                if time.monotonic() > until:
                    self._interrupt(worker, number)
                    raise InputError(
                        f"stopped after {time_s:g} s; narrow the question (a cone, a LIMIT, fewer columns), or give it "
                        f"more time, up to {self.limits.most_time_s:g} s"
                    )
        except Ended as error:
            self._drop(worker)
            raise InputError(
                watch.why
                or str(error)
                or "the question ended its process, most likely by taking too much memory; a new one stands ready. Ask "
                "for less at once"
            ) from None
        except GeneratorExit:  # nobody takes the file any more
            if not ended:
                self._interrupt(worker, number)
            raise
        finally:
            if watch.close():
                self._drop(worker)

    def _interrupt(self, worker: Worker, number: int) -> None:
        """Stop a task, and where it does not stop in time its process."""
        until = time.monotonic() + GRACE_S
        try:
            worker.send({"op": "stop", "id": number})
            while (left := until - time.monotonic()) > 0:
                found = worker.frame(left)
                if found is not None and found[0] == "E":
                    return
        except Ended:
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
    def _only_download(self, user: str, stop: threading.Event) -> Iterator[None]:
        """One download of a user at a time: one that is read slowly, or not at all, keeps its process."""
        with self._lock:
            if user in self._downloads:
                raise BusyError("a download of yours is under way; wait until it has ended, or stop it")
            self._downloads[user] = stop
        try:
            yield
        finally:
            with self._lock:
                self._forget_download(stop)

    def _forget_download(self, stop: threading.Event) -> None:
        self._downloads = {user: one for user, one in self._downloads.items() if one is not stop}

    @contextmanager
    def _taken(self, wait_s: float, stop: threading.Event | None = None) -> Iterator[Worker]:
        worker = self._take(wait_s, stop)
        try:
            yield worker
        finally:
            with self._lock:
                if worker in self._workers:
                    self._free.append(worker)
                self._lock.notify()

    def _take(self, wait_s: float, stop: threading.Event | None) -> Worker:
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

    def _started(self) -> Worker:
        worker = Worker(self.settings, self.limits)
        try:
            found = worker.frame(START_S)
        except Ended:
            found = None
        if found is None:
            worker.end()
            raise StellarError("no process for questions could be started; the API server's log says why")
        worker.base_bytes = worker.resident_bytes()
        return worker

    def _drop(self, worker: Worker) -> None:
        with self._lock:
            self._workers.discard(worker)
            self._lock.notify()
        worker.end()

    def _give_up(self, worker: Worker, stop: threading.Event) -> None:
        """End a task's process from outside; its streams are left to whoever takes its frames."""
        with self._lock:
            self._workers.discard(worker)
            self._forget_download(stop)
            self._lock.notify()
        worker.kill()

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
