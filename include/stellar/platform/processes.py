"""Processes of a home: started so that they die with their parent, recorded, and found again when they did not.

Three nets, since each has a hole: the kernel's parent-death signal (grandchildren do not have it), the sub-reaper
flag (orphans come to the supervisor, as long as it lives), and a mark in the environment that every descendant
inherits (read from `/proc` by the next command, however the last one ended).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from stellar.settings import Settings

MARK = "STELLAR_SUPERVISED"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(signal_number: int = signal.SIGKILL) -> Callable[[], None]:
    """Function for `preexec_fn`: the kernel signals the child when the thread that started it ends."""
    parent = os.getpid()

    def in_child() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return in_child


@dataclass
class Child:
    """One supervised process: how to start it, and when it may start again after it ended."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    folder: Path
    process: subprocess.Popen | None = None
    started_at: float = 0.0
    next_start: float = 0.0
    failures: int = 0
    restarts: int = field(default=0)

    FIRST_BACKOFF_S, LONGEST_BACKOFF_S, STEADY_AFTER_S = 0.5, 30.0, 60.0

    def start(self) -> None:
        """Start the process in a session of its own, its output appended to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603  the command is ours
                self.command,
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def note_end(self) -> float:
        """Set the earliest next start after the process ended; the wait doubles with each quick death. Returns it."""
        steady = time.monotonic() - self.started_at > self.STEADY_AFTER_S
        self.failures = 0 if steady else self.failures + 1
        wait = min(self.FIRST_BACKOFF_S * 2 ** max(self.failures - 1, 0), self.LONGEST_BACKOFF_S)
        self.next_start = time.monotonic() + wait
        self.restarts += 1
        return wait


def descendants(pid: int) -> list[psutil.Process]:
    """Every living process below one."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def end_group(child: Child) -> None:
    """Kill what is left of a child's process group and of everything below it; the child itself may be gone already."""
    if child.pid is None:
        return
    below = descendants(child.pid) if child.is_running() else []
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    end_all(below, patience_s=0)
    if child.process is not None:
        child.process.wait()


def end_all(processes: Iterable[psutil.Process], patience_s: float) -> None:
    """End processes: SIGTERM, then SIGKILL for those that are still there after `patience_s`."""
    left = list(processes)
    if patience_s > 0:
        for process in left:
            _quietly(process.terminate)
        _, left = psutil.wait_procs(left, timeout=patience_s)
    for process in left:
        _quietly(process.kill)
    psutil.wait_procs(left, timeout=5)


def _quietly(action: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        action()


def reap(keep: set[int]) -> list[psutil.Process]:
    """Collect adopted children that ended; return those adopted that still live. `keep`: pids that others wait for."""
    living = []
    for process in psutil.Process().children():
        if process.pid in keep:
            continue
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)
            else:
                living.append(process)
        except (psutil.NoSuchProcess, ChildProcessError):
            continue
    return living


def mark(settings: Settings) -> dict[str, str]:
    """Environment that marks a process, and all that it starts, as this home's.

    `SPT_NOENV`: otherwise setproctitle, which Airflow uses, overwrites the very memory that `/proc/PID/environ` shows.
    """
    return {MARK: str(settings.home), "SPT_NOENV": "1"}


def leftovers(settings: Settings) -> list[psutil.Process]:
    """Processes of this home that no living supervisor owns: marked in their environment, and not our ancestors."""
    wanted = f"{MARK}={settings.home}".encode()
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        try:
            if pid not in own and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(psutil.Process(pid))
        except (OSError, psutil.NoSuchProcess):
            continue  # ended meanwhile, or another user's
    return found
