"""What happens when a run has ended: its note is written, and the operator is told where it failed.

The scheduler calls this (or the API server, where a person sets a run's state) inside its own transaction, so nothing
here waits for anything but a look into Airflow's database: the note goes into that transaction, and a message goes into
the outbox, a file, which a process of its own delivers (`stellar notify --deliver`). Nothing of `stellar` is imported:
tasks are forks of the scheduler and are to see files that were changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

log = logging.getLogger(__name__)

NOTE, ERROR = "note", "error"  # as dags/common/tasks.py leaves them
HEAD = "**What came of it**"
LONGEST_NOTE = 1000  # the width of Airflow's column
LONGEST_OWN = 250  # of what a person wrote there before
LONGEST_ERROR = 300
FAILED_SHOWN = 3
RUNBOOK = ("**A failure looks like**", "**Resume**")


class RunListener:
    """Airflow calls it at the end of each run."""

    def __init__(self) -> None:
        self._deliveries: list[subprocess.Popen[bytes]] = []

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun, msg: str) -> None:
        """Write the note."""
        try:
            set_note(dag_run, told(dag_run, NOTE), [])
        except Exception:
            log.exception("no note for %s %s", dag_run.dag_id, dag_run.run_id)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:
        """Write the note, and leave a message for the operator."""
        try:
            failed = failures(dag_run)
            set_note(dag_run, told(dag_run, NOTE), failed)
            if put_into_outbox(message_of(dag_run, failed, msg)):
                self._deliver()
        except Exception:
            log.exception("nobody was told that %s %s failed", dag_run.dag_id, dag_run.run_id)

    def _deliver(self) -> None:
        """Start the delivery; this process does not wait for it, and looks only after those that have ended."""
        self._deliveries = [one for one in self._deliveries if one.poll() is None]
        command = [sys.executable, "-m", "stellar", "notify", "--deliver"]
        with (home() / "logs" / "notify.log").open("ab") as output:
            self._deliveries.append(
                subprocess.Popen(  # noqa: S603  our own command
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            )


def home() -> Path:
    """The home that this Airflow belongs to."""
    root = os.environ.get("STELLAR_ROOT") or Path(__file__).resolve().parents[1]
    return Path(os.environ.get("STELLAR_HOME") or Path(root) / ".stellar")


def told(dag_run: DagRun, key: str) -> list[tuple[str, int, str]]:
    """What the run's tasks left under a key, in the order in which they did: (task, map index, text)."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = (
        select(XComModel.task_id, XComModel.map_index, XComModel.value)
        .where(XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id, XComModel.key == key)
        .order_by(XComModel.timestamp)
    )
    with create_session(scoped=False) as session:  # its own: an error in the scheduler's would undo what that did
        return [(task, index, plain(value)) for task, index, value in session.execute(query)]


def plain(value: Any) -> str:
    """An XCom's text, which tasks store as JSON."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = value
    return found if isinstance(found, str) else str(found)


def failures(dag_run: DagRun) -> list[dict[str, Any]]:
    """The run's failed tasks with what they said, those first that failed first."""
    from airflow.models.taskinstance import TaskInstance as Task
    from airflow.utils.session import create_session
    from sqlalchemy import select

    said = {(task, index): text for task, index, text in told(dag_run, ERROR)}
    query = (
        select(Task.task_id, Task.map_index, Task.try_number)
        .where(Task.dag_id == dag_run.dag_id, Task.run_id == dag_run.run_id, Task.state == "failed")
        .order_by(Task.end_date)
    )
    with create_session(scoped=False) as session:
        rows = session.execute(query).all()
    return [
        {
            "task": task,
            "map_index": index,
            "tries": tries,
            "error": said.get((task, index), "it ended without a word (killed?); its log may tell"),
        }
        for task, index, tries in rows
    ]


