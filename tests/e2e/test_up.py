"""`stellar up`: kept up, on loopback, for three users, beside another home."""

import json
import re
import signal
import subprocess
import sys

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import openlineage_schemas
from notices import hook
from platform_home import Home, wait_for
from stellar.errors import ServiceError
from stellar.platform import bootstrap
from stellar.platform.client import Airflow
from stellar.platform.doctor import examine

START_S = 300


def login(home: Home, user: str) -> Airflow:
    return Airflow(home.status()["url"], user, bootstrap.password(home.settings, user), patience_s=5)


@pytest.fixture(scope="module")
def told():
    """A web hook that both platforms tell of failed runs."""
    with hook() as one:
        yield one


@pytest.fixture(scope="module")
def lineage():
    """A receiver of OpenLineage events."""
    with hook() as one:
        yield one


@pytest.fixture(scope="module")
def both(undisturbed, homes, told, lineage):
    """Two platforms at once: the home that has data, and an empty one, which sends its OpenLineage events."""
    pair = (undisturbed, Home(homes / "beside"))
    pair[1].environment["STELLAR_OPENLINEAGE_URL"] = lineage.url
    for home in pair:
        home.environment["STELLAR_NOTIFY"] = told.url
    processes = [home.start("up") for home in pair]
    try:
        for home, process in zip(pair, processes, strict=True):
            wait_for(lambda h=home, p=process: h.is_healthy() or p.poll() is not None, START_S, f"{home.folder}")
            assert process.poll() is None, home.output.read_text()[-4000:]
        yield pair, processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)
        for home in pair:
            del home.environment["STELLAR_NOTIFY"]


def test_two_homes_have_ports_of_their_own_and_listen_on_loopback_only(both):
    (first, second), _ = both
    assert not set(first.status()["ports"].values()) & set(second.status()["ports"].values())
    for home in (first, second):
        assert home.listening() == {"127.0.0.1"}


def test_passwords_are_printed_once_in_a_home_s_life(both):
    (_, new), _ = both
    wait_for(lambda: "operator" in new.output.read_text(), 30, "the passwords")
    shown = re.findall(r"^  (admin|operator|viewer) +(\S+)$", new.output.read_text(), re.MULTILINE)
    assert dict(shown) == {user: bootstrap.password(new.settings, user) for user in bootstrap.USERS}


def test_an_operator_may_trigger_and_a_viewer_may_look_at_pages_too(both):
    (_, home), _ = both
    viewer, operator = login(home, "viewer"), login(home, "operator")
    # Healthy is not yet parsed: the two DAG processors share a machine, and the files come in one after another.
    wait_for(lambda: len(viewer.dags()) == 14, 300, "all DAGs")
    viewer.request("GET", "/plugins")
    with pytest.raises(ServiceError, match="403"):
        viewer.trigger("maintain_lake")
    with pytest.raises(ServiceError, match="400"):
        operator.trigger("maintain_lake", {"keep": 0})
    run_id = operator.trigger("maintain_lake", {"dry_run": True})
    wait_for(lambda: operator.run("maintain_lake", run_id)["state"] == "success", 300, "the run of a person")


def test_an_operator_imports_and_matches_catalogues(both):
    (_, home), _ = both
    operator = login(home, "operator")
    random = np.random.default_rng(1)
    files = []
    for number in range(2):
        ra, dec = random.uniform(0, 360, 500), np.degrees(np.arcsin(random.uniform(-1, 1, 500)))
        files.append(str(home.folder / f"{number}.parquet"))
        pq.write_table(pa.table({"n": np.arange(500) + 500 * number, "ra": ra, "dec": dec}), files[-1])
    asked = {
        "import_catalog": {"files": files, "name": "stars", "id_column": "n", "margin_arcsec": 20_000},
        "crossmatch_catalogs": {
            "left": "stars",
            "right": "own.stars",
            "name": "pairs",
            "radius_arcsec": 18_000,
            "min_separation_arcsec": 1,
        },
    }
    for dag, conf in asked.items():
        run_id = operator.trigger(dag, conf)
        wait_for(lambda d=dag, r=run_id: operator.run(d, r)["state"] in ("success", "failed"), 300, dag)
        assert operator.run(dag, run_id)["state"] == "success", operator.tasks(dag, run_id)
    rows = dict(home.query("SELECT dataset, rows FROM lake.current WHERE dataset LIKE 'own.%'"))
    assert rows["own.stars"] == 1000 and 500 < rows["own.pairs"] < 1000


def finished(client: Airflow, dag: str, conf: dict) -> dict:
    """A run by hand, once it has ended."""
    run_id = client.trigger(dag, conf, note="by a person")
    wait_for(lambda: client.run(dag, run_id)["state"] in ("success", "failed"), 300, dag)
    return client.run(dag, run_id)


