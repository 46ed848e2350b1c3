"""Two Celery workers on a real Redis build what one process builds, also when one is killed at work."""

from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from platform_home import PROFILE, Home, wait_for
from stellar import flow
from stellar.ledger import snapshots
from stellar.ledger.connect import ledger_session
from stellar.platform import workers
from stellar.settings import load_settings

START_S, FLOW_S = 300, 600
SURVEYS = ("gaia", "sdss", "tess", "labels")
LATER = ("extract_features", "train_models", "score_catalog")  # built by the same tasks; one DAG is enough here


@pytest.fixture(scope="module")
def home(homes, redis_url):
    """A platform with two Celery workers, up."""
    home = Home(homes / "celery")
    home.environment |= {
        "STELLAR_EXECUTOR": "celery",
        "STELLAR_REDIS_URL": redis_url,
        "STELLAR_CELERY_WORKERS": "2",
        "STELLAR_WORKERS": "2",
    }
    process = home.start("up")
    try:
        wait_for(lambda: home.is_healthy() or process.poll() is not None, START_S, "the platform")
        assert process.poll() is None, home.output.read_text()[-4000:]
        yield home
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def contents(home: Path) -> dict[str, tuple]:
    with ledger_session(load_settings(home=home), "reader") as engine:
        keys = snapshots.current_keys(engine)
        rows = {dataset: snapshots.get(engine, key) for dataset, key in keys.items()}
        return {dataset: (row.key, row.rows, row.content_hash) for dataset, row in sorted(rows.items())}


def built_by_one_process(homes: Path, home: Home) -> dict[str, tuple]:
    """The same sky, brought and built in this process."""
    alone = homes / "alone"
    (alone / "run").mkdir(parents=True)
    (alone / "run" / "archive.json").write_bytes((home.settings.run / "archive.json").read_bytes())
    settings = load_settings(home=alone, profile=PROFILE, workers=1)
    with flow.open_context("alone", settings) as ctx:
        for survey in SURVEYS:
            flow.run_sync(ctx, survey, who="test")
        flow.run_stages(ctx, "build_catalog", who="test")
        return contents(alone)


def runs_of(home: Home, dag_id: str = "build_catalog") -> list[dict]:
    return [run for run in home.client().runs() if run["dag_id"] == dag_id]


def worker_pids(home: Home) -> dict[str, int]:
    return {name: pid for name, pid in home.status()["parts"].items() if name.startswith("worker-")}


def worker_at(home: Home, task: dict) -> str | None:
    """The worker below which a task runs."""
    with suppress(psutil.NoSuchProcess):
        above = {parent.pid for parent in psutil.Process(task["pid"]).parents()}
        return next((name for name, pid in worker_pids(home).items() if pid in above), None)
    return None


def kill_a_worker_that_builds(home: Home) -> tuple[str, dict]:
    """`kill -9` of the worker that is at a batch of partitions; its name, and the task that it was at."""
    give_up = time.monotonic() + FLOW_S
    while True:
        assert time.monotonic() < give_up, "no batch was built"
        for run in runs_of(home):
            for task in home.client().tasks("build_catalog", run["dag_run_id"]):
                at_work = task["task_id"].endswith(".build") and task["state"] == "running" and task["pid"]
                if at_work and (name := worker_at(home, task)) is not None:
                    psutil.Process(worker_pids(home)[name]).send_signal(signal.SIGKILL)
                    return name, task
        time.sleep(0.1)


@pytest.mark.timeout(1200)
def test_two_workers_one_of_them_killed_build_what_one_process_builds(home, homes):
    client = home.client()
    wait_for(lambda: {"build_catalog", *LATER} <= {dag["dag_id"] for dag in client.dags()}, 120, "the DAGs")
    for dag in LATER:
        client.request("PATCH", f"/dags/{dag}", json={"is_paused": True})
    before = worker_pids(home)
    assert sorted(before) == ["worker-1", "worker-2"]
    began = time.monotonic()
    for survey in SURVEYS:
        client.trigger(f"sync_{survey}")
    name, task = kill_a_worker_that_builds(home)
    print(f"{name} killed at {task['task_id']}[{task['map_index']}], {time.monotonic() - began:.0f} s after the start")
    wait_for(lambda: worker_pids(home)[name] != before[name], 60, "another worker in its place")

    def states() -> list[str]:
        return [run["state"] for run in runs_of(home)]

    wait_for(lambda: states() and set(states()) <= {"success", "failed"}, FLOW_S, "the end of build_catalog")
    print(f"built after {time.monotonic() - began:.0f} s")
    assert set(states()) == {"success"}
    again = next(
        one
        for one in client.tasks("build_catalog", task["dag_run_id"])
        if (one["task_id"], one["map_index"]) == (task["task_id"], task["map_index"])
    )
    assert (again["state"], again["try_number"] > 1) == ("success", True), "the killed worker's task ran again"
    assert contents(home.folder) == built_by_one_process(homes, home)


def test_workers_listen_nowhere_and_show_no_password(home, redis_url):
    password = redis_url.split(":")[2].split("@")[0]
    for pid in worker_pids(home).values():
        process = psutil.Process(pid)
        listening = [c for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert listening == []
        assert password not in " ".join(process.cmdline())
    logs = [*home.settings.logs.rglob("*.log"), *(home.settings.home / "airflow" / "logs").rglob("*.log")]
    assert [log for log in logs if password in log.read_text(errors="replace")] == []
    assert json.dumps(home.status()).count(password) == 0


def test_a_redis_that_is_not_there_is_said_before_anything_starts(homes):
    home = Home(homes / "nowhere")
    home.environment |= {"STELLAR_EXECUTOR": "celery", "STELLAR_REDIS_URL": "redis://:geheim@127.0.0.1:9/0"}
    assert home.start("up").wait(timeout=60) == 2
    said = home.output.read_text()
    assert "STELLAR_REDIS_URL=redis://***@127.0.0.1:9/0" in said
    assert "geheim" not in said
    assert workers.names(load_settings(home=homes, executor="celery", celery_workers=3)) == [
        "worker-1",
        "worker-2",
        "worker-3",
    ]
