"""Holding work in a worker until that worker is killed, so that a kill always comes in the middle of it.

A worker that is told `environment` runs as ever but for some functions of the platform: the first call of any of them
notes its process in a file and waits; whoever comes second, in any process, goes on.
"""

import functools
import os
import time
from pathlib import Path

HOLD, HOLD_IN = "STELLAR_TEST_HOLD", "STELLAR_TEST_HOLD_IN"
LONGEST_S = 180
#: Where a task is held: it has read what it needs, and has staged nothing of a file or partition.
STAGES, BUILDS = "stellar.engine.staging:_write", "stellar.engine.build:_stage"
TESTS = Path(__file__).resolve().parents[1]


def environment(note: Path, *functions: str) -> dict[str, str]:
    """Environment of a process, and of those below it, whose `functions` (`module:function`) are held."""
    # the folder's sitecustomize.py is loaded by every Python process
    path = [str(TESTS), str(TESTS / "scale" / "held_site"), os.environ.get("PYTHONPATH", "")]
    return {HOLD: str(note), HOLD_IN: ",".join(functions), "PYTHONPATH": ":".join(filter(None, path))}


def hold_once() -> None:
    """Note this process and wait, unless another did before, or this process was not told to."""
    if HOLD not in os.environ:
        return
    try:
        with Path(os.environ[HOLD]).open("x") as note:
            note.write(f"{os.getpid()}\n")
    except FileExistsError:
        return
    time.sleep(LONGEST_S)


def held(function):
    """The function, which asks `hold_once` first."""

    @functools.wraps(function)
    def asks_first(*args, **kwargs):
        hold_once()
        return function(*args, **kwargs)

    return asks_first


def held_process(note: Path) -> int | None:
    """The process that waits, None as long as there is none."""
    text = note.read_text() if note.exists() else ""
    return int(text) if text.endswith("\n") else None
