"""JSON files: written whole, an entry a line, and the same value whatever the depth."""

import json

from hypothesis import given
from hypothesis import strategies as st

from stellar.json_files import as_lines, write_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_lines_say_what_json_says(value):
    assert json.loads(as_lines(value)) == value
    assert as_lines(value) == as_lines(json.loads(as_lines(value)))


def test_keys_that_are_no_text_become_text():
    assert json.loads(as_lines({"a": {1: 2}, "b": 1})) == {"a": {"1": 2}, "b": 1}
    assert json.loads(as_lines({1: {"c": 2}})) == {"1": {"c": 2}}


def test_each_entry_has_a_line():
    text = as_lines({"rows": [{"b": 1, "a": [2, 3]}, {}], "about": {"key": "x"}, "none": [], "n": 1})
    assert text.splitlines() == [
        "{",
        ' "about": {',
        '  "key": "x"',
        " },",
        ' "n": 1,',
        ' "none": [],',
        ' "rows": [',
        '  {"a": [2, 3], "b": 1},',
        "  {}",
        " ]",
        "}",
    ]


def test_a_file_is_replaced_whole_and_only_when_it_says_something_else(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_json(path, {"n": 1})
    first = path.stat().st_ino
    write_json(path, {"n": 1})
    assert path.stat().st_ino == first
    write_json(path, {"n": 2})
    assert (json.loads(path.read_text()), [one.name for one in path.parent.iterdir()]) == ({"n": 2}, ["b.json"])
