"""Two Celery workers on a real Redis build what one process builds, also when one is killed at work.

The lake of the platform with workers is in an object store, that of the one process at home.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from platform_home import PROFILE, Home, wait_for
from scale import hold
from stellar import flow
from stellar.flow.matching import crossmatch
from stellar.flow.tables import import_table
from stellar.ledger import snapshots
from stellar.ledger.connect import ledger_session
from stellar.platform import workers
from stellar.settings import load_settings

FLOW_S, KILL_S = 600, 120
SURVEYS = ("gaia", "sdss", "tess", "labels")
LATER = ("extract_features", "train_models", "score_catalog")  # the same tasks once more: one such DAG is enough here
IMPORT = {"id_column": "id", "margin_arcsec": 10.0}
MATCH = {"left": "stars", "right": "others", "name": "pairs", "radius_arcsec": 2.0}


class Workers(Home):
    """A platform with two Celery workers, whose first batch of partitions is held."""

    def __init__(self, folder: Path, redis_url: str, lake: str) -> None:
        super().__init__(folder)
        self.held = folder.with_suffix(".held")
        self.environment |= {
            "STELLAR_EXECUTOR": "celery",
            "STELLAR_REDIS_URL": redis_url,
            "STELLAR_CELERY_WORKERS": "2",
            "STELLAR_WORKERS": "2",
            "STELLAR_LAKE": lake,
            **hold.environment(self.held, hold.BUILDS),
        }

    def pids(self) -> dict[str, int]:
        return {name: pid for name, pid in self.status()["parts"].items() if name.startswith("worker-")}

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return [run for run in self.client().runs() if run["dag_id"] == dag_id]

    def wait_for_success(self, *dag_ids: str) -> None:
        """Wait until every run of some DAGs has succeeded, and each has one."""

        def states() -> list[str]:
            return [run["state"] for dag_id in dag_ids for run in self.runs(dag_id) or [{"state": "none yet"}]]

        def are_over() -> bool:
            found = set(states())
            return "failed" in found or found == {"success"}

        wait_for(are_over, FLOW_S, f"the end of {dag_ids}")
        assert set(states()) == {"success"}

    def kill_held_worker(self) -> dict[str, Any]:
        """`kill -9` of the worker whose task waits; that task."""
        wait_for(lambda: hold.held_process(self.held), FLOW_S, "a batch under way")
        task_process = hold.held_process(self.held)
        above = {process.pid for process in psutil.Process(task_process).parents()}
        name, pid = next((name, pid) for name, pid in self.pids().items() if pid in above)
        task = next(task for task in self.tasks_running() if task["pid"] in {task_process, *above})
        psutil.Process(pid).send_signal(signal.SIGKILL)
        wait_for(lambda: self.pids()[name] != pid, KILL_S, "another worker in its place")
        wait_for(lambda: not psutil.pid_exists(task_process), KILL_S, "the end of the killed worker's task")
        return task

    def tasks_running(self) -> Iterator[dict[str, Any]]:
        for run in self.client().runs():
            if run["state"] == "running":
                tasks = self.client().tasks(run["dag_id"], run["dag_run_id"])
                yield from (task for task in tasks if task["state"] == "running" and task["pid"])

    def check_ran_again(self, task: dict[str, Any]) -> None:
        """A task has succeeded, but not at its first attempt."""
        place = ("task_id", "map_index")
        tasks = self.client().tasks(task["dag_id"], task["dag_run_id"])
        now = next(one for one in tasks if all(one[name] == task[name] for name in place))
        assert (now["state"], now["try_number"] > task["try_number"]) == ("success", True)


@pytest.fixture(scope="module")
def home(homes, redis_url, new_bucket):
    home = Workers(homes / "celery", redis_url, f"{new_bucket()}/lake")
    with home.up():
        yield home


def contents(home: Path) -> dict[str, tuple]:
    with ledger_session(load_settings(home=home), "reader") as engine:
        keys = snapshots.current_keys(engine)
        rows = {dataset: snapshots.get(engine, key) for dataset, key in keys.items()}
        return {dataset: (row.key, row.rows, row.content_hash) for dataset, row in sorted(rows.items())}


def built_by_one_process(homes: Path, home: Home, tables: dict[str, list[Path]]) -> dict[str, tuple]:
    """The same sky and the same tables, brought and built in this process."""
    alone = homes / "alone"
    (alone / "run").mkdir(parents=True)
    (alone / "run" / "archive.json").write_bytes((home.settings.run / "archive.json").read_bytes())
    settings = load_settings(home=alone, profile=PROFILE, workers=1)
    with flow.open_context("alone", settings) as ctx:
        for survey in SURVEYS:
            flow.run_sync(ctx, survey, who="test", say=lambda line: None)
        flow.run_stages(ctx, "build_catalog", who="test", say=lambda line: None)
        for name, files in tables.items():
            import_table(ctx, files, name, **IMPORT)
        crossmatch(ctx, **MATCH)
        return contents(alone)


@pytest.mark.timeout(1500)
def test_two_workers_build_what_one_process_builds_although_one_is_killed(home, homes, tables, other_tables):
    client = home.client()
    ours = {"build_catalog", "import_catalog", "crossmatch_catalogs", *LATER}
    wait_for(lambda: ours <= {dag["dag_id"] for dag in client.dags()}, 120, "the DAGs")
    for dag in LATER:
        client.request("PATCH", f"/dags/{dag}", json={"is_paused": True})
    assert sorted(home.pids()) == ["worker-1", "worker-2"]
    given = {"stars": tables, "others": other_tables}
    began = time.monotonic()
    for name, files in given.items():
        client.trigger("import_catalog", {"files": [str(file) for file in files], "name": name, **IMPORT})
    for survey in SURVEYS:
        client.trigger(f"sync_{survey}")
    killed = home.kill_held_worker()
    print(f"killed at {killed['dag_id']}.{killed['task_id']} after {time.monotonic() - began:.0f} s")
    home.wait_for_success("import_catalog", "build_catalog")
    home.check_ran_again(killed)

    home.held.unlink()
    client.trigger("crossmatch_catalogs", MATCH)
    killed = home.kill_held_worker()
    print(f"killed at {killed['dag_id']}.{killed['task_id']} after {time.monotonic() - began:.0f} s")
    home.wait_for_success("crossmatch_catalogs")
    home.check_ran_again(killed)
    print(f"all built after {time.monotonic() - began:.0f} s")

    found = contents(home.folder)
    assert {"curated.objects", "own.stars", "own.others", "own.pairs"} <= set(found)
    assert found["own.pairs"][1] > 100_000
    assert found == built_by_one_process(homes, home, given)
    assert not (home.folder / "lake").exists()


def test_workers_listen_nowhere_and_show_no_password(home, redis_url):
    password = redis_url.split(":")[2].split("@")[0]
    for pid in home.pids().values():
        process = psutil.Process(pid)
        listening = [c for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert listening == []
        assert password not in " ".join(process.cmdline())
    logs = [*home.settings.logs.rglob("*.log"), *(home.settings.home / "airflow" / "logs").rglob("*.log")]
    assert len(logs) > 20
    assert [log for log in logs if password in log.read_text(errors="replace")] == []
    with suppress(FileNotFoundError):
        assert password not in (home.settings.run / "supervisor.json").read_text()


def test_a_redis_that_is_not_there_is_said_before_anything_starts(homes):
    home = Home(homes / "nowhere")
    home.environment |= {"STELLAR_EXECUTOR": "celery", "STELLAR_REDIS_URL": "redis://:geheim@127.0.0.1:9/0"}
    assert home.start("up").wait(timeout=60) == 2
    said = home.output.read_text()
    assert "STELLAR_REDIS_URL=redis://***@127.0.0.1:9/0" in said
    assert "geheim" not in said
    several = load_settings(home=homes, executor="celery", celery_workers=3)
    assert workers.names(several) == ["worker-1", "worker-2", "worker-3"]
