"""Steps and functions whose first call, in a worker that is told so, waits until that worker is killed.

Workers load this module before they work. Where `HOLD_IN` names a function of the platform (`module:function`), each
call of it asks `hold_once` first.
"""

import functools
import importlib
import os
import time
from dataclasses import replace
from pathlib import Path

from integration.engine import small_steps as small
from stellar.errors import InputError

HOLD, HOLD_IN = "STELLAR_TEST_HOLD", "STELLAR_TEST_HOLD_IN"
LONGEST_S = 120


def hold_once() -> None:
    """Note this process in the file that `HOLD` names and wait; whoever comes second goes on."""
    if HOLD not in os.environ:
        return
    try:
        with Path(os.environ[HOLD]).open("x") as note:
            note.write(f"{os.getpid()}\n")
    except FileExistsError:
        return
    time.sleep(LONGEST_S)


def dask_setup(_: object) -> None:
    """Called by `dask worker --preload`."""
    for place in filter(None, os.environ.get(HOLD_IN, "").split(",")):
        name, _, function = place.partition(":")
        module = importlib.import_module(name)
        setattr(module, function, held(getattr(module, function)))


def held(function):
    @functools.wraps(function)
    def asks_first(*args, **kwargs):
        hold_once()
        return function(*args, **kwargs)

    return asks_first


def curate(partition, inputs, params):
    hold_once()
    return small.curate(partition, inputs, params)


def curate_step():
    """`small_steps.curate_step`, held; what a step runs is no part of its key."""
    return replace(small.curate_step(), run=curate)


def square(number: int) -> int:
    hold_once()
    return number * number


def refuse(number: int) -> int:
    if number == 2:
        raise InputError("item 2 is bad")
    return number


def stumble(folder: Path, number: int) -> int:
    """Fails the first time, as a file system does that is away for a moment."""
    try:
        (folder / f"stumbled-{number}").touch(exist_ok=False)
    except FileExistsError:
        return number
    raise OSError("away for a moment")


def die(_: int) -> None:
    os.kill(os.getpid(), 9)


def overlap(folder: Path, number: int) -> int:
    """How many calls are under way in this process at once."""
    mine = folder / f"{os.getpid()}-{number}"
    mine.touch()
    time.sleep(0.1)
    found = len(list(folder.glob(f"{os.getpid()}-*")))
    mine.unlink()
    return found