def set_note(dag_run: DagRun, said: list[tuple[str, int, str]], failed: list[dict[str, Any]]) -> None:
    """Put the run's note together, within the width of Airflow's column; a person's own note stays above it."""
    # failures matter most: what was done comes after them, and is cut off where there is no room
    lines = [
        f"- **failed**: {label(one)}, attempt {one['tries']}: {cut(one['error'], LONGEST_ERROR)}"
        for one in failed[:FAILED_SHOWN]
    ]
    lines += [line for _, _, text in said for line in text.splitlines()]
    own = (dag_run.note or "").partition(HEAD)[0].strip()
    if lines:
        head = f"{cut(own, LONGEST_OWN)}\n\n{HEAD}" if own else HEAD
        dag_run.note = fitted(head, lines)


def fitted(head: str, lines: list[str], longest: int = LONGEST_NOTE) -> str:
    """Head and as many lines as the note holds, and how many more there are."""
    rest = "\n… {} lines more in the tasks' logs"
    text = head + "\n"
    for number, line in enumerate(lines):
        room = longest - len(text) - 1 - (len(rest) + 3 if number < len(lines) - 1 else 0)
        if len(line) > room:
            return text + rest.format(len(lines) - number)
        text += "\n" + line
    return text


def label(task: dict[str, Any]) -> str:
    """A task's name, with its map index."""
    return task["task"] if task["map_index"] < 0 else f"{task['task']}[{task['map_index']}]"


def cut(text: str, longest: int) -> str:
    """A text in one line, no longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def runbook(doc: str | None) -> list[str]:
    """What a DAG's page says of failures and of going on."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", doc or "")]
    return [part.replace("**", "") for part in paragraphs if part.startswith(RUNBOOK)]


def message_of(dag_run: DagRun, failed: list[dict[str, Any]], why: str) -> dict[str, Any]:
    """The message on a failed run, as `stellar.notify` sends it."""
    from airflow.configuration import conf

    base = conf.get("api", "base_url", fallback="").rstrip("/")
    run = f"{base}/dags/{quote(dag_run.dag_id)}/runs/{quote(dag_run.run_id)}"
    parts, links = [], {"run": run}
    for number, one in enumerate(failed[:FAILED_SHOWN]):
        parts.append(f"Task {label(one)}, attempt {one['tries']}:\n{one['error']}")
        mapped = f"/mapped/{one['map_index']}" if one["map_index"] >= 0 else ""
        name = "log" if number == 0 else f"log of {label(one)}"
        links[name] = f"{run}/tasks/{quote(one['task'])}{mapped}?try_number={one['tries']}"
    if not failed:
        parts.append(f"No task failed; the run ended as failed: {why or 'no reason given'}.")
    elif len(failed) > FAILED_SHOWN:
        parts.append(f"and {len(failed) - FAILED_SHOWN} more failed tasks")
    # again when the run was cleared and failed once more, not when the same failure is seen twice
    tries = sorted((one["task"], one["map_index"], one["tries"]) for one in failed)
    return {
        "id": hashlib.sha256(json.dumps([dag_run.dag_id, dag_run.run_id, tries]).encode()).hexdigest()[:16],
        "kind": "failed",
        "title": f"{dag_run.dag_id} failed",
        "text": "\n\n".join([f"Run {dag_run.run_id} of {dag_run.dag_id} failed.", *parts]),
        "todo": "\n\n".join(runbook(getattr(getattr(dag_run, "dag", None), "doc_md", None))),
        "links": links,
        "facts": {"dag": dag_run.dag_id, "run": dag_run.run_id, "tasks": [label(one) for one in failed]},
    }


def put_into_outbox(message: dict[str, Any]) -> bool:
    """Leave a message where the delivery finds it; False when it lies there, or was sent, already."""
    outbox = home() / "outbox"
    if (outbox / "sent" / f"{message['id']}.json").exists():
        return False
    (home() / "logs").mkdir(parents=True, exist_ok=True)
    outbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    final = outbox / f"{message['id']}.json"
    fresh = outbox / f".{message['id']}.{os.getpid()}"
    fresh.write_text(json.dumps(message, indent=1), encoding="utf-8")
    fresh.replace(final)
    return True


class RunListenerPlugin(AirflowPlugin):
    """Notes of runs, and messages on those that failed."""

    name = "stellar_runs"
    listeners = [RunListener()]  # noqa: RUF012
