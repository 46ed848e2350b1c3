"""Hashes of ids: the same everywhere, whatever arrays the ids come in."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.lake.hashes import hash64

MASK = (1 << 64) - 1


def mixed(x: int) -> int:
    """SplitMix64's finalizer in Python's own integers."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def chained(value: bytes) -> int:
    found = mixed(len(value))
    for first in range(0, len(value), 8):
        found = mixed(found ^ int.from_bytes(value[first : first + 8], "little"))
    return found


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers(values):
    assert hash64(pa.array(values, pa.int64())).tolist() == [mixed(value & MASK) for value in values]


@given(st.lists(st.text(max_size=30)), st.integers(0, 3))
def test_strings_wherever_they_are_cut(values, skipped):
    expected = [chained(value.encode()) for value in values]
    ids = pa.array(values, pa.string())
    for type_ in (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()):
        assert hash64(ids.cast(type_)).tolist() == expected
    assert hash64(ids.dictionary_encode()).tolist() == expected
    assert hash64(ids.slice(skipped)).tolist() == expected[skipped:]
    assert hash64(pa.chunked_array([ids.slice(0, skipped), ids.slice(skipped)])).tolist() == expected


def test_an_integer_has_one_hash_in_columns_of_all_widths():
    for type_ in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64()):
        assert hash64(pa.array([0, 7, 100], type_)).tolist() == [mixed(0), mixed(7), mixed(100)]
    assert hash64(pa.array([-5], pa.int16())).tolist() == [mixed(-5 & MASK)]
    assert hash64(pa.array([2**64 - 1], pa.uint64())).tolist() == [mixed(MASK)]


def test_nulls_and_nothing():
    assert len(hash64(pa.array([None, 1], pa.int64()))) == 2 and len(hash64(pa.array([None, "a"]))) == 2
    assert hash64(pa.array([], pa.string())).dtype == hash64(pa.chunked_array([], pa.int64())).dtype == np.uint64


def test_other_types_are_refused():
    with pytest.raises(InputError, match="integers or strings, these are double"):
        hash64(pa.array([1.5]))
