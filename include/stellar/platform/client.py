"""Airflow's REST API as the run driver and the tests use it: the same calls as the UI makes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx

from stellar.errors import ServiceError

PAGE = 100


class Airflow:
    """A logged-in client; it logs in again when its token is refused, and waits out an API server that restarts."""

    def __init__(self, url: str, user: str, password: str, patience_s: float = 90.0) -> None:
        self._http = httpx.Client(base_url=url, timeout=20, trust_env=False)
        self._login = {"username": user, "password": password}
        self._patience_s = patience_s

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """Body of the answer.

        Raises
        ------
        ServiceError
            Airflow refused the request, or did not answer for `patience_s`.
        """
        give_up = time.monotonic() + self._patience_s
        while True:
            try:
                answer = self._send(method, path, **kwargs)
            except httpx.TransportError as error:
                answer, reason = None, str(error) or type(error).__name__
            else:
                if answer.is_success:
                    return answer.json() if answer.content else None
                reason = f"{answer.status_code}: {answer.text[:500]}"
                if answer.status_code < 500 and answer.status_code != 429:
                    raise ServiceError("airflow", f"{method} {path}", reason)
            if time.monotonic() > give_up:
                raise ServiceError("airflow", f"{method} {path}", reason)
            time.sleep(1)

    def _send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        if "Authorization" not in self._http.headers:
            self._authorise()
        answer = self._http.request(method, f"/api/v2{path}", **kwargs)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._authorise()
            answer = self._http.request(method, f"/api/v2{path}", **kwargs)
        return answer

    def _authorise(self) -> None:
        self._http.headers.pop("Authorization", None)
        answer = self._http.post("/auth/token", json=self._login)
        if answer.status_code >= 500 or answer.status_code == 429:
            raise httpx.ConnectError(f"login: {answer.status_code}")
        if not answer.is_success:
            raise ServiceError("airflow", f"login of {self._login['username']}", f"{answer.status_code}: {answer.text}")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def pages(self, path: str, field: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every item of a paged listing."""
        offset = 0
        while True:
            body = self.request("GET", path, params={**params, "limit": PAGE, "offset": offset})
            yield from body[field]
            offset += PAGE
            if offset >= body["total_entries"]:
                return

    def dags(self) -> list[dict[str, Any]]:
        return list(self.pages("/dags", "dags"))

    def import_errors(self) -> list[dict[str, Any]]:
        return list(self.pages("/importErrors", "import_errors"))

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, note: str | None = None) -> str:
        """Start a run by hand; returns its id."""
        body = {"logical_date": None, "conf": conf or {}, "note": note}
        return self.request("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]

    def runs(self, **params: Any) -> list[dict[str, Any]]:
        """Runs of every DAG, by any of the API's filters."""
        return list(self.pages("/dags/~/dagRuns", "dag_runs", **params))

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}")

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return list(self.pages(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances"))

    def has_queued_events(self, dag_id: str) -> bool:
        """Whether asset events wait to start a run of a DAG; the API answers 404 when none do."""
        try:
            return self.request("GET", f"/dags/{dag_id}/assets/queuedEvents")["total_entries"] > 0
        except ServiceError as error:
            if error.reason.startswith("404"):
                return False
            raise

    def log(self, task: dict[str, Any]) -> list[str]:
        """Lines of a task's last attempt, as text."""
        path = (
            f"/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}/logs/"
            f"{task['try_number']}"
        )
        body = self.request("GET", path, params={"map_index": task["map_index"], "full_content": True})
        return [line if isinstance(line, str) else _log_line(line) for line in body["content"]]


def _log_line(event: dict[str, Any]) -> str:
    errors = [f"{detail['exc_type']}: {detail['exc_value']}" for detail in event.get("error_detail") or []]
    return " ".join([str(event.get("event", "")), *errors]).strip()
