"""Links from Airflow's tasks to the pages: to the snapshots that a task made, to their gates, to a model's version.

They are computed when somebody looks at a task, from what its stage handed on; nothing is stored for them. A task that
made nothing of the kind has no link.
"""

from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from airflow.sdk import BaseOperatorLink

PREFIX = "stellar"
KEY_LENGTH = 64


class SnapshotLink(BaseOperatorLink):
    """From what builds or commits to the snapshot; from several snapshots to the rows of the run."""

    name = "Snapshot"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL of the snapshot's lineage, or of the run's snapshots; empty where there is none."""
        if _role(ti_key) in ("promote", "announce"):
            return _run(ti_key) if _returned(ti_key, "promote", -1) is not None else ""
        if _role(ti_key) not in ("build", "commit", "gate"):
            return ""
        keys = _keys(ti_key)
        return _page("lineage", ref=keys[0]) if len(keys) == 1 else _run(ti_key) if keys else ""


class GateLink(BaseOperatorLink):
    """From a gate to its report, failed or passed; from a gate of several snapshots to all of them."""

    name = "Gate report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL of the gate's report; empty where there is none."""
        keys = _keys(ti_key) if _role(ti_key) == "gate" else []
        return _page("quality", gate=keys[0]) if len(keys) == 1 else _run(ti_key) if keys else ""


class ModelLink(BaseOperatorLink):
    """From a training to the version that it registered or found."""

    name = "Model card"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """URL of the version, or of the model when this run registered none; empty where no model was trained."""
        if _role(ti_key) != "train":
            return ""
        models = _returned(ti_key, "plan", -1)
        if not isinstance(models, list) or not 0 <= ti_key.map_index < len(models):
            return ""
        model = str(models[ti_key.map_index])
        key = _version(model, f"{ti_key.dag_id}/{ti_key.run_id}")
        return _page("models", version=key) if key else _page("models", model=model)


LINKS = (SnapshotLink(), GateLink(), ModelLink())


def _role(ti_key: Any) -> str:
    return str(ti_key.task_id).rpartition(".")[2]


def _keys(ti_key: Any) -> list[str]:
    """Keys of the snapshots that a task of a stage is about; a gate that failed returns none, its commit did."""
    group = str(ti_key.task_id).rpartition(".")[0]
    named = f"{group}." if group else ""
    if _role(ti_key) == "build":
        items = _returned(ti_key, f"{named}plan", -1)
        found = [items[ti_key.map_index].get("key")] if isinstance(items, list) and _in(ti_key, items) else []
    else:
        found = _returned(ti_key, f"{named}commit", -1) or []
    return [one for one in found if isinstance(one, str) and len(one) == KEY_LENGTH]


def _in(ti_key: Any, items: list[Any]) -> bool:
    return 0 <= ti_key.map_index < len(items) and isinstance(items[ti_key.map_index], dict)


def _returned(ti_key: Any, task_id: str, map_index: int) -> Any:
    """What a task of the same run returned; None when it returned nothing."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    wanted = {
        "dag_id": ti_key.dag_id,
        "run_id": ti_key.run_id,
        "task_id": task_id,
        "map_index": map_index,
        "key": "return_value",
    }
    with create_session() as session:
        row = session.execute(select(XComModel.value).filter_by(**wanted)).first()
    return XComModel.deserialize_value(row) if row else None


def _version(model: str, run: str) -> str | None:
    """Key of the version that a run registered, else of the current one."""
    import sqlalchemy as sa

    from stellar_pages import home

    sql = sa.text("""
        SELECT key FROM registry.version WHERE model = :model AND (run_id = :run OR state = 'current')
         ORDER BY run_id IS NOT DISTINCT FROM :run DESC LIMIT 1""")
    with home.engine().connect() as connection:
        found = connection.scalar(sql, {"model": model, "run": run})
        return str(found) if found else None


def _run(ti_key: Any) -> str:
    return _page("quality", run=f"{ti_key.dag_id}/{ti_key.run_id}")


def _page(name: str, **query: str) -> str:
    """URL of a page on this server, below its base path."""
    from airflow.configuration import conf

    base = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
    return f"{base}/{PREFIX}/pages/{name}?{urlencode(query, quote_via=quote)}"
