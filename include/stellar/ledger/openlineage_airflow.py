"""What Airflow's OpenLineage provider asks of us: what our assets are called, and where its events go.

Airflow finds `provider_info` by the entry point `apache_airflow_provider` of our distribution and calls the rest by
name; nothing here imports Airflow.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from openlineage.client.transport.transport import Config, Transport

from stellar import __version__
from stellar.ledger import openlineage as ol

if TYPE_CHECKING:
    import sqlalchemy as sa
    from openlineage.client.event_v2 import Dataset

SCHEME = "stellar"
_HERE = __name__


def provider_info() -> dict[str, Any]:
    """What Airflow's manager of providers takes; its schema refuses what is not in it."""
    return {
        "package-name": "stellar-platform",
        "name": "Stellar Platform",
        "description": "Assets of the Stellar Platform's lake: stellar://layer/subject",
        "versions": [__version__],
        "asset-uris": [
            {
                "schemes": [SCHEME],
                "handler": f"{_HERE}.sanitize_uri",
                "to_openlineage_converter": f"{_HERE}.to_openlineage",
            }
        ],
    }


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """An asset's address, checked; it is written in its normal form already.

    Raises
    ------
    ValueError
        When it is not ``stellar://layer/subject``.
    """
    if not uri.netloc or not uri.path.strip("/") or "/" in uri.path.strip("/"):
        raise ValueError(f"{uri.geturl()}: an asset of the lake is stellar://layer/subject")
    return uri


def to_openlineage(asset: Any, lineage_context: Any = None) -> Dataset:
    """The dataset that an asset is, named as the engine's own events name it."""
    from openlineage.client.event_v2 import Dataset

    uri = urlsplit(asset.uri)
    return Dataset(namespace=ol.namespace(), name=f"{uri.netloc}.{uri.path.strip('/')}")


class LedgerTransport(Transport):
    """Keeps Airflow's own events in the ledger, beside the engine's; the outbox sends both.

    Named by ``AIRFLOW__OPENLINEAGE__TRANSPORT={"type": "stellar.ledger.openlineage_airflow.LedgerTransport"}``.
    """

    kind = "stellar"
    config_class = Config

    def __init__(self, config: Config) -> None:
        self.config = config

    def emit(self, event: Any) -> None:
        """Keep one event; that this fails is for the provider to log, and never fails a task."""
        from openlineage.client.serde import Serde

        body = json.loads(Serde.to_json(event))
        if "eventType" not in body:
            return  # of a job or a dataset alone: no run to keep it with
        with _ledger().begin() as connection:
            ol.keep(connection, [body], run_id=run_of(body), key=None)
        if ends_run(body):  # no task follows that would send it; the scheduler tells of runs in a process beside it
            send_kept()


def ends_run(body: dict[str, Any]) -> bool:
    """Whether an event is the end of a DAG's run, not of a task's."""
    return body["eventType"] in ("COMPLETE", "FAIL") and "airflowDagRun" in body["run"].get("facets", {})


def send_kept() -> None:
    """Send what the outbox holds, as a task does at its end."""
    from stellar.ledger.outbox import send_within
    from stellar.settings import load_settings

    send_within(_ledger(), load_settings())


def run_of(body: dict[str, Any]) -> str | None:
    """``dag/run`` of an event of Airflow's, as the ledger names runs."""
    facets = body["run"].get("facets", {})
    about = facets.get("airflow") or facets.get("airflowDagRun") or {}
    dag, run = about.get("dag", {}).get("dag_id"), about.get("dagRun", {}).get("run_id")
    return f"{dag}/{run}" if dag and run else None


@cache
def _ledger() -> sa.Engine:
    from stellar.ledger.connect import open_ledger
    from stellar.settings import load_settings

    return open_ledger(load_settings())