@pytest.mark.parametrize(
    ("dag", "said"),
    [
        ("sync_gaia", "gaia: nothing to fetch."),
        ("build_catalog", "build_catalog: 0 partitions to compute"),
        ("train_models", "0 of 4 models to train."),
        ("rebuild_partition", "partitions of curated.gaia to build again"),
    ],
)
def test_a_dry_run_says_it_in_the_note_ends_skipped_and_changes_nothing(both, dag, said):
    (home, _), _ = both
    before = home.contents(), home.query("SELECT count(*) FROM lake.snapshot")
    run = finished(home.client(), dag, {"dry_run": True} | ({"dataset": "curated.gaia"} if "partition" in dag else {}))
    assert run["state"] == "success"
    assert run["note"].startswith("by a person\n\n**What came of it**\n\nDry run. ") and said in run["note"]
    states = {task["task_id"]: task["state"] for task in home.client().tasks(dag, run["dag_run_id"])}
    assert set(states.values()) <= {"skipped", "success"} and list(states.values()).count("success") <= 1, states
    assert (home.contents(), home.query("SELECT count(*) FROM lake.snapshot")) == before


def test_a_failed_run_tells_the_operator_once_with_the_reason_the_links_and_the_runbook(both, told):
    (home, _), _ = both
    told.answers = [503, 204]  # away for a moment
    run = finished(home.client(), "sync_gaia", {"ra_deg": 10.0})
    assert run["state"] == "failed"
    assert "**failed**: plan, attempt 1: a region needs all of ra_deg, dec_deg and radius_deg" in run["note"]
    wait_for(lambda: told.received, 60, "the message")
    [message] = told.received
    assert message["facts"] == {"dag": "sync_gaia", "run": run["dag_run_id"], "tasks": ["plan"]}
    assert "a region needs all of" in message["text"] and "Resume: trigger again" in message["todo"]
    assert message["links"]["run"].startswith(f"{home.status()['url']}/dags/sync_gaia/runs/")
    assert not list((home.folder / "outbox").glob("*.json"))


def test_openlineage_events_of_airflow_and_of_the_engine_are_sent_and_say_the_same(both, lineage):
    (_, home), _ = both
    operator = login(home, "operator")
    wrong = finished(operator, "import_catalog", {"files": ["/nowhere.csv"], "name": "none", "id_column": "n"})
    assert wrong["state"] == "failed"

    def sent() -> dict[tuple[str, str], dict]:
        return {(one["job"]["name"], one["eventType"]): one for one in list(lineage.received)}

    wanted = {("import_catalog", "COMPLETE"), ("import_catalog", "FAIL"), ("build/own.stars", "COMPLETE")}
    wait_for(lambda: wanted <= set(sent()), 60, "the events")
    events = list(lineage.received)
    for one in events:
        openlineage_schemas.validate(one)
    failures = [one for one in events if one["eventType"] == "FAIL" and "errorMessage" in one["run"]["facets"]]
    assert any("/nowhere.csv" in one["run"]["facets"]["errorMessage"]["message"] for one in failures)
    # what the engine built names the task of Airflow's that it was built in
    tasks = {one["run"]["runId"] for one in events if one["job"]["name"].startswith("import_catalog.")}
    built = sent()["build/own.stars", "COMPLETE"]
    assert built["run"]["facets"]["parent"]["run"]["runId"] in tasks
    assert "own.stars" in {output["name"] for output in built["outputs"]}


def test_a_backfill_of_a_sync_brings_nothing_twice(both):
    (home, _), _ = both
    client, before = home.client(), home.contents()["datasets"]
    asked = {"from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-14T00:00:00Z", "reprocess_behavior": "none"}
    client.request(
        "POST", "/backfills", json={"dag_id": "sync_labels", "max_active_runs": 1, "dag_run_conf": {}, **asked}
    )

    def runs() -> list[dict]:
        return [run for run in client.runs() if (run["dag_id"], run["run_type"]) == ("sync_labels", "backfill")]

    wait_for(lambda: len(runs()) == 2 and {run["state"] for run in runs()} == {"success"}, 240, "the backfill")
    assert home.contents()["datasets"] == before


def test_asset_events_carry_counts_and_links(both):
    (home, _), _ = both
    events = home.client().pages("/assets/events", "asset_events", order_by="-timestamp")
    extra = next(event["extra"] for event in events if event["name"] == "curated.objects")
    [(rows, key)] = home.query("SELECT rows, snapshot FROM lake.current WHERE dataset = 'curated.objects'")
    assert (extra["rows"], extra["snapshot"]) == (rows, key)
    assert extra["recomputed"] + extra["reused"] == extra["partitions"] and extra["passed"]
    assert extra["links"]["lineage"] == f"stellar/pages/lineage?ref={key[:16]}"


