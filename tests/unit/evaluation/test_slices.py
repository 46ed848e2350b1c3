import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.evaluation.slices import slice_metrics, slice_rows


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(), st.floats(-5, 40)), max_size=80))
def test_slices_hold_every_row_once(values):
    rows = [row for _, mine in slice_rows(np.array(values, float), (0, 10, 20)) for row in mine.tolist()]
    assert sorted(rows) == list(range(len(values)))


def test_edges_are_half_open_and_the_rest_is_named():
    found = dict(slice_rows(np.array([0, 10, 19.9, 20, -1, np.nan]), (0, 10, 20)))
    assert {label: rows.tolist() for label, rows in found.items()} == {
        "[0, 10)": [0],
        "[10, 20)": [1, 2],
        "outside": [3, 4],
        "missing": [5],
    }


def test_small_slices_are_counted_but_not_judged():
    magnitude = np.concatenate([np.full(30, 13.0), np.full(3, 17.0)])
    found = slice_metrics(lambda rows: {"n_seen": len(rows)}, {"magnitude": magnitude})
    assert [(s["range"], s["n"], s["metrics"]) for s in found] == [
        ("[12, 14)", 30, {"n_seen": 30}),
        ("[16, 18)", 3, None),
    ]
    with pytest.raises(InputError, match="slice colour has no edges"):
        slice_metrics(lambda rows: {}, {"colour": magnitude})
    with pytest.raises(InputError, match="increase"):
        slice_rows(magnitude, (3, 1))
