"""VOTables as written are what astropy reads."""

import io
import math

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import parse_single_table
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.serving import votable
from stellar.serving.results import Column, plain, typed

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), max_codepoint=0xFFFF), max_size=8).map(
    str.strip
)
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.integers(-(2**15), 2**15 - 1),
        st.none() | st.floats(allow_nan=False, width=64),
        st.none() | st.floats(allow_nan=False, width=32),
        TEXT.filter(bool),
        st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=12,
)
SCHEMA = pa.schema(
    [
        ("a", pa.int64()),
        ("b", pa.int16()),
        ("c", pa.float64()),
        ("d", pa.float32()),
        ("e", pa.string()),
        ("f", pa.bool_()),
    ]
)


def read(batches, schema, binary, columns=None):
    columns = columns or [typed(Column(field.name), field.type) for field in schema]
    pieces = [
        *votable.document(columns, plain(batches, schema), [("QUERY", "a < b & c")], binary=binary),
        votable.tail(False),
    ]
    return parse_single_table(io.BytesIO(b"".join(pieces)))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.booleans(), st.integers(1, 5))
def test_rows_come_back(rows, binary, size):
    table = pa.Table.from_arrays(
        [pa.array(list(column), field.type) for column, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)],
        schema=SCHEMA,
    )
    found = read(table.to_batches(max_chunksize=size), SCHEMA, binary).to_table()
    for k, name in enumerate("abcde"):
        for one, row in zip(np.ma.asarray(found[name]).tolist(), rows, strict=True):
            expected = row[k]
            if expected is None:
                assert one is None or math.isnan(one)
            else:
                assert one == expected


def test_a_fixed_array_has_no_length_before_it():
    column = Column("p", datatype="double", arraysize="2", xtype="point")
    batch = pa.record_batch({"p": pa.array([[1.0, 2.0], [3.0, 4.0]]), "n": pa.array([1, 2], pa.int32())})
    found = read([batch], batch.schema, True, [column, Column("n", datatype="int")]).array
    np.testing.assert_array_equal(found["p"].data, [[1, 2], [3, 4]])
    assert list(found["n"]) == [1, 2]


@pytest.mark.parametrize("binary", [True, False])
def test_infinities_times_and_decimals(binary):
    import datetime
    from decimal import Decimal

    batch = pa.record_batch(
        {
            "x": pa.array([math.inf, -math.inf, math.nan]),
            "t": pa.array([datetime.datetime(2020, 1, 2, 3, 4, 5, 600_000)] * 3, pa.timestamp("us")),
            "s": pa.array([Decimal(5), None, Decimal(-7)], pa.decimal128(38, 0)),
        }
    )
    table = read([batch], batch.schema, binary)
    assert table.array["x"].data[:2].tolist() == [math.inf, -math.inf] and math.isnan(table.array["x"].data[2])
    assert str(table.array["t"][0]).startswith("2020-01-02T03:04:05.6")
    assert table.get_field_by_id_or_name("t").xtype == "timestamp"
    assert table.array["s"].tolist() == [5, None, -7]


def test_an_error_is_escaped():
    assert b"a &lt; b &amp; c" in votable.error_document("a < b & c\x00")


@pytest.mark.parametrize("binary", [True, False])
def test_a_null_in_a_list_keeps_its_place(binary):
    lists = pa.array([[1.5, None, math.inf], None, [], [0.1, -math.inf]])
    found = read(
        [pa.record_batch({"x": lists}).slice(0, 2), pa.record_batch({"x": lists}).slice(2)],
        pa.schema({"x": lists.type}),
        binary,
    )
    shown = [[x if x == x else None for x in np.ma.filled(row, math.nan).tolist()] for row in found.array["x"]]
    assert shown == [[1.5, None, math.inf], [], [], [0.1, -math.inf]]