def test_nobody_gets_in_without_a_password(both):
    (home, _), _ = both
    url = home.status()["url"]
    assert httpx.get(f"{url}/api/v2/dags").status_code == 401
    refused = httpx.post(f"{url}/auth/token", json={"username": "admin", "password": "admin"})
    assert refused.status_code in (401, 403)


# a question sent by POST changes nothing
ASKING = {"/api/catalogue/query", "/api/catalogue/stop", "/api/catalogue/download"}


@pytest.fixture(scope="module")
def routes(both, root):
    """Method and path of every route of the pages' app, as (method, path); gaps in a path filled with something."""
    (home, _), _ = both
    program = (
        "import json; from stellar_pages.app import app; "
        "print(json.dumps([(one, r.path) for r in app.routes for one in getattr(r, 'methods', ['GET'])]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**home.environment, "PYTHONPATH": str(root / "plugins"), "AIRFLOW_HOME": str(home.folder / "airflow")},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) > 30 and ("GET", "/static/{name:path}") in map(tuple, found)
    return [(method, path.replace("{name:path}", "base.js").replace("{name}", "sky")) for method, path in found]


def test_nobody_sees_pages_or_their_data_without_a_login(both, routes):
    (home, _), _ = both
    url = f"{home.status()['url']}/stellar"
    files = [("GET", f"/static/{name}") for name in ("vendor/d3.min.js", "sky.css", "no-such-file")]
    docs = [("GET", f"/{name}") for name in ("docs", "redoc", "openapi.json", "api", "static/", "static/../app.py")]
    with httpx.Client(trust_env=False) as client:
        for method, path in [*routes, *files]:
            answer = client.request(method, url + path, json={} if method != "GET" else None)
            assert answer.status_code == 401, (method, path)
            assert set(answer.json()) == {"detail"}
        for method, path in docs:
            assert client.request(method, url + path).status_code in (401, 404, 405), path
        forged = client.get(f"{url}/api/quality/gates", headers={"Authorization": "Bearer nonsense"})
        assert forged.status_code in (401, 403)


def test_a_viewer_sees_all_pages_and_changes_nothing(both, routes):
    (home, _), _ = both
    url = f"{home.status()['url']}/stellar"
    acting = [(method, path) for method, path in routes if method not in ("GET", "HEAD") and path not in ASKING]
    assert len(acting) >= 3
    for user, refused in (("viewer", 403), ("operator", 422)):
        login_ = {"username": user, "password": bootstrap.password(home.settings, user)}
        token = httpx.post(f"{url.removesuffix('/stellar')}/auth/token", json=login_, trust_env=False).json()
        headers = {"Authorization": f"Bearer {token['access_token']}", "X-Stellar-Action": "1"}
        with httpx.Client(trust_env=False, headers=headers, timeout=60) as client:
            for method, path in acting:
                assert client.request(method, url + path, json={}).status_code == refused, (user, method, path)
            for name in ("sky", "catalogue", "star", "models", "lineage", "quality"):
                page = client.get(f"{url}/pages/{name}")
                assert page.status_code == 200
                assert f'data-can-act="{"no" if user == "viewer" else "yes"}"' in page.text
                assert client.get(f"{url}/static/{name}.js").status_code == 200
            del client.headers["X-Stellar-Action"]  # as a form of another site would
            for method, path in acting:
                assert client.request(method, url + path, json={}).status_code == 403, (user, method, path)


def test_the_doctor_finds_it_well(both):
    (home, _), _ = both
    findings = examine(home.settings)
    assert [finding for finding in findings if finding.state in ("bad", "warn") and finding.what != "memory"] == []
    assert {"supervisor", "postgres", "archive", "scheduler", "airflow scheduler"} <= {f.what for f in findings}


def test_a_second_supervisor_in_the_same_home_is_refused(both):
    (home, _), _ = both
    before = home.output.stat().st_size
    assert home.start("up").wait(timeout=60) == 2
    assert b"runs already" in home.output.read_bytes()[before:]  # sizes are in bytes, and the summary is not ASCII


@pytest.mark.parametrize(("which", "number"), [(0, signal.SIGINT), (1, signal.SIGTERM)])
def test_stopping_one_leaves_nothing_of_it_and_the_other_alone(both, which, number):
    homes_, processes = both
    addresses = [homes_[which].settings.run / name for name in ("archive.json", "supervisor.json")]
    assert all(address.exists() for address in addresses)
    processes[which].send_signal(number)
    processes[which].wait(timeout=60)
    assert homes_[which].marked() == []
    assert not any(address.exists() for address in addresses)
    if which == 0:
        assert homes_[1].is_healthy()
