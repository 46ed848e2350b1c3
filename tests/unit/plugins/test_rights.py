"""Who may do what on the pages: a viewer looks, an operator acts, and only from a page of ours."""

from types import SimpleNamespace

import pytest

pytest.importorskip("airflow")

from airflow.api_fastapi.core_api.security import get_user
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from stellar_pages import access, app

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
#: Questions whose statement is too long for a URL: they change nothing.
ACTS = ("/api/models/", "/api/quality/")


def routes() -> list[tuple[str, str]]:
    """Method and path of every route of these pages that changes something."""
    every = [one for one in app.app.routes if isinstance(one, APIRoute)]
    return [
        (method, one.path) for one in every for method in sorted(one.methods & CHANGING) if one.path.startswith(ACTS)
    ]


@pytest.fixture
def client(monkeypatch):
    """A client as a user that `acts` or not."""

    def of(acts: bool) -> TestClient:
        manager = SimpleNamespace(
            is_authorized_view=lambda **_: True,
            is_authorized_asset=lambda method, **_: method == "GET" or acts,
            is_authorized_dag=lambda **_: acts,
        )
        monkeypatch.setattr(access, "get_auth_manager", lambda: manager)
        monkeypatch.setitem(app.app.dependency_overrides, get_user, lambda: SimpleNamespace(get_name=lambda: "someone"))
        return TestClient(app.app, raise_server_exceptions=False)

    return of


def test_there_are_acts_to_refuse():
    assert {path for _, path in routes()} == {
        "/api/models/promote",
        "/api/models/rollback",
        "/api/quality/quarantine/decide",
    }


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_viewer_cannot_act_on_any_route(client, method, path):
    answer = client(acts=False).request(method, path, json={}, headers={access.ACTION_HEADER: "1"})
    assert (answer.status_code, "you may look, not act" in answer.text) == (403, True)


@pytest.mark.parametrize(("method", "path"), routes())
def test_an_operator_acts_from_a_page_only(client, method, path):
    assert client(acts=True).request(method, path, json={}).status_code == 403
    # past the door, the empty body is what is refused
    answer = client(acts=True).request(method, path, json={}, headers={access.ACTION_HEADER: "1"})
    assert answer.status_code == 422


def test_nobody_without_rights_sees_anything(client, monkeypatch):
    client(acts=False)
    nothing = SimpleNamespace(is_authorized_view=lambda **_: False, is_authorized_asset=lambda **_: False)
    monkeypatch.setattr(access, "get_auth_manager", lambda: nothing)
    for path in ("/api/models/list", "/api/quality/docs/x.html", "/api/models/report?version=x@1", "/pages/quality"):
        assert TestClient(app.app).get(path).status_code == 403
