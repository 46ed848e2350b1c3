"""A training that is killed goes on where it stopped, and ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stellar
from stellar.models import create
from stellar.models.keras_checkpoints import Checkpoint
from stellar.models.keras_inputs import Spectra
from stellar.models.keras_training import Training

PARAMS = {
    "filters": [4, 8],
    "kernels": [5, 3],
    "dense": 8,
    "epochs": 4,
    "batch_size": 16,
    "members": 2,
    "augment": {},
    "threads": 2,
}


def examples(n=80, bins=40, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    flux = 1 + 0.05 * rng.normal(size=(n, bins))
    flux[:, 20:24] -= 0.4 * kind[:, None]
    columns = {
        "flux": pa.array(flux.tolist(), pa.list_(pa.float32())),
        "ivar": pa.array(np.full((n, bins), 400.0).tolist(), pa.list_(pa.float32())),
        "mask": pa.array(np.zeros((n, bins), bool).tolist(), pa.list_(pa.bool_())),
    }
    return pa.table(columns), np.array(["A", "B"])[kind]


def train(checkpoints: Path | None, seed: int = 3):
    table, labels = examples()
    model = create("spectral_cnn", features=["flux", "ivar", "mask"], **PARAMS)
    model.checkpoints = checkpoints
    return model.fit(table, labels, validation=examples(30, seed=1), seed=seed)


def die_after(states: int, batches: int) -> None:
    """Let this process kill itself in the middle of the epoch after so many were kept."""
    written, seen = [], []
    write, batch = Checkpoint.write, Spectra.batch

    def counted_write(self, about, groups):
        write(self, about, groups)
        written.append(1)

    def counted_batch(self, rows, rng=None):
        if len(written) == states:
            seen.append(1)
            if len(seen) > batches:
                os.kill(os.getpid(), signal.SIGKILL)
        return batch(self, rows, rng)

    Checkpoint.write, Spectra.batch = counted_write, counted_batch


@pytest.fixture(scope="module")
def whole():
    return train(None)


def test_killed_training_goes_on_and_ends_the_same(whole, tmp_path, monkeypatch):
    # the first member takes four epochs, so this dies within the third epoch of the second
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path; import test_keras_training as t\n"
        f"t.die_after(6, 2); t.train(Path({str(tmp_path)!r}))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(stellar.__file__).parents[1])}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=300, check=False)
    assert found.returncode == -signal.SIGKILL, found.stderr.decode()
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "member-0.npz", "member-1.npz"]

    done = []
    epoch = Training._epoch

    def counted(self, examples, rows, labels, number):
        done.append((self.seed, number))
        return epoch(self, examples, rows, labels, number)

    monkeypatch.setattr(Training, "_epoch", counted)
    resumed = train(tmp_path)
    assert [number for _, number in done] == [2, 3]
    assert {seed for seed, _ in done} != {3}
    assert resumed.history == whole.history
    table, _ = examples(50, seed=2)
    assert (resumed.predict_proba(table) == whole.predict_proba(table)).all()
    assert not list(tmp_path.iterdir())


def test_another_seed_does_not_take_up_a_checkpoint(whole, tmp_path, monkeypatch):
    def stop(self, about, groups):
        write(self, about, groups)
        raise KeyboardInterrupt

    write = Checkpoint.write
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, seed=4)
    assert len(list(tmp_path.iterdir())) == 1
    again = train(tmp_path, seed=3)
    assert again.history == whole.history
    assert len(list(tmp_path.iterdir())) == 1  # the other training's is left for it


def test_checkpoints_change_nothing(whole, tmp_path):
    kept = train(tmp_path)
    table, _ = examples(50, seed=2)
    assert (kept.predict_proba(table) == whole.predict_proba(table)).all()


def test_members_of_an_ensemble_differ(whole):
    table, _ = examples(50, seed=2)
    one, two = whole._samples(table, "target")
    assert np.abs(one - two).max() > 1e-3
