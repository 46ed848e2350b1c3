"""The routes of the pages Catalogue and Star: a viewer may ask; what is wrong is told in the server's own words."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from console_home import home_of_stars

ROOT = Path(__file__).resolve().parents[3]


class User:
    def get_name(self):
        return "viewer"

    def get_id(self):
        return "1"


class Manager:
    """A viewer's rights."""

    allowed = True

    def is_authorized_view(self, **_):
        return self.allowed

    def is_authorized_asset(self, method, **_):
        return method == "GET"

    def is_authorized_dag(self, **_):
        return False


@pytest.fixture(scope="module")
def client(database_server):
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="stellar-airflow-"))
    sys.path.insert(0, str(ROOT / "plugins"))
    from airflow.api_fastapi.core_api.security import get_user

    from stellar.ledger.connect import open_ledger
    from stellar.serving.console import Console, Limits
    from stellar_pages import access, app, catalogue, home

    patch = pytest.MonkeyPatch()
    with home_of_stars(database_server) as ctx:
        engine = open_ledger(ctx.settings, "reader")
        console = Console(ctx.settings, Limits(workers=1, memory_mb=256, spill_mb=64, threads=1, wait_s=0.5))
        patch.setattr(home, "settings", lambda: ctx.settings)
        patch.setattr(home, "engine", lambda role="reader": engine)
        patch.setattr(catalogue, "console", lambda: console)
        patch.setattr(access, "get_auth_manager", lambda: Manager())
        app.app.dependency_overrides[get_user] = lambda: User()
        yield TestClient(app.app)
        app.app.dependency_overrides.clear()
        patch.undo()
        console.close()
        engine.dispose()


def ask(client, statement, path="query", **more):
    return client.post(f"/api/catalogue/{path}", json={"statement": statement, "token": "0123456789", **more})


def test_a_viewer_asks_and_is_answered(client):
    found = ask(client, "SELECT id, mag FROM curated.stars ORDER BY id LIMIT 3").json()
    assert len(found["rows"]) == 3 and found["columns"][0]["kind"] == "integer"
    assert client.get("/api/catalogue/names").json()["datasets"]["curated.stars"]["id"] == "id"
    examples = client.get("/api/catalogue/examples").json()
    cone = next(one for one in examples if one["name"] == "cone_search")
    assert cone["question"].startswith("Which objects lie within") and "cone(" in cone["statement"]
    assert client.get("/api/catalogue/limits").json()["most_time_s"] == 300


def test_what_is_wrong_is_told(client):
    answer = ask(client, "SELECT nope FROM curated.stars")
    assert answer.status_code == 400 and "LINE 1" in answer.json()["detail"]
    assert "only reads" in ask(client, "DROP VIEW curated.stars").json()["detail"]
    assert ask(client, "SELECT 1", token="short").status_code == 422
    assert "time" in ask(client, "SELECT 1", time_s=1e6).json()["detail"]
    assert client.post("/api/catalogue/stop", json={"token": "0123456789"}).json() == {"stopped": False}


def test_a_file_comes_with_its_name_and_its_outcome(client):
    answer = ask(client, "SELECT id FROM curated.stars", "download", form="csv")
    assert answer.status_code == 200 and answer.headers["content-disposition"].endswith('"answer.csv"')
    rows = answer.text.strip().splitlines()
    assert client.get("/api/catalogue/outcome?token=0123456789").json() == {"rows": len(rows) - 1, "more": False}
    assert ask(client, "SELECT nope", "download", form="csv").status_code == 400
    assert ask(client, "SELECT 1", "download", form="exe").status_code == 422


def test_a_star_that_is_not_there_is_told(client):
    answer = client.get("/api/stars/star?id=nix")
    assert answer.status_code == 400 and "no object's id" in answer.json()["detail"]
    assert "build_catalog" in client.get("/api/stars/near?ra=1&dec=2").json()["detail"]
    assert client.get("/api/stars/near?ra=x&dec=2").status_code == 422


def test_who_may_not_look_may_not_ask(client, monkeypatch):
    monkeypatch.setattr(Manager, "allowed", False)
    assert ask(client, "SELECT 1").status_code == 403
    assert client.get("/api/stars/star?id=1").status_code == 403


def test_pages_and_what_they_load(client):
    for page in ("catalogue", "star"):
        document = client.get(f"/pages/{page}")
        assert document.status_code == 200 and f"../static/{page}.js" in document.text
        script = client.get(f"/static/{page}.js").text
        loaded = [line.split('"')[1] for line in script.splitlines() if line.startswith("import ")]
        loaded = [part.split("/")[-1] for part in (line.rsplit("from ", 1)[-1].strip(" \";") for line in
                  script.splitlines() if line.startswith("import "))]  # fmt: skip
        assert len(loaded) >= 2
        for name in [*loaded, f"{page}.css"]:
            assert client.get(f"/static/{name}").status_code == 200, name
