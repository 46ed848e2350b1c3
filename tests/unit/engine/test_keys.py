import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.engine.keys import canonical_json, content_hash, digest
from stellar.errors import InputError

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


def shuffled(value, random):
    if isinstance(value, dict):
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key], random) for key in keys}
    return [shuffled(one, random) for one in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(values, st.randoms(use_true_random=False))
def test_order_of_keys_makes_no_difference(value, random):
    assert canonical_json(shuffled(value, random)) == canonical_json(value)


@settings(deadline=None)
@given(values)
def test_text_is_ascii_json_of_an_equal_value(value):
    text = canonical_json(value)
    assert text.isascii()
    assert json.loads(text) == value


@settings(deadline=None)
@given(values)
def test_canonical_json_of_its_own_text_is_the_same(value):
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


@settings(deadline=None)
@given(values, values)
def test_different_values_have_different_keys(left, right):
    assert (digest(left) == digest(right)) == (canonical_json(left) == canonical_json(right))


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (-0.0, 0), ((1, 2), [1, 2]), ({"a": 2.0}, {"a": 2})])
def test_two_ways_of_writing_one_parameter(one, other):
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), ("1", 1), ([], {}), (None, "null"), (0.1, 0.10000001)]
)
def test_what_only_looks_alike(one, other):
    assert digest(one) != digest(other)


@pytest.mark.parametrize("bad", [math.nan, math.inf, {1: "a"}, {"a": {2, 3}}, b"x", object()])
def test_what_is_no_json_is_refused_and_located(bad):
    with pytest.raises(InputError, match=r"params\.steps\[1\]"):
        digest({"steps": [0, bad]})


def test_a_known_digest_does_not_move():
    assert canonical_json({"b": [1, 2.5, None], "a": "Å"}) == '{"a":"\\u00c5","b":[1,2.5,null]}'
    assert digest({"b": [1, 2.5, None], "a": "Å"}) == "b3dc33c021686e91bb67706ee2a5086337745fbb4b1b165f1d5cb1406baf309b"


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)), st.randoms())
def test_content_hash_depends_on_names_and_hashes_only(files, random):
    pairs = list(files.items())
    expected = content_hash(pairs)
    random.shuffle(pairs)
    assert content_hash(pairs) == expected
    assert content_hash([*pairs, ("one more", "0" * 64)]) != expected
