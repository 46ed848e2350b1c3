import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.models.keras_checkpoints import Checkpoint, content_key

ROWS = {
    "flux": [[1.0, 2.0], None, [], [3.0, None]],
    "flag": [True, None, False, True],
    "name": ["a", None, "b", "c"],
}


def key(table, **about):
    return content_key(about, [(table, table.column_names)], [np.array([1.0, np.nan])])


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
