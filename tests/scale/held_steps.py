"""Steps and functions whose first call, in a worker that is told so, waits until that worker is killed."""

import os
import time
from dataclasses import replace
from pathlib import Path

from integration.engine import small_steps as small
from scale.hold import hold_once
from stellar.errors import InputError


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
