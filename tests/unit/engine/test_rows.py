import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.engine.rows import bucket_of, rows_hash
from stellar.errors import InputError

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("name", pa.string()),
        ("flux", pa.list_(pa.float32())),
        ("good", pa.bool_()),
        ("mag", pa.float64()),
    ]
)
row = st.fixed_dictionaries(
    {
        "id": st.none() | st.integers(-(2**62), 2**62),
        "name": st.none() | st.text(max_size=5),
        "flux": st.none() | st.lists(st.none() | st.floats(width=32, allow_nan=False), max_size=3),
        "good": st.none() | st.booleans(),
        "mag": st.none() | st.floats(allow_nan=False),
    }
)
rows = st.lists(row, max_size=12)


@settings(deadline=None)
@given(rows, st.integers(0, 12))
def test_chunks_and_slices_make_no_difference(values, cut):
    table = pa.Table.from_pylist(values, SCHEMA)
    chunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    longer = pa.concat_tables([table, table]).combine_chunks().slice(0, len(values))
    assert rows_hash(chunked) == rows_hash(table) == rows_hash(longer)


@settings(deadline=None)
@given(rows, rows)
def test_equal_rows_and_only_those_have_equal_hashes(left, right):
    one, other = (pa.Table.from_pylist(values, SCHEMA) for values in (left, right))
    assert (rows_hash(one) == rows_hash(other)) == (repr(one.to_pylist()) == repr(other.to_pylist()))


def test_what_lies_under_a_null_makes_no_difference():
    bytes_ = np.array([1.0, 7.0])
    dirty = pa.Array.from_buffers(pa.float64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(bytes_)])
    assert rows_hash(pa.table({"a": dirty})) == rows_hash(pa.table({"a": pa.array([1.0, None])}))


def test_a_type_counts():
    assert rows_hash(pa.table({"a": pa.array([1], pa.int64())})) != rows_hash(
        pa.table({"a": pa.array([1], pa.int32())})
    )


def test_strange_types_are_refused():
    with pytest.raises(InputError, match="map"):
        rows_hash(pa.table({"a": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}))


@settings(deadline=None)
@given(st.lists(st.none() | st.text(), max_size=50), st.sampled_from([1, 2, 8, 64]))
def test_every_id_has_one_bucket(ids, buckets):
    found = bucket_of(pa.array(ids, pa.string()), buckets)
    assert ((found >= 0) & (found < buckets)).all()
    alone = [bucket_of(pa.array([one], pa.string()), buckets)[0] for one in ids]
    assert found.tolist() == [int(one) for one in alone]


def test_buckets_are_filled_evenly_and_do_not_move():
    found = bucket_of(pa.array(range(80_000)), 8)
    counts = np.bincount(found, minlength=8)
    assert counts.min() > 9_000
    assert bucket_of(pa.array(["spec-0266-51602-0001", "tic-1"]), 16).tolist() == [8, 13]
