"""Text to types: what can be read is, what cannot is named, and no digit of an id is lost."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.surveys.readers.parse import to_type


def parsed(values: list, target: pa.DataType, source: pa.DataType | None = None) -> tuple[list, list]:
    array, bad = to_type(pa.array(values, source), target)
    assert array.type == target
    return array.to_pylist(), bad.tolist()


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_integers_survive_text(values: list[int | None]) -> None:
    texts = [None if v is None else f" {v} " for v in values]
    assert parsed(texts, pa.int64(), pa.string()) == (values, [False] * len(values))


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False)))
def test_floats_survive_text(values: list[float]) -> None:
    assert parsed([repr(v) for v in values], pa.float64(), pa.string()) == (values, [False] * len(values))


@pytest.mark.parametrize(
    ("text", "target", "value", "bad"),
    [
        ("1.24E+18", pa.int64(), None, True),
        ("9223372036854775808", pa.int64(), None, True),
        ("5.0", pa.int64(), 5, False),
        ("5.5", pa.int64(), None, True),
        ("+7", pa.int64(), 7, False),
        ("nan", pa.int64(), None, False),
        ("1.5D+02", pa.float64(), 150.0, False),
        ("+1e3", pa.float64(), 1000.0, False),
        (".5", pa.float64(), 0.5, False),
        ("12:30", pa.float64(), None, True),
        ("", pa.float64(), None, False),
        ("null", pa.string(), None, False),
        (" a ", pa.string(), "a", False),
        ("T", pa.bool_(), True, False),
        ("0", pa.bool_(), False, False),
        ("maybe", pa.bool_(), None, True),
    ],
)
def test_dialects_of_a_cell(text: str, target: pa.DataType, value: object, bad: bool) -> None:
    assert parsed([text], target) == ([value], [bad])


def test_floats_become_integers_only_when_exact() -> None:
    assert parsed([1.0, 1.5, 2.0**60, float("nan"), None], pa.int64()) == (
        [1, None, None, None, None],
        [False, True, True, False, False],
    )


def test_numbers_become_truth_and_narrower_types_are_checked() -> None:
    assert parsed([1, 0, None], pa.bool_()) == ([True, False, None], [False] * 3)
    assert parsed([1, 2**40], pa.int32()) == ([1, None], [False, True])


def test_what_has_no_meaning_is_bad_not_an_error() -> None:
    assert parsed([[1.0], None], pa.float64()) == ([None, None], [True, False])


def test_bytes_that_are_no_text_are_replaced() -> None:
    raw = pa.array([b" a\xff\xfeb ", b"c", None])
    text = pa.StringArray.from_buffers(len(raw), *raw.buffers()[1:], raw.buffers()[0])
    for array in (raw, text):
        found, bad = to_type(array, pa.string())
        found.validate(full=True)
        assert (found.to_pylist(), bad.tolist()) == (["a\ufffd\ufffdb", "c", None], [False] * 3)
