"""Run the flow through Airflow's scheduler: trigger the syncs, follow the assets until all is idle, say what failed."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from stellar.errors import ServiceError, StellarError
from stellar.platform.client import Airflow

FLOW_ORDER = (
    "sync_gaia",
    "sync_sdss",
    "sync_tess",
    "sync_labels",
    "sync_files",
    "build_catalog",
    "extract_features",
    "train_models",
    "score_catalog",
)
ASSET_SCHEDULED = FLOW_ORDER[5:]
ACTIVE = ("queued", "running")
POLL_S = 1.0
QUIET_POLLS = 3
DAGS_PARSED_S = 120.0
LOG_TAIL = 25
DONE_STATES = {"success", "skipped", "failed", "upstream_failed", "removed"}


@dataclass
class RunState:
    """What one DAG run is at: its tasks by state, and how many batches of partitions its mapped tasks have done."""

    dag_id: str
    run_id: str
    state: str
    current: list[str] = field(default_factory=list)
    done: int = 0
    total: int = 0
    batches_done: int = 0
    batches: int = 0


class Progress(Protocol):
    """Where the driver shows how far it is."""

    def show(self, runs: list[RunState]) -> None: ...

    def say(self, line: str) -> None: ...


class Driver:
    """One pass of the flow. `stale` names the DAGs whose outputs are out of date, in any order."""

    def __init__(
        self, client: Airflow, progress: Progress, stale: Callable[[], list[str]], stopping: Callable[[], bool]
    ) -> None:
        self.client, self.progress = client, progress
        self._stale, self._stopping = stale, stopping
        self._ours: dict[tuple[str, str], str] = {}

    def flow(self, syncs: list[str]) -> dict[tuple[str, str], str]:
        """Syncs first, then whatever their assets set off, then what is still out of date; state of every run.

        Raises
        ------
        StellarError
            A run failed: which task, the end of its log, and how to go on.
        """
        self._wait_for_dags([*syncs, *ASSET_SCHEDULED])
        self._before = {_key(run) for run in self.client.runs() if run["state"] not in ACTIVE}
        for dag_id in syncs:
            self.client.trigger(dag_id, note="stellar run")
        self._until_idle()
        tried: Counter[str] = Counter()
        while due := self._stale():
            dag_id = min(due, key=FLOW_ORDER.index)
            if tried[dag_id]:
                raise StellarError(
                    f"{dag_id} ran and its outputs are still out of date; look at its log in the UI (`make up`)"
                )
            tried[dag_id] += 1
            self.progress.say(f"{dag_id} is out of date: starting it")
            self.client.trigger(dag_id, note="stellar run: out of date")
            self._until_idle()
        return self._ours

    def _wait_for_dags(self, wanted: list[str]) -> None:
        give_up = time.monotonic() + DAGS_PARSED_S
        while missing := set(wanted) - {dag["dag_id"] for dag in self.client.dags()}:
            self._check_stop()
            errors = self.client.import_errors()
            if errors:
                raise StellarError(f"a DAG file does not load: {errors[0]['filename']}\n{errors[0]['stack_trace']}")
            if time.monotonic() > give_up:
                raise StellarError(f"Airflow does not know the DAGs {sorted(missing)}; see the dag-processor's log")
            time.sleep(POLL_S)

    def _until_idle(self) -> None:
        """Wait until no run is active and no asset event waits for one, seen several times in a row."""
        quiet = 0
        while quiet < QUIET_POLLS:
            self._check_stop()
            runs = [run for run in self.client.runs() if _key(run) not in self._before]
            self._ours |= {_key(run): run["state"] for run in runs}
            active = [run for run in runs if run["state"] in ACTIVE]
            self.progress.show([self._look(run) for run in active])
            for run in runs:
                if run["state"] not in ACTIVE and _key(run) not in self._before:
                    self._note_end(run)
            waiting = bool(active) or any(self.client.has_queued_events(dag_id) for dag_id in ASSET_SCHEDULED)
            quiet = 0 if waiting else quiet + 1
            time.sleep(POLL_S)
        self._fail_if_any_failed()

    def _note_end(self, run: dict[str, Any]) -> None:
        self._before.add(_key(run))
        tasks = self.client.tasks(*_key(run))
        states = Counter(task["state"] for task in tasks)
        seconds = run.get("duration") or 0.0
        skipped = states["skipped"] and not any(t["state"] == "success" and _is_work(t) for t in tasks)
        verdict = "nothing to do" if run["state"] == "success" and skipped else run["state"]
        built = sum(1 for task in tasks if task["map_index"] >= 0 and task["state"] == "success")
        batches = f", {built} batches" if built else ""
        self.progress.say(f"{run['dag_id']}: {verdict} in {seconds:.0f} s{batches}")

    def _look(self, run: dict[str, Any]) -> RunState:
        tasks = self.client.tasks(*_key(run))
        mapped = [task for task in tasks if task["map_index"] >= 0]
        running = [task for task in tasks if task["state"] in ("running", "up_for_retry")]
        return RunState(
            dag_id=run["dag_id"],
            run_id=run["dag_run_id"],
            state=run["state"],
            current=sorted({_label(task) for task in running}),
            done=sum(task["state"] in DONE_STATES for task in tasks),
            total=len(tasks),
            batches_done=sum(task["state"] in DONE_STATES for task in mapped),
            batches=len(mapped),
        )

    def _fail_if_any_failed(self) -> None:
        failed = [key for key, state in self._ours.items() if state == "failed"]
        if not failed:
            return
        parts = [self._explain(dag_id, run_id) for dag_id, run_id in sorted(failed)]
        raise StellarError(
            "\n\n".join(parts)
            + "\n\nWhat succeeded is kept. Mend the cause and run again: it goes on from there. "
            + "`make up` starts the UI, where the failed task can be cleared and its whole log read."
        )

    def _explain(self, dag_id: str, run_id: str) -> str:
        failed = [task for task in self.client.tasks(dag_id, run_id) if task["state"] == "failed"]
        lines = [f"{dag_id} failed (run {run_id})"]
        for task in failed[:3]:
            lines.append(f"  task {_label(task)}, attempt {task['try_number']}:")
            try:
                log = self.client.log(task)
            except ServiceError as error:
                log = [f"(its log cannot be read: {error})"]
            lines += [f"    {line}" for line in log if line and not _is_noise(line)][-LOG_TAIL:]
        return "\n".join(lines)

    def _check_stop(self) -> None:
        if self._stopping():
            raise KeyboardInterrupt


def _key(run: dict[str, Any]) -> tuple[str, str]:
    return run["dag_id"], run["dag_run_id"]


def _label(task: dict[str, Any]) -> str:
    if task["map_index"] < 0:
        return task["task_id"]
    return f"{task['task_id']}[{task.get('rendered_map_index') or task['map_index']}]"


def _is_noise(line: str) -> bool:
    """Lines that Airflow writes into every task's log."""
    return line.startswith(("::", "/", "DAG bundles loaded", "Filling up the DagBag", "Worker startup parse"))


def _is_work(task: dict[str, Any]) -> bool:
    """Whether a task's success means that something was made (planning and looking do not)."""
    return re.search(r"(^|\.)(fetch|build|train|announce|maintain)$", task["task_id"]) is not None
