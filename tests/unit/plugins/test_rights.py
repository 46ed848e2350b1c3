"""Who may do what on the pages: a viewer looks, an operator acts, and only from a page of ours."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
ROOT = Path(__file__).parents[3]
#: The pages whose acts are meant; other pages send questions as POST too.
ACTS = ("/api/models/", "/api/quality/")


@pytest.fixture
def pages(monkeypatch, tmp_path):
    """The pages' app and, as `of(acts)`, a client as a user that may act or not."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT / "plugins"))
    security = pytest.importorskip("airflow.api_fastapi.core_api.security", reason="Airflow is not installed")
    from fastapi.testclient import TestClient

    from stellar_pages import access, app

    def of(acts: bool, looks: bool = True) -> TestClient:
        manager = SimpleNamespace(
            is_authorized_view=lambda **_: looks,
            is_authorized_asset=lambda method, **_: looks and (method == "GET" or acts),
            is_authorized_dag=lambda **_: acts,
        )
        monkeypatch.setattr(access, "get_auth_manager", lambda: manager)
        app.app.dependency_overrides[security.get_user] = lambda: SimpleNamespace(get_name=lambda: "someone")
        return TestClient(app.app, raise_server_exceptions=False)

    every = [one for one in app.app.routes if hasattr(one, "methods") and one.path.startswith(ACTS)]
    acts = [(method, one.path) for one in every for method in sorted(one.methods & CHANGING)]
    yield SimpleNamespace(of=of, acts=acts, header={access.ACTION_HEADER: "1"})
    app.app.dependency_overrides.clear()
    for name in [name for name in sys.modules if name.startswith("stellar_pages")]:
        del sys.modules[name]


def test_a_viewer_cannot_act_on_any_route(pages):
    assert {path for _, path in pages.acts} == {
        "/api/models/promote",
        "/api/models/rollback",
        "/api/quality/quarantine/decide",
    }
    viewer = pages.of(acts=False)
    for method, path in pages.acts:
        answer = viewer.request(method, path, json={}, headers=pages.header)
        assert (answer.status_code, "you may look, not act" in answer.text) == (403, True)


def test_an_operator_acts_from_a_page_only(pages):
    operator = pages.of(acts=True)
    for method, path in pages.acts:
        assert operator.request(method, path, json={}).status_code == 403
        # past the door, the empty body is what is refused
        assert operator.request(method, path, json={}, headers=pages.header).status_code == 422


def test_nobody_without_rights_sees_anything(pages):
    nobody = pages.of(acts=False, looks=False)
    for path in ("/api/models/list", "/api/quality/docs/x.html", "/api/models/report?version=x@1", "/pages/quality"):
        assert nobody.get(path).status_code == 403
