import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.features.ragged import list_column, ragged


def test_rows_of_a_sliced_chunked_column_with_nulls():
    one = pa.array([[9.0], [1.0, None], None], pa.list_(pa.float32())).slice(1)
    two = pa.array([[], [2.0, 3.0, 4.0]], pa.list_(pa.float32()))
    found = ragged(pa.table({"v": pa.chunked_array([one, two])}), "v", np.float64)
    assert found.lengths.tolist() == [2, 0, 0, 3]
    np.testing.assert_array_equal(found[0], [1.0, np.nan])
    assert found[3].tolist() == [2.0, 3.0, 4.0]
    assert len(ragged(pa.table({"v": pa.chunked_array([], two.type)}), "v", np.float64)) == 0


def test_refusals():
    table = pa.table({"v": pa.array([[1, None]], pa.list_(pa.int32()))})
    with pytest.raises(InputError, match="nulls among its integers"):
        ragged(table, "v", np.int64)
    with pytest.raises(InputError, match="lacks list column w"):
        ragged(table, "w", np.int64)


def test_list_column_round_trip():
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    table = pa.table({"v": list_column(matrix, pa.float32())})
    assert table["v"].to_pylist() == matrix.tolist()
