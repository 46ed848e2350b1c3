"""Numbers go between NumPy and Arrow and stay what they are."""

import numpy as np
import pyarrow as pa
import pytest

from stellar.lake.arrays import to_arrow, to_numpy


@pytest.mark.parametrize("type_", [np.int8, np.uint16, np.int32, np.int64, np.uint64, np.float32, np.float64])
def test_there_and_back(type_):
    values = np.arange(10).astype(type_)
    for some in (values, values[::2], values[:0]):
        there = to_arrow(some)
        assert there.equals(pa.array(some))
        assert to_numpy(there).dtype == type_ and (to_numpy(there) == some).all()
    assert (to_numpy(pa.chunked_array([pa.array(values[:3]), pa.array(values[3:])])) == values).all()
    assert (to_numpy(pa.array(values).slice(4)) == values[4:]).all()
    assert len(to_numpy(pa.chunked_array([], to_arrow(values).type))) == 0


def test_null_is_nan():
    for column in (pa.array([1.5, None]), pa.chunked_array([[1.5], [None]]), pa.array([1, None]).cast(pa.float64())):
        assert np.isnan(to_numpy(column)[1]) and to_numpy(column)[0] in (1.0, 1.5)
