import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stellar
from stellar.models.keras_checkpoints import LOCK, Checkpoint, content_key, held, remove_abandoned

DAY = 86_400.0

ROWS = {
    "flux": [[1.0, 2.0], None, [], [3.0, None]],
    "flag": [True, None, False, True],
    "name": ["a", None, "b", "c"],
}


def key(table, **about):
    return content_key(about, [(table, table.column_names)], [np.array([1.0, np.nan])])


@settings(deadline=None)
@given(st.integers(0, 4))
def test_key_is_of_the_content_not_of_chunks(cut):
    table = pa.table(ROWS)
    parts = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert key(parts) == key(table)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("flux", [[1.0, 2.0], [], [], [3.0, None]]),
        ("flux", [[1.0], None, [2.0], [3.0, None]]),
        ("flux", [[1.0, 2.5], None, [], [3.0, None]]),
        ("flag", [True, False, False, True]),
        ("name", ["a", "None", "b", "c"]),
    ],
)
def test_key_sees_every_change(column, values):
    assert key(pa.table({**ROWS, column: values})) != key(pa.table(ROWS))


def test_key_sees_settings_and_labels():
    table = pa.table(ROWS)
    assert key(table, seed=1) != key(table, seed=2)
    one, two = (content_key({}, [], [np.array(labels, dtype=object)]) for labels in (["A", None], ["A", "B"]))
    assert one != two


def test_state_comes_back_and_a_damaged_file_is_none(tmp_path, caplog):
    checkpoint = Checkpoint(tmp_path / "deep" / "er", 3)
    assert checkpoint.read() is None
    checkpoint.write({"epoch": 4}, {"state": [np.arange(3), np.float32(2.5)], "best": []})
    about, groups = checkpoint.read()
    assert about == {"epoch": 4}
    assert groups["state"][0].tolist() == [0, 1, 2]
    assert groups["state"][1] == np.float32(2.5)
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["member-3.npz"]
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:40])
    assert checkpoint.read() is None
    assert "starts from its beginning" in caplog.text


def training(folder):
    """A process that keeps a state of a training and then goes on training until it is killed."""
    code = (
        "import time, numpy as np; from pathlib import Path\n"
        "from stellar.models.keras_checkpoints import Checkpoint, held\n"
        f"with held(Path({str(folder)!r})):\n"
        f"    Checkpoint(Path({str(folder)!r}), 0).write({{'epoch': 1}}, {{'state': [np.zeros(1000)]}})\n"
        "    print('kept', flush=True)\n"
        "    time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(stellar.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "kept\n"
    return process


def age(folder, days):
    for one in [*folder.iterdir(), folder]:
        then = one.stat().st_mtime - days * DAY
        os.utime(one, (then, then))


def test_only_what_a_killed_training_left_long_ago_is_removed(tmp_path):
    old, young, running = (tmp_path / "code" / name for name in ("old", "young", "running"))
    processes = {folder: training(folder) for folder in (old, young, running)}
    try:
        for folder in (old, young):
            processes[folder].send_signal(signal.SIGKILL)
            assert processes[folder].wait(60) == -signal.SIGKILL
        age(old, 31)
        age(running, 31)  # of a training that takes more than a month for an epoch
        size = sum(one.stat().st_size for one in old.iterdir())
        assert size > 8000
        assert remove_abandoned(tmp_path, 30 * DAY, dry_run=True) == [(old, size)]
        assert old.exists()
        assert remove_abandoned(tmp_path, 30 * DAY) == [(old, size)]
        assert {one.name for one in (tmp_path / "code").iterdir()} == {"young", "running"}
        assert Checkpoint(young, 0).read()[0] == {"epoch": 1}
        assert processes[running].poll() is None
    finally:
        for process in processes.values():
            process.kill()
            process.wait(60)
    age(young, 31)
    assert {path.name for path, _ in remove_abandoned(tmp_path, 30 * DAY)} == {"young", "running"}
    assert not list(tmp_path.iterdir()), "the folder of a version of the code that holds nothing goes, too"
    assert remove_abandoned(tmp_path / "none", 30 * DAY) == []


def test_two_attempts_hold_one_training_and_each_has_a_folder(tmp_path):
    folder = tmp_path / "code" / "key"
    with held(folder), held(folder):
        age(folder, 31)
        assert remove_abandoned(tmp_path, DAY) == []
    age(folder, 31)
    assert [path for path, _ in remove_abandoned(tmp_path, DAY)] == [folder]
    with held(folder):
        assert (folder / LOCK).exists()


def test_a_training_never_begins_in_a_folder_that_is_being_removed(tmp_path):
    stop = threading.Event()

    def maintain():
        while not stop.is_set():
            remove_abandoned(tmp_path, -1.0)

    keeper = threading.Thread(target=maintain)
    keeper.start()
    try:
        for number in range(200):
            with held(tmp_path / "code" / "key"):
                Checkpoint(tmp_path / "code" / "key", 0).write({"epoch": number}, {})
                assert Checkpoint(tmp_path / "code" / "key", 0).read() == ({"epoch": number}, {})
    finally:
        stop.set()
        keeper.join()


def test_what_older_programs_left_has_no_lock_and_goes_by_age(tmp_path):
    folder = tmp_path / "code" / "key"
    Checkpoint(folder, 0).write({"epoch": 1}, {})
    assert remove_abandoned(tmp_path, DAY) == []
    age(folder, 2)
    assert len(remove_abandoned(tmp_path, DAY)) == 1
    assert not folder.exists()
