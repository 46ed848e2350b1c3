"""What of Celery can be told without a broker: commands, environment, what is shown and refused."""

import pytest

from stellar.errors import InputError
from stellar.platform import airflow, workers
from stellar.settings import load_settings

URL = "redis://:geheim@127.0.0.1:9/0"


def made(folder, **settings):
    return load_settings(home=folder, postgres_url="postgresql://stellar:pw@127.0.0.1:5432/stellar", **settings)


def environment(settings):
    settings.secrets.mkdir(exist_ok=True)
    return airflow.environment(settings, dict.fromkeys(airflow.PORTS, 1))


def test_the_local_executor_needs_no_worker_and_no_broker(tmp_path):
    settings = made(tmp_path)
    assert airflow.parts(settings) == list(airflow.PARTS)
    assert not [name for name in environment(settings) if "CELERY" in name]
    assert airflow.command(settings, "scheduler")[1:] == [
        str(settings.root / "ops" / "preloaded.py"),
        "scheduler",
        "--skip-serve-logs",
    ]
    assert (settings.root / "ops" / "preloaded.py").is_file()
    workers.check_broker(settings)


def test_celery_workers_are_parts_with_names_of_their_own_and_fork_the_tasks(tmp_path):
    settings = made(tmp_path, executor="celery", redis_url=URL, celery_workers=3, workers=2)
    assert airflow.parts(settings) == [*airflow.PARTS, "worker-1", "worker-2", "worker-3"]
    commands = [airflow.command(settings, part) for part in airflow.parts(settings)]
    assert [any("preloaded" in word for word in command) for command in commands] == [False] * 4 + [True] * 3
    assert len({tuple(command) for command in commands}) == len(commands)
    assert all(command[2:5] == ["celery", "worker", "--skip-serve-logs"] for command in commands[4:])
    assert not any("geheim" in word for command in commands for word in command)


def test_results_lie_in_postgres_and_every_slot_has_a_process(tmp_path):
    settings = made(tmp_path, executor="celery", redis_url=URL, celery_workers=3, workers=2)
    given = environment(settings)
    assert given["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert given["AIRFLOW__CELERY__BROKER_URL"] == URL
    assert given["AIRFLOW__CELERY__RESULT_BACKEND"] == f"db+{given['AIRFLOW__DATABASE__SQL_ALCHEMY_CONN']}"
    slots = 3 * int(given["AIRFLOW__CELERY__WORKER_CONCURRENCY"])
    assert slots >= int(given["AIRFLOW__CORE__PARALLELISM"])


def test_two_homes_may_share_a_redis(tmp_path):
    (tmp_path / "b").mkdir()
    one, other = (made(folder, executor="celery", redis_url=URL) for folder in (tmp_path, tmp_path / "b"))
    assert workers.queue(one) != workers.queue(other)
    assert workers.queue(one) == environment(one)["AIRFLOW__OPERATORS__DEFAULT_QUEUE"]


@pytest.mark.parametrize(
    "url, shown",
    [
        (URL, r"redis://\*\*\*@127.0.0.1:9/0"),
        ("redis://127.0.0.1:9/0", "redis://127.0.0.1:9/0"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
    ],
)
def test_a_broker_that_is_none_is_named_without_its_password(tmp_path, url, shown):
    with pytest.raises(InputError, match=f"STELLAR_REDIS_URL={shown}: ") as refused:
        workers.check_broker(made(tmp_path, executor="celery", redis_url=url))
    assert "geheim" not in str(refused.value)


def test_celery_without_a_broker_says_what_to_set(tmp_path):
    with pytest.raises(InputError, match="STELLAR_EXECUTOR=celery needs STELLAR_REDIS_URL"):
        workers.check_broker(made(tmp_path, executor="celery"))
