"""Airflow's tasks on Celery workers (`STELLAR_EXECUTOR=celery`): Redis carries the tasks, Postgres their results.

The supervisor keeps `celery_workers` of them up on this machine. Others may join from machines that see the home under
the same path; the queue's name is the home's own, so that two homes may share a Redis.
"""

from __future__ import annotations

import hashlib
import os
from urllib.parse import urlsplit, urlunsplit

from stellar.errors import InputError
from stellar.settings import Settings

PING_S = 5
#: A task whose worker died before it began is given to another after this time; the cost for a task that runs longer is
#: a second message, which Airflow refuses as it runs already.
REDELIVERED_AFTER_S = 60


def names(settings: Settings) -> list[str]:
    """The workers among the supervisor's parts; none with the local executor."""
    if settings.executor != "celery":
        return []
    return [f"worker-{number}" for number in range(1, settings.celery_workers + 1)]


def queue(settings: Settings) -> str:
    """Queue of a home's tasks."""
    return f"stellar-{hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:12]}"


def arguments(settings: Settings, name: str) -> list[str]:
    """Arguments of `airflow` that run one worker."""
    worker = ["celery", "worker", "--skip-serve-logs", "--without-mingle", "--without-gossip"]
    return [*worker, "--celery-hostname", f"{queue(settings)}-{name}@%h"]


def environment(settings: Settings, result_database: str, parallelism: int) -> dict[str, str]:
    """What Airflow's processes need beside the local executor's settings.

    Parameters
    ----------
    result_database
        URL of Airflow's own database, which keeps the results too.
    parallelism
        Tasks that may run at once; the workers share them.
    """
    if settings.executor != "celery":
        return {}
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__OPERATORS__DEFAULT_QUEUE": queue(settings),
        "AIRFLOW__CELERY__BROKER_URL": _secret_url(settings),
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{result_database}",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(-(-parallelism // settings.celery_workers)),
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(REDELIVERED_AFTER_S),
    }


def _secret_url(settings: Settings) -> str:
    if settings.redis_url is None:
        raise InputError(
            "STELLAR_EXECUTOR=celery needs STELLAR_REDIS_URL=redis://:PASSWORD@HOST:PORT/0, the broker of its tasks; "
            "start a redis-server and name it, or unset STELLAR_EXECUTOR"
        )
    return settings.redis_url.get_secret_value()


def shown_url(settings: Settings) -> str:
    """The broker's URL without its password."""
    url = urlsplit(_secret_url(settings))
    host = f"{url.hostname or ''}{f':{url.port}' if url.port else ''}"
    return urlunsplit((url.scheme, f"***@{host}" if url.password or url.username else host, url.path, "", ""))


def check_broker(settings: Settings) -> None:
    """Ask the broker whether it is there, where there is one.

    Raises
    ------
    InputError
        When it is not named, does not answer, or refuses the password.
    """
    if settings.executor != "celery":
        return
    import redis

    try:
        client = redis.Redis.from_url(
            _secret_url(settings), socket_connect_timeout=PING_S, socket_timeout=PING_S, retry=None
        )
        with client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise InputError(
            f"STELLAR_REDIS_URL={shown_url(settings)}: {error}; start that Redis, or name another one"
        ) from error
