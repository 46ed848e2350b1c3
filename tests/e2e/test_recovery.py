"""`kill -9` of every part in the middle of a flow: it goes on, and ends with the same rows and bytes."""

import json
import signal
from collections.abc import Callable

import psutil
import pytest

from platform_home import Home, wait_for

# "about a minute" on an idle machine of two cores, where it takes 5 to 30 s; a loaded one gets more
RECOVERY_S = 120
START_S = 300


def part(home: Home, name: str) -> int:
    return home.status()["parts"][name]


def workers(home: Home) -> list[psutil.Process]:
    """LocalExecutor's workers that have a task under way."""
    try:
        return [child for child in psutil.Process(part(home, "scheduler")).children() if child.children()]
    except (psutil.NoSuchProcess, KeyError):
        return []


def tasks(home: Home) -> list[psutil.Process]:
    return [task for worker in workers(home) for task in worker.children()]


def runs_of(home: Home, dag_id: str) -> int:
    return sum(run["dag_id"] == dag_id for run in home.client().runs())


def kill(pid: int) -> None:
    psutil.Process(pid).send_signal(signal.SIGKILL)


def kill_part(name: str) -> Callable[[Home], Callable[[], bool]]:
    """Kill a supervised part; it has recovered when another process has its place and all is healthy."""

    def act(home: Home) -> Callable[[], bool]:
        killed = part(home, name)
        kill(killed)
        return lambda: part(home, name) not in (None, killed) and home.is_healthy()

    return act


def kill_busy(find: Callable[[Home], list[psutil.Process]]) -> Callable[[Home], Callable[[], bool]]:
    """Kill a process at work; it has recovered when one of its kind is at work that was not before."""

    def act(home: Home) -> Callable[[], bool]:
        wait_for(lambda: find(home), 120, "a task under way")
        before = [process.pid for process in find(home)]
        kill(before[0])
        return lambda: any(process.pid not in before for process in find(home))

    return act


@pytest.mark.timeout(1800)
def test_a_flow_whose_every_part_is_killed_ends_as_an_undisturbed_one(homes, expected):
    home = Home(homes / "disturbed")
    process = home.start("run")
    try:
        wait_for(lambda: home.is_healthy() or process.poll() is not None, START_S, "the platform")
        wait_for(lambda: tasks(home), 120, "the first task")
        victims = {
            "a task": kill_busy(tasks),
            "the scheduler": kill_part("scheduler"),
            "the API server": kill_part("api-server"),
            "a worker": kill_busy(workers),
            "Postgres": kill_part("postgres"),
        }
        for name, act in victims.items():
            took = wait_for(act(home), RECOVERY_S, f"recovery from the death of {name}")
            took += wait_for(lambda: tasks(home) or process.poll() is not None, RECOVERY_S, f"work after {name} died")
            print(f"{name} killed: at work again after {took:.0f} s")
            assert process.poll() is None, home.output.read_text()[-4000:]
        wait_for(lambda: runs_of(home, "build_catalog"), 300, "the catalogue's run")
        wait_for(lambda: tasks(home), 60, "a task under way")
        kill(process.pid)  # the supervisor itself
        process.wait(timeout=30)
        home.run()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
    assert "processes that a killed supervisor left" in home.output.read_text()  # only a second run has any to clear
    assert json.loads(json.dumps(home.contents())) == expected
    assert home.marked() == []
