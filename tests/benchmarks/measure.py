"""One command, measured: wall seconds of the whole process, or peak memory of all its processes together.

Not both in one run: the sampler of the memory slows what it watches by as much as a half. Memory is the proportional
set size (PSS: pages shared by n processes count 1/n in each) summed over every process that the command started,
sampled every SAMPLE_S seconds, the largest sum taken. Processes that leave their parent (the embedded Postgres and its
keeper do) are still counted, because this process adopts them (PR_SET_CHILD_SUBREAPER).
"""

import contextlib
import ctypes
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_S = 0.04
PR_SET_CHILD_SUBREAPER = 36


class CommandFailedError(Exception):
    """A measured command ended with an error; the message ends with what it said."""


@dataclass(frozen=True)
class Measured:
    """What one run of a command took; `peak_bytes` is 0 in a run without the sampler."""

    seconds: float
    peak_bytes: int
    output: str

    def json(self) -> dict:
        """The JSON object that the command printed: all of its output, or the last line of it."""
        try:
            return json.loads(self.output)
        except json.JSONDecodeError:
            return json.loads(self.output.strip().splitlines()[-1])


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """Be the parent of whatever descendants leave behind, for a while."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)


def descendants(bystanders: Collection[int] = ()) -> list[psutil.Process]:
    """Living processes below this one, without those named; adopted ones that have ended are reaped."""
    ours, alive = psutil.Process(), []
    for child in ours.children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError):
            if child.pid in bystanders:
                continue
            if child.status() != psutil.STATUS_ZOMBIE:
                alive.append(child)
            elif child.ppid() == ours.pid:
                os.waitpid(child.pid, os.WNOHANG)
    return alive


def together_bytes(processes: Iterable[psutil.Process]) -> int:
    """PSS of some processes."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            total += process.memory_full_info().pss
    return total


def wait_for_leftovers(bystanders: Collection[int], timeout_s: float = 60.0) -> None:
    """Wait until nothing that a command started is left, so that it does not disturb the next."""
    deadline = time.monotonic() + timeout_s
    while left := descendants(bystanders):
        if time.monotonic() > deadline:
            raise CommandFailedError(f"still running after {timeout_s:.0f} s: {[child.cmdline() for child in left]}")
        time.sleep(0.05)


def measure(command: Sequence[str | Path], env: Mapping[str, str] | None = None, *, memory: bool = False) -> Measured:
    """Run a command and measure it.

    Parameters
    ----------
    command : sequence of str or Path
        Program and arguments.
    env : mapping of str, optional
        Added to this process's environment.
    memory : bool
        Sample the memory, too; the seconds are then too many.

    Returns
    -------
    Measured
        Seconds from start to exit, peak bytes of all its processes together, standard output.

    Raises
    ------
    CommandFailedError
        With the end of the command's output when it exits with anything but 0.
    """
    os.sync()  # what an earlier command wrote is not written back during this one
    bystanders = {child.pid for child in psutil.Process().children(recursive=True)}
    peak, done = 0, threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.is_set():
            below = psutil.Process().children(recursive=True)  # reaping is left to who waits
            peak = max(peak, together_bytes(child for child in below if child.pid not in bystanders))
            done.wait(SAMPLE_S)

    with adopting_orphans(), tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        sampler = threading.Thread(target=sample if memory else done.wait)
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=err, env={**os.environ, **(env or {})}
        )
        sampler.start()
        try:
            code = process.wait()
            seconds = time.perf_counter() - started
        finally:
            done.set()
            sampler.join()
        wait_for_leftovers(bystanders)
        out.seek(0)
        err.seek(0)
        output, said = out.read(), err.read()
    if code:
        text = " ".join(str(part) for part in command)
        raise CommandFailedError(f"`{text[:300]}` exited with {code}:\n{(output + said)[-3000:]}")
    return Measured(round(seconds, 3), peak, output)
