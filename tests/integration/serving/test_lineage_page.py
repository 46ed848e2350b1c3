"""The routes of the page Lineage: what they answer, what they refuse, and that nobody without rights is answered."""

import pytest
from fastapi.testclient import TestClient

from integration.engine import small_steps as small
from integration.engine.conftest import ctx, gates, sync  # noqa: F401
from stellar.engine import engine
from stellar.serving import lineage


class Manager:
    def __init__(self, may_read):
        self.may_read = may_read

    def is_authorized_view(self, **_):
        return self.may_read

    is_authorized_asset = is_authorized_dag = is_authorized_view


@pytest.fixture
def pages(ctx, sync, root, monkeypatch):  # noqa: F811
    """The app on a small flow; `pages(False)` is a user without rights."""
    monkeypatch.syspath_prepend(str(root / "plugins"))
    from airflow.api_fastapi.core_api.security import get_user

    from stellar_pages import access, app, home

    sync("a")
    engine.run(ctx, [small.curate_step()])
    monkeypatch.setattr(home, "engine", lambda role="reader": ctx.engine)
    monkeypatch.setattr(home, "settings", lambda: ctx.settings)
    monkeypatch.setitem(app.app.dependency_overrides, get_user, lambda: type("User", (), {"get_name": lambda _: "u"})())

    def client(may_read=True):
        monkeypatch.setattr(access, "get_auth_manager", lambda: Manager(may_read))
        return TestClient(app.app)

    return client


def test_graph_node_search_names_and_events_are_answered(pages):
    client = pages()
    graph = client.get("/api/lineage/graph", params={"ref": "curated.stars"}).json()
    assert {one["kind"] for one in graph["nodes"]} == {"snapshot", "batch"}
    (key,) = graph["roots"]
    assert client.get("/api/lineage/node", params={"kind": "snapshot", "id": key}).json()["facts"]["key"] == key
    assert client.get("/api/lineage/search", params={"q": "field a"}).json()[0]["kind"] == "batch"
    assert "curated.stars" in client.get("/api/lineage/names").json()["datasets"]
    kinds = {one["job"] for one in client.get("/api/lineage/events", params={"snapshot": key}).json()}
    assert kinds == {"build/curated.stars", "gate/curated.stars", "promote/curated.stars"}
    page = client.get("/pages/lineage")
    assert page.status_code == 200
    assert "lineage.js" in page.text


@pytest.mark.parametrize(
    ("path", "asked", "status", "said"),
    [("graph", {"ref": "no.such"}, 400, "no dataset"), ("graph", {}, 400, "name one of"),
     ("graph", {"ref": "curated.stars", "direction": "sideways"}, 422, "direction"),
     ("search", {"q": " "}, 400, "at least"), ("node", {"kind": "snapshot", "id": "'; --"}, 400, "knows no"),
     ("rebuilt", {"kind": "run", "id": "x"}, 400, "rebuilds nothing"),
     ("tainted", {"batch": "0" * 64}, 400, "no batch"), ("events", {"limit": -1}, 422, "limit"),
     ("events", {"limit": 10**20}, 422, "limit"), ("search", {"q": "stars", "limit": -1}, 422, "limit")],
)  # fmt: skip
def test_what_means_nothing_is_refused_with_words(pages, path, asked, status, said):
    answer = pages().get(f"/api/lineage/{path}", params=asked)
    assert answer.status_code == status
    assert said in answer.text


def test_a_number_of_events_is_bounded_for_every_caller(pages, ctx):  # noqa: F811
    pages()
    assert len(lineage.events(ctx.engine, limit=-1)) == 1 < len(lineage.events(ctx.engine, limit=10**20))


@pytest.mark.parametrize("path", ["graph?ref=curated.stars", "names", "events", "search?q=curated"])
def test_who_may_not_read_is_not_answered(pages, path):
    assert pages(False).get(f"/api/lineage/{path}").status_code == 403
