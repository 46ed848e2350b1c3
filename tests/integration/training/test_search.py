"""A search for hyper-parameters that is killed goes on where it was."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from made_lake import bring_stars
from made_stars import make_config
from stellar.engine.context import Context
from stellar.registry import versions
from stellar.registry.store import ArtifactStore
from stellar.training.config import Search
from stellar.training.fit import fit
from stellar.training.frame import build_frame
from stellar.training.train import train
from stellar.training.trials import TrialStore

SPACE = {
    "max_depth": {"low": 2, "high": 6, "int": True},
    "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
    "subsample": {"choices": [0.6, 0.8, 1.0]},
}
CHILD = """
import json, sys
from stellar import flow
from stellar.training.config import ModelConfig
from stellar.training.train import train
with flow.open_context() as ctx:
    train(ctx, ModelConfig.model_validate(json.loads(sys.argv[1])))
"""
STATES = "select state, count(*) from optuna.trials group by state"


@pytest.fixture
def ctx(settings, ledger):
    ctx = Context(settings, ledger, "run-1")
    bring_stars(ctx, 600)
    return ctx


def searched(trials, **changes):
    return make_config(**{
        "search": {"trials": trials, "metric": "crps", "space": SPACE, "seed": 5},
        "params": {"rounds": 60, "threads": 1},
        **changes,
    })  # fmt: skip


def states(ctx):
    with ctx.engine.connect() as connection:
        if not connection.scalar(sa.text("select to_regclass('optuna.trials') is not null")):
            return {}
        return dict(connection.execute(sa.text(STATES)).all())


def test_a_search_killed_in_the_middle_ends_as_an_undisturbed_one(ctx):
    config = searched(14)
    # the pipeline may not read Optuna's schema: the owner is asked
    where = {
        "STELLAR_HOME": str(ctx.settings.home),
        "STELLAR_POSTGRES_URL": ctx.settings.postgres_url.get_secret_value(),
    }
    owner = Context(
        ctx.settings, sa.create_engine(sa.make_url(where["STELLAR_POSTGRES_URL"]).set(drivername="postgresql+psycopg2"))
    )
    content = config.model_dump(mode="json")
    killed = []
    for after in (3, 7):
        child = subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(content)], env=os.environ | where)
        deadline = time.monotonic() + 240
        while states(owner).get("COMPLETE", 0) < after:
            assert child.poll() is None, "the search ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        killed.append(states(owner)["COMPLETE"])
    assert versions.list_versions(ctx.engine) == []
    assert 3 <= killed[0] < killed[1] < 14

    resumed = train(ctx, config)
    assert resumed.outcome == "trained"
    found = states(owner)
    owner.engine.dispose()
    assert found["COMPLETE"] == 14
    assert "RUNNING" not in found
    version = versions.find_version(ctx.engine, resumed.version_key)

    frame = build_frame(ctx, config, resumed.snapshots)
    undisturbed = fit(config, frame.table, ctx.settings.seed).chosen
    assert version.config["chosen"]["params"] == undisturbed.params
    assert version.config["chosen"]["trials"] == undisturbed.to_dict()["trials"]
    assert undisturbed.value == min(one.value for one in undisturbed.trials)

    folder = ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256)
    assert json.loads((folder / "model" / "model.json").read_text())["params"].items() >= undisturbed.params.items()
    assert "Chosen of 14 trials by crps on the validation part" in (folder / "card.md").read_text()
    assert json.loads((folder / "search.json").read_text()) == undisturbed.to_dict()
    assert train(ctx, config).found


def test_the_test_part_has_no_say(ctx):
    config = searched(4)
    frame = build_frame(ctx, config, train(ctx, config).snapshots)
    seed = ctx.settings.seed
    first = fit(config, frame.table, seed)
    at = frame.table.schema.get_field_index("teff_k")
    for part in ("test", "calibration"):
        teff = frame.table["teff_k"].to_numpy().copy()
        rows = first.parts == part
        teff[rows] = np.random.default_rng(1).permutation(teff[rows])
        again = fit(config, frame.table.set_column(at, "teff_k", [teff]), seed)
        assert again.chosen == first.chosen


def test_with_folds_each_fold_is_searched_without_its_examples(ctx):
    config = searched(2, split={"folds": 3}, search={"trials": 2, "metric": "mae", "space": SPACE, "folds": 2})
    result = train(ctx, config)
    version = versions.find_version(ctx.engine, result.version_key)
    assert len(version.config["chosen"]["trials"]) == 2
    owner = sa.create_engine(
        sa.make_url(ctx.settings.postgres_url.get_secret_value()).set(drivername="postgresql+psycopg2")
    )
    with owner.connect() as connection:
        names = set(connection.scalars(sa.text("select study_name from optuna.studies")))
    owner.dispose()
    assert {name.partition(" ")[2] for name in names} == {"all", *(f"without fold 0{k}" for k in (1, 2, 3))}
    assert all(name.startswith(result.version_key) for name in names)
    folder = ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256)
    assert pq.read_table(folder / "test_predictions.parquet").num_rows == 600


def test_more_trials_are_another_version():
    assert searched(4).hash() != searched(5).hash()


def test_the_best_of_equals_is_the_first():
    about = Search.model_validate({"trials": 5, "metric": "accuracy", "space": {"x": {"low": 0, "high": 1}}})
    chosen = TrialStore().search(about, "all", lambda params: 0.5)
    assert chosen.params == chosen.trials[0].params
    best = TrialStore().search(about.model_copy(update={"trials": 30}), "all", lambda params: -abs(params["x"] - 0.3))
    assert abs(best.params["x"] - 0.3) < 0.05
