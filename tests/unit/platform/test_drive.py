"""The driver against a small Airflow of the test's own: an HTTP server that answers as the real API does."""

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from stellar.errors import ServiceError, StellarError
from stellar.platform import drive
from stellar.platform.client import Airflow
from stellar.platform.drive import Driver


class Scheduler:
    """Runs move one state per look; `then` says which DAG an ended run sets off."""

    def __init__(self, then=None, failing=()):
        self.runs, self.then, self.failing = [], then or {}, set(failing)
        self.triggered, self.refuse_token, self.broken = [], 0, 0

    def trigger(self, dag_id):
        self.triggered.append(dag_id)
        self.runs.append({"dag_id": dag_id, "dag_run_id": f"r{len(self.runs)}", "state": "queued", "duration": 1.0})
        return self.runs[-1]

    def advance(self):
        for run in list(self.runs):
            if run["state"] == "queued":
                run["state"] = "running"
            elif run["state"] == "running":
                run["state"] = "failed" if run["dag_id"] in self.failing else "success"
                if run["state"] == "success" and run["dag_id"] in self.then:
                    self.trigger(self.then.pop(run["dag_id"]))


def page(field, items):
    return 200, {field: items, "total_entries": len(items)}


@pytest.fixture
def airflow():
    state = Scheduler()

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            path = urlsplit(self.path).path.removeprefix("/api/v2")
            length = int(self.headers.get("content-length", 0))
            self.rfile.read(length)
            if path == "/auth/token":
                return 200, {"access_token": "t"}
            if state.broken:
                state.broken -= 1
                return 503, {"detail": "starting"}
            if state.refuse_token:
                state.refuse_token -= 1
                return 401, {"detail": "expired"}
            parts = path.strip("/").split("/")
            if path == "/dags":
                return page("dags", [{"dag_id": name} for name in drive.FLOW_ORDER])
            if path == "/dags/~/dagRuns":
                state.advance()
                return page("dag_runs", state.runs)
            if parts[-1] == "queuedEvents":
                return 404, {"detail": "none"}
            if parts[-1] == "dagRuns" and self.command == "POST":
                return 200, state.trigger(parts[1])
            if parts[-1] == "taskInstances":
                run = next(run for run in state.runs if run["dag_run_id"] == parts[3])
                task = {"dag_id": parts[1], "dag_run_id": parts[3], "task_id": "build", "map_index": 0, "try_number": 2}
                return page("task_instances", [task | {"state": run["state"]}])
            if "logs" in parts:
                return 200, {"content": [{"event": "it began"}, {"event": "bad", "error_detail": ERROR}]}
            return 400, {"detail": f"unknown {path}"}

        def do_GET(self):
            status, body = self.answer()
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = Airflow(f"http://127.0.0.1:{server.server_port}", "admin", "x", patience_s=5)
    yield client, state
    client.close()
    server.shutdown()
    server.server_close()


ERROR = [{"exc_type": "ServiceError", "exc_value": "gaia: unit 7: 503"}]


class Quiet:
    def __init__(self):
        self.lines, self.shown = [], defaultdict(int)

    def say(self, line):
        self.lines.append(line)

    def show(self, runs):
        for run in runs:
            self.shown[run.dag_id] += 1


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(drive, "POLL_S", 0.01)


def test_what_the_assets_set_off_is_waited_for(airflow):
    client, state = airflow
    state.then = {"sync_gaia": "build_catalog", "build_catalog": "score_catalog"}
    quiet = Quiet()
    ended = Driver(client, quiet, lambda: [], lambda: False).flow(["sync_gaia"])
    assert {dag for dag, _ in ended} == {"sync_gaia", "build_catalog", "score_catalog"}
    assert set(ended.values()) == {"success"}
    assert quiet.shown["score_catalog"]


def test_what_is_still_out_of_date_is_started_in_the_flow_s_order_and_once(airflow):
    client, state = airflow
    due = [["score_catalog", "extract_features"], ["score_catalog"], []]
    Driver(client, Quiet(), lambda: due.pop(0), lambda: False).flow(["sync_gaia"])
    assert state.triggered == ["sync_gaia", "extract_features", "score_catalog"]


def test_a_dag_that_stays_out_of_date_is_no_endless_loop(airflow):
    client, _ = airflow
    with pytest.raises(StellarError, match="train_models ran and its outputs are still out of date"):
        Driver(client, Quiet(), lambda: ["train_models"], lambda: False).flow([])


def test_a_failed_run_names_the_task_and_shows_its_log(airflow):
    client, state = airflow
    state.failing = {"sync_gaia"}
    with pytest.raises(StellarError) as caught:
        Driver(client, Quiet(), lambda: [], lambda: False).flow(["sync_gaia"])
    text = str(caught.value)
    assert "sync_gaia failed" in text and "task build[0], attempt 2" in text
    assert "bad ServiceError: gaia: unit 7: 503" in text and "run again" in text


def test_runs_that_failed_before_are_not_this_run_s_failures(airflow):
    client, state = airflow
    state.runs.append({"dag_id": "sync_sdss", "dag_run_id": "old", "state": "failed", "duration": 1.0})
    ended = Driver(client, Quiet(), lambda: [], lambda: False).flow(["sync_gaia"])
    assert ("sync_sdss", "old") not in ended


def test_the_client_waits_out_a_restart_and_an_expired_token_but_not_a_refusal(airflow):
    client, state = airflow
    state.broken, state.refuse_token = 1, 1
    assert client.dags()
    with pytest.raises(ServiceError, match="400"):
        client.request("GET", "/nonsense")


def test_a_stop_ends_the_wait(airflow):
    client, _ = airflow
    with pytest.raises(KeyboardInterrupt):
        Driver(client, Quiet(), lambda: [], lambda: True).flow(["sync_gaia"])
