"""A training that is killed goes on where it stopped when it is started again."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest

from made_lake import bring_plain
from stellar.engine.context import Context
from stellar.registry import versions
from stellar.training.config import ModelConfig
from stellar.training.evaluate import evaluate
from stellar.training.fit import fit
from stellar.training.frame import build_frame
from stellar.training.train import train

CONFIG = {
    "name": "line",
    "description": "A network of the tests' own",
    "family": "spectra",
    "features": "features.made_spectra",
    "example": "spec_id",
    "on_sky": False,
    "inputs": {"labels": "features.made_spectra"},
    "frame": "select * from features",
    "target": {"name": "kind", "kind": "class", "min_count": 5},
    "columns": ["flux", "ivar", "mask"],
    "architecture": "spectral_cnn",
    "params": {"epochs": 12, "patience": 12, "filters": [8, 8], "kernels": [5, 5], "dense": 8, "batch_size": 16},
    "split": {"fractions": {"train": 0.5, "validation": 0.2, "calibration": 0.15, "test": 0.15}},
    "policy": [{"metric": "accuracy", "op": ">=", "value": 0.1}],
    "min_examples": 50,
    "attributions": ["made by the tests"],
}
CHILD = """
import json, sys
from stellar import flow
from stellar.training.config import ModelConfig
from stellar.training.train import train
with flow.open_context() as ctx:
    train(ctx, ModelConfig.model_validate(json.loads(sys.argv[1])))
"""


def made_spectra(n=400, bins=400):
    random = np.random.default_rng(4)
    kind = random.integers(0, 3, n)
    flux = 1 + random.normal(0, 0.2, (n, bins))
    flux[np.arange(n)[:, None], 60 * (kind + 1)[:, None] + np.arange(6)[None, :]] -= 0.35
    return pa.table(
        {
            "spec_id": [f"spec-{k:04d}" for k in range(n)],
            "object_id": [f"star-{k:04d}" for k in range(n)],
            "kind": np.array(["A", "F", "G"])[kind].tolist(),
            "flux": pa.array(list(flux.astype(np.float32))),
            "ivar": pa.array(list(np.full((n, bins), 25.0, np.float32))),
            "mask": pa.array(list(np.zeros((n, bins), bool))),
        }
    )


@pytest.fixture
def ctx(settings, ledger):
    ctx = Context(settings, ledger)
    bring_plain(ctx, "made_spectra", made_spectra(), "spec_id")
    return ctx


def test_a_training_killed_in_the_middle_ends_with_the_same_figures(ctx):
    config = ModelConfig.model_validate(CONFIG)
    kept = ctx.settings.cache / "training"
    where = {
        "STELLAR_HOME": str(ctx.settings.home),
        "STELLAR_POSTGRES_URL": ctx.settings.postgres_url.get_secret_value(),
    }
    child = subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(CONFIG)], env=os.environ | where)
    deadline = time.monotonic() + 300
    while not list(kept.rglob("member-*.npz")):
        assert child.poll() is None, "the training ended before it had kept anything"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert versions.list_versions(ctx.engine) == []
    resumed = train(ctx, config)
    assert resumed.outcome == "trained"
    assert not list(kept.rglob("member-*.npz")), "a finished training leaves nothing behind"

    frame = build_frame(ctx, config, resumed.snapshots)
    undisturbed = evaluate(config, fit(config, frame.table, ctx.settings.seed), frame.table, ctx.settings.seed)
    for name, figure in undisturbed.figures.items():
        assert resumed.metrics[name].value == pytest.approx(figure.value, abs=1e-6, nan_ok=True), name
    assert undisturbed.figures["accuracy"].value > 0.5
