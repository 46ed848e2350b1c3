"""Items on threads and processes: every result, in order, however workers end. Dask's are in tests/scale."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from stellar.engine import executors
from stellar.engine.executors import map_unordered
from stellar.errors import InputError, StellarError
from stellar.settings import load_settings


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path, workers=2)


def slow_square(number: int) -> int:
    time.sleep(0.02 * (number % 3))
    return number * number


def who(_: int) -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


def die_first(folder: Path, number: int) -> int:
    """Killed the first time that it comes to item 3."""
    if number == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int) -> int:
    if number == 2:
        raise InputError("item 2 is bad")
    return number


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_results_come_in_the_order_of_the_items(settings, threads, count):
    told = []
    found = map_unordered(settings, slow_square, range(count), threads=threads, progress=lambda *now: told.append(now))
    assert found == [number * number for number in range(count)]
    assert told == [(done, count) for done in range(count + 1)]


def test_one_worker_means_this_process(settings):
    settings.workers = 1
    assert {pid for pid, _ in map_unordered(settings, who, range(3))} == {os.getpid()}


def test_processes_are_others_and_threads_are_not(settings):
    assert os.getpid() not in {pid for pid, _ in map_unordered(settings, who, range(3))}
    assert {pid for pid, _ in map_unordered(settings, who, range(3), threads=True)} == {os.getpid()}


def test_what_a_killed_process_left_is_done_by_another(settings, tmp_path):
    assert map_unordered(settings, partial(die_first, tmp_path), range(8)) == list(range(8))
    assert (tmp_path / "died").exists()


def test_work_that_kills_every_process_ends(settings):
    with pytest.raises(StellarError, match="killed 3 times"):
        map_unordered(settings, die, range(2))


@pytest.mark.parametrize("threads", [False, True])
def test_what_the_function_raises_is_raised(settings, threads):
    with pytest.raises(InputError, match="item 2 is bad"):
        map_unordered(settings, refuse, range(4), threads=threads)


def test_a_cluster_that_is_not_named_or_not_there_is_said(settings, monkeypatch):
    monkeypatch.setattr(executors, "CONNECT_S", 1)
    settings.engine = "dask"
    with pytest.raises(InputError, match="STELLAR_DASK_SCHEDULER"):
        map_unordered(settings, slow_square, range(2))
    settings.dask_scheduler = "tcp://127.0.0.1:9"
    with pytest.raises(InputError, match="no Dask scheduler answers there"):
        map_unordered(settings, slow_square, range(2))
