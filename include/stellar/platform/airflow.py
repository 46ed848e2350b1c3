"""Airflow for one home: its environment, its commands, its database, and whether it is healthy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import httpx
import sqlalchemy as sa

from stellar.errors import StellarError
from stellar.ledger import openlineage
from stellar.ledger.connect import airflow_url, ledger_url
from stellar.platform import bootstrap, processes, workers
from stellar.platform.ports import LOOPBACK
from stellar.settings import Settings

DATABASE = "airflow"
PARTS: dict[str, list[str]] = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
PORTS = ("api", "scheduler_health")
HEALTH_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def folder(settings: Settings) -> Path:
    """`AIRFLOW_HOME` of a home."""
    return settings.home / "airflow"


def parts(settings: Settings) -> list[str]:
    """Airflow's processes in a home, Celery workers included."""
    return [*PARTS, *workers.names(settings)]


def command(settings: Settings, part: str) -> list[str]:
    """Command line of one of Airflow's processes; the one that forks tasks loads their libraries first."""
    preloaded = [sys.executable, str(settings.root / "ops" / "preloaded.py")]
    if part in PARTS:
        forks_tasks = part == "scheduler" and settings.executor == "local"
        return [*(preloaded if forks_tasks else (sys.executable, "-m", "airflow")), *PARTS[part]]
    return [*preloaded, *workers.arguments(settings, part)]


def base_url(ports: dict[str, int]) -> str:
    """Address of the UI and the API."""
    return f"http://{LOOPBACK}:{ports['api']}"


def environment(settings: Settings, ports: dict[str, int]) -> dict[str, str]:
    """Environment of Airflow's processes, and so of the tasks; secrets are passed by it and by nothing else."""
    url = base_url(ports)
    database = url_text(database_url(settings))
    at_once = max(4, settings.workers)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW__", "AIRFLOW_", "STELLAR_"))
    }
    ours = {name: value for name, value in os.environ.items() if name.startswith("STELLAR_")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # some eighty processes: each would compile every module anew
    return {
        **inherited,
        **ours,
        **processes.mark(settings),
        "STELLAR_ROOT": str(settings.root),
        "STELLAR_HOME": str(settings.home),
        "STELLAR_PROFILE": settings.profile,
        "STELLAR_DATA": str(settings.data),
        "AIRFLOW_HOME": str(folder(settings)),
        "AIRFLOW_CONFIG": str(settings.root / "airflow.cfg"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        # four more than work may take: what waits for other DAGs (pool `settle`) must not keep those from running
        "AIRFLOW__CORE__PARALLELISM": str(at_once + 4),
        "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": str(at_once),
        "AIRFLOW__CORE__FERNET_KEY": bootstrap.fernet_key(settings),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__PORT": str(ports["api"]),
        "AIRFLOW__API__SECRET_KEY": bootstrap.secret(settings, "airflow_api"),
        "AIRFLOW__API_AUTH__JWT_SECRET": bootstrap.secret(settings, "airflow_jwt"),
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(ports["scheduler_health"]),
        # tasks import numeric libraries: without a limit each would start as many threads as there are cores
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        **workers.environment(settings, database, at_once + 4),
        **_openlineage(settings),
    }


def _openlineage(settings: Settings) -> dict[str, str]:
    """Airflow's own events, into the ledger as the engine's are; only where somebody receives them.

    The provider costs each task the better part of a second, and the engine's events tell what was made without it.
    """
    if settings.openlineage_url is None:
        return {"AIRFLOW__OPENLINEAGE__DISABLED": "True"}
    transport = {"type": "stellar.ledger.openlineage_airflow.LedgerTransport"}
    return {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": openlineage.namespace(),
        "AIRFLOW__OPENLINEAGE__DISABLE_SOURCE_CODE": "True",
        "STELLAR_OPENLINEAGE_URL": settings.openlineage_url,
        **(
            {"STELLAR_OPENLINEAGE_KEY_FILE": str(settings.openlineage_key_file)}
            if settings.openlineage_key_file
            else {}
        ),
    }


def database_url(settings: Settings) -> sa.URL:
    """Airflow's own database: beside the ledger's, on the embedded server or on the external one."""
    if settings.postgres_url is None:
        return airflow_url(settings)
    return ledger_url(settings, "owner").set(database=DATABASE)


def url_text(url: sa.URL) -> str:
    """URL with its password, as Airflow's configuration takes it: a socket's folder with its slashes."""
    return url.render_as_string(hide_password=False).replace("%2F", "/")


def prepare_database(settings: Settings, env: dict[str, str]) -> bool:
    """Create, migrate and populate Airflow's database if that is due; returns whether it was.

    The check is cheap: the versions installed and the heads found in the database are those of the last preparation.
    `airflow db migrate` itself costs ten seconds to find nothing to do.
    """
    url = database_url(settings)
    create_database(settings)
    record = folder(settings) / "prepared.json"
    heads = _heads(url)
    if heads and record.is_file() and json.loads(record.read_text()) == _state(heads):
        return False
    folder(settings).mkdir(parents=True, exist_ok=True)
    passwords = {f"AIRFLOW_PASSWORD_{user.upper()}": bootstrap.password(settings, user) for user in bootstrap.USERS}
    log = settings.logs / "prepare-airflow.log"
    with log.open("ab") as output:
        done = subprocess.run(  # noqa: S603  our own script
            [sys.executable, str(settings.root / "ops" / "prepare_airflow.py")],
            env=env | passwords,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            preexec_fn=processes.die_with_parent(),
            check=False,
        )
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise StellarError(f"Airflow's database could not be prepared (exit {done.returncode}); end of {log}:\n{tail}")
    record.write_text(json.dumps(_state(_heads(url))))
    return True


def create_database(settings: Settings) -> None:
    """Make Airflow's database on an external server; the embedded one has it from its start."""
    if settings.postgres_url is None:
        return
    engine = sa.create_engine(ledger_url(settings, "owner"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            known = connection.execute(sa.text("select 1 from pg_database where datname = :name"), {"name": DATABASE})
            if known.first() is None:
                connection.execute(sa.text(f"create database {DATABASE}"))
    finally:
        engine.dispose()


def _heads(url: sa.URL) -> dict[str, str]:
    """Alembic heads of Airflow's own tables and of FAB's; empty before the first migration."""
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            if not {"alembic_version", "alembic_version_fab"} <= set(tables):
                return {}
            query = (
                "select 'core', version_num from alembic_version "
                "union all select 'fab', version_num from alembic_version_fab"
            )
            return {name: head for name, head in connection.execute(sa.text(query))}
    finally:
        engine.dispose()


def _state(heads: dict[str, str]) -> dict[str, str]:
    packages = ("apache-airflow", "apache-airflow-providers-fab")
    return heads | {package: metadata.version(package) for package in packages}


def health(ports: dict[str, int]) -> dict[str, str]:
    """State of each part as the API tells it; empty when the API does not answer."""
    try:
        answer = httpx.get(f"{base_url(ports)}/api/v2/monitor/health", timeout=5, trust_env=False)
        body = answer.json() if answer.is_success else {}
    except (httpx.HTTPError, ValueError):
        return {}
    return {part: (body.get(part) or {}).get("status") or "unknown" for part in HEALTH_PARTS}


def is_healthy(ports: dict[str, int]) -> bool:
    """Whether all four parts are up and report so."""
    return set(health(ports).values()) == {"healthy"}
