"""Rows of one star as one: every point comes along as it is, nulls and large integers, too."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.features.segments import in_segments

ROLES = {"time": "time", "value": "flux", "quality": "quality"}
POINT = st.tuples(
    st.floats(0, 100), st.one_of(st.none(), st.floats(-1, 1)), st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
)


def table(rows):
    lists = [[[point[at] for point in points] for _, points in rows] for at in range(3)]
    return pa.table(
        {
            "lc_id": [f"tic-{star}-s{number}" for number, (star, _) in enumerate(rows)],
            "time": pa.array(lists[0], pa.list_(pa.float64())),
            "flux": pa.array(lists[1], pa.list_(pa.float32())),
            "quality": pa.array(lists[2], pa.list_(pa.int64())),
        }
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.lists(POINT, max_size=4)), max_size=6))
def test_points_are_put_together_as_they_are(rows):
    given_ = table(rows)
    stars = pa.chunked_array([pa.array([str(star) for star, _ in rows], pa.string())])
    made, objects = in_segments(given_, stars, ROLES)
    assert made.schema.field("quality").type == pa.list_(pa.int64())
    parts = {row["lc_id"]: row for row in given_.to_pylist()}
    seen = []
    for row, star in zip(made.to_pylist(), objects.to_pylist(), strict=True):
        curves = row["segment_lc_id"] or [row["lc_id"]]
        seen += curves
        assert {parts[one]["lc_id"].split("-")[1] for one in curves} == {star}
        for name in ROLES.values():
            assert row[name] == [value for one in curves for value in parts[one][name]]
        wanted = [number for number, one in enumerate(curves) for _ in parts[one]["time"]]
        assert row["segment"] == (wanted if len(curves) > 1 else None)
    assert sorted(seen) == sorted(parts)


def test_flags_with_a_null_among_them_stay_integers():
    rows = table([(1, [(1.0, 1.0, 2**53 + 1), (2.0, 1.0, None)]), (1, [(3.0, None, 7)])])
    (row,) = in_segments(rows, pa.chunked_array([["a", "a"]]), ROLES)[0].to_pylist()
    assert row["quality"] == [2**53 + 1, None, 7] and row["flux"] == [1.0, 1.0, None]
    assert row["segment_lc_id"] == ["tic-1-s0", "tic-1-s1"] and row["lc_id"] == "tic-1-s0+s1"
    # a list that is null stays so where it stands alone
    rows = rows.slice(0, 1).set_column(2, "flux", pa.array([None], pa.list_(pa.float32())))
    (row,) = in_segments(rows, pa.chunked_array([["a"]]), ROLES)[0].to_pylist()
    assert row["flux"] is None
