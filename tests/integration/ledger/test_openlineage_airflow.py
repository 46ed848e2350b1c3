"""The OpenLineage provider and us: Airflow finds our distribution, names our assets, and its events are kept."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest
import sqlalchemy as sa
from airflow.providers.openlineage.plugins.facets import AirflowDagRunFacet
from openlineage.client import event_v2
from openlineage.client.transport import Config, get_default_factory

import openlineage_schemas
from stellar.ledger import openlineage_airflow as ours

ASK = """
import json
from airflow.sdk import Asset
from airflow.providers.openlineage.utils.utils import translate_airflow_asset
found = translate_airflow_asset(Asset(name="curated.objects", uri="stellar://curated/objects"), None)
print(json.dumps([found.namespace, found.name]))
"""


@pytest.fixture
def installed(tmp_path, root):
    """A folder in which our distribution is installed with the entry points of this checkout."""
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "stellar_platform-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"[{group}]\n" + "\n".join(f"{name} = {to}" for name, to in points.items())
             for group, points in project["entry-points"].items()]  # fmt: skip
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_what_we_tell_of_ourselves_is_as_airflow_wants_it():
    import airflow

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    info = ours.provider_info()
    jsonschema.validate(info, schema)
    assert info["package-name"] == metadata.metadata("stellar-platform")["Name"]


def test_airflow_finds_us_and_names_our_assets_as_the_engine_does(installed, root, tmp_path):
    env = {
        **os.environ,
        "PYTHONPATH": f"{installed}:{root / 'include'}",
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["stellar", "curated.objects"]


@pytest.mark.parametrize("uri", ["stellar://curated", "stellar:///objects", "stellar://a/b/c"])
def test_an_address_that_is_no_dataset_is_refused(uri):
    with pytest.raises(ValueError, match="stellar://layer/subject"):
        ours.sanitize_uri(urlsplit(uri))


@pytest.fixture
def transport(settings, ledger, monkeypatch):
    """The transport as the provider makes it of its setting."""
    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())
    ours._ledger.cache_clear()
    made = get_default_factory().create({"type": f"{ours.__name__}.{ours.LedgerTransport.__name__}"})
    assert isinstance(made, ours.LedgerTransport)
    yield made
    ours._ledger().dispose()
    ours._ledger.cache_clear()


def told(job, state, facets):
    """An event as the provider makes it."""
    return event_v2.RunEvent(
        eventTime=datetime.now(UTC).isoformat(),
        run=event_v2.Run("01994d4e-52d0-7e2c-8c1c-000000000001", facets),
        job=event_v2.Job("stellar", job, {}),
        eventType=state,
        inputs=[],
        outputs=[],
        producer="https://example.org/airflow",
    )


def test_events_of_the_provider_are_kept_in_the_ledger(transport, ledger):
    transport.emit(told("build_catalog.settle", event_v2.RunState.COMPLETE, {}))
    with ledger.connect() as connection:
        ((body, job, kind),) = connection.execute(sa.text("SELECT body, job, event_type FROM lineage.event")).all()
    assert (job, kind) == ("build_catalog.settle", "COMPLETE")
    openlineage_schemas.validate(body)
    assert Config is ours.LedgerTransport.config_class


@pytest.mark.parametrize("end", [event_v2.RunState.COMPLETE, event_v2.RunState.FAIL])
def test_the_end_of_a_dag_run_sends_what_is_kept(transport, receiver, monkeypatch, end):
    monkeypatch.setenv("STELLAR_OPENLINEAGE_URL", f"http://127.0.0.1:{receiver.server_port}")
    of_the_run = {"airflowDagRun": AirflowDagRunFacet(dag={"dag_id": "a"}, dagRun={"run_id": "manual__1"})}
    transport.emit(told("a", event_v2.RunState.START, of_the_run))
    transport.emit(told("a.task", end, {}))
    assert not receiver.asked, "a task sends at its own end, once for all its events"
    transport.emit(told("a", end, of_the_run))
    assert [(event["job"]["name"], event["eventType"]) for _, _, event in receiver.asked] == [
        ("a", "START"), ("a.task", end.value), ("a", end.value)
    ]  # fmt: skip


def test_a_run_is_named_as_the_ledger_names_it():
    facets = {"airflow": {"dag": {"dag_id": "build_catalog"}, "dagRun": {"run_id": "manual__1"}}}
    assert ours.run_of({"run": {"facets": facets}}) == "build_catalog/manual__1"
    assert ours.run_of({"run": {}}) is None
