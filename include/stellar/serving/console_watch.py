"""What watches a question from outside: its process is ended in time even where nobody takes what it writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .console_process import Worker

LOOK_S = 0.1


class Watch:
    """Ends a task's process when it takes too much memory, or does not end in time.

    Whoever takes the task's frames stops it gently at its deadline; a file that nobody reads has nobody who would.

    Parameters
    ----------
    worker : Worker
    stop : threading.Event
        Set when the task is to stop.
    time_s : float
        How long the task may last.
    grace_s : float
        How long after its deadline, or after it was to stop, a task may take to end.
    most_bytes : int
        Memory that the process may hold.
    end : callable
        Ends the process; called at most once, by the thread that watches.
    """

    def __init__(
        self,
        worker: Worker,
        stop: threading.Event,
        *,
        time_s: float,
        grace_s: float,
        most_bytes: int,
        end: Callable[[], None],
    ) -> None:
        self.why = ""
        self._worker, self._stop, self._most, self._end = worker, stop, most_bytes, end
        self._time_s, self._grace_s = time_s, grace_s
        self._until = time.monotonic() + time_s + grace_s
        self._lock, self._closed = threading.Lock(), threading.Event()
        threading.Thread(target=self._watch, name="console-watch", daemon=True).start()

    def close(self) -> bool:
        """Watch no longer; whether the process is or will be ended."""
        with self._lock:
            self._closed.set()
            return bool(self.why)

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_S):
            if self._stop.is_set():
                self._until = min(self._until, time.monotonic() + self._grace_s)
            if why := self._too_much():
                with self._lock:
                    if self._closed.is_set():
                        return
                    self.why = why
                self._end()
                return

    def _too_much(self) -> str:
        if self._worker.resident_bytes() > self._most:
            return (
                f"stopped: the question took more than {self._most / (1 << 20):,.0f} MB of memory; ask for fewer rows "
                "or columns, shorter texts and lists, or add up in parts"
            )
        if time.monotonic() > self._until:
            return "stopped" if self._stop.is_set() else f"stopped after {self._time_s:g} s"
        return ""
