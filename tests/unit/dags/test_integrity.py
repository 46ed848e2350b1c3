import importlib
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

DAGS = {
    "sync_gaia",
    "sync_sdss",
    "sync_tess",
    "sync_labels",
    "sync_files",
    "build_catalog",
    "extract_features",
    "train_models",
    "score_catalog",
    "import_catalog",
    "crossmatch_catalogs",
    "maintain_lake",
    "check_freshness",
    "rebuild_partition",
}
LARGEST_FILE_LINES = 60
# Builds a DAG first, so that what is looked at is the file's own and not the first import of Airflow; then a fork per
# file, as the dag-processor does.
PARSE = """
import json, os, sys
from airflow.sdk import dag, task

@dag
def warm():
    @task
    def nothing(): ...
    nothing()

warm()
sys.path.insert(0, sys.argv[1])
there = set(sys.modules)
for name in sys.argv[2:]:
    sys.stdout.flush()
    if os.fork() == 0:
        __import__(name)
        brought = {module.partition(".")[0] for module in set(sys.modules) - there}
        print(json.dumps([name, sorted(brought - {name, "common", "airflow"} - sys.stdlib_module_names)]), flush=True)
        os._exit(0)
    os.wait()
"""


def files(root: Path) -> list[Path]:
    return sorted((root / "dags").glob("*.py"))


@pytest.fixture(scope="session")
def bag(root):
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(root / "dags"))
    assert not bag.import_errors
    return bag


def test_each_file_makes_the_dag_of_its_name(bag, root):
    assert set(bag.dags) == DAGS, "a new DAG goes into DAGS here, one removed out of it"
    assert {file.stem for file in files(root)} == DAGS
    assert {Path(dag.fileloc).stem: dag.dag_id for dag in bag.dags.values()} == {name: name for name in DAGS}


@pytest.mark.parametrize("name", sorted(DAGS))
def test_a_dag_says_who_owns_it_what_it_does_and_how_to_resume(bag, name):
    names = importlib.import_module("common.names")
    dag = bag.dags[name]
    for part in ("**By hand**", "**Resume**", "**A failure looks like**"):
        assert part in dag.doc_md
    assert dag.doc_md.strip().startswith("### ")
    assert dag.tags and set(dag.tags) <= {tag.value for tag in names.Tag}
    assert dag.max_active_runs == 1 and dag.catchup is False
    for task in dag.tasks:
        assert task.owner == "stellar"
        assert task.retries >= 2 and task.retry_delay <= timedelta(seconds=30)
        assert task.execution_timeout is not None
    for param in dag.params:
        assert dag.params.get_param(param).description, f"{param} needs a description"


def test_only_those_that_change_something_have_outlets_and_every_asset_has_one_maker(bag):
    makers: dict[str, str] = {}
    for dag in bag.dags.values():
        for task in dag.tasks:
            for asset in task.outlets:
                assert task.task_id == "announce"
                assert makers.setdefault(asset.uri, dag.dag_id) == dag.dag_id
                assert asset.uri == "stellar://" + asset.name.replace(".", "/")
    assert makers["stellar://curated/objects"] == "build_catalog"
    assert makers["stellar://scores/photometric_teff"] == "score_catalog"


def test_the_assets_carry_a_sync_to_the_scores(bag):
    made_by = {a.name: dag.dag_id for dag in bag.dags.values() for task in dag.tasks for a in task.outlets}

    def fired_by(name: str) -> set[str]:
        condition = getattr(bag.dags[name].timetable, "asset_condition", None)
        return {made_by[asset.name] for asset in getattr(condition, "objects", [condition])}

    assert fired_by("build_catalog") == {"sync_gaia", "sync_sdss", "sync_tess", "sync_labels"}
    assert fired_by("extract_features") == {"build_catalog"}
    assert fired_by("train_models") == {"extract_features"}
    assert fired_by("score_catalog") == {"extract_features", "train_models"}


def test_dag_files_import_only_airflow_and_what_they_share(root):
    """So they parse in milliseconds: what tasks need is imported when they run."""
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(root / "dags"), *sorted(DAGS)],
        env=os.environ | {"STELLAR_PROFILE": "simulated"},
        capture_output=True,
        text=True,
        check=True,
    )
    brought = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    assert brought == {name: [] for name in DAGS}


def test_dag_files_are_short_and_import_no_other_dag_file(root):
    for file in files(root):
        text = file.read_text()
        assert len(text.splitlines()) < LARGEST_FILE_LINES, file
        assert not [name for name in DAGS if f"import {name}" in text or f"from {name}" in text]


@pytest.mark.parametrize("profile", ["simulated", "tiny", "real"])
def test_the_dags_know_the_datasets_of_each_profile(root, profile):
    script = "import build_catalog as b; print(*(a.name for t in b.build_catalog().tasks for a in t.outlets))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root / "dags",
        env=os.environ | {"STELLAR_PROFILE": profile},
        capture_output=True,
        text=True,
        check=True,
    )
    from stellar.profile import load_profile

    outlets = set(done.stdout.splitlines()[-1].split())
    assert outlets >= {f"curated.{name}" for name in load_profile(profile).curated}


def test_the_page_of_the_dags_is_fresh(root):
    done = subprocess.run([sys.executable, "ops/dags_page.py", "--check"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
