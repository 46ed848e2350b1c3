import json

import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError, IntegrityError
from stellar.models import Quantiles, create, load_model
from stellar.models.base import encode_labels, labels_of, numeric_matrix


def test_quantiles_between_and_beyond_levels():
    q = Quantiles(np.array([0.1, 0.5, 0.9]), np.array([[0.0, 10.0, 30.0], [1.0, 1.0, 1.0]]))
    assert q.median.tolist() == [10.0, 1.0]
    assert q.at(0.3).tolist() == pytest.approx([5.0, 1.0])
    assert q.at(0.01).tolist() == [0.0, 1.0]
    low, high = q.interval(0.2)
    assert (low.tolist(), high.tolist()) == ([0.0, 1.0], [30.0, 1.0])


def test_numeric_matrix_keeps_missing_as_nan():
    table = pa.table(
        {"a": [1, None, 3], "b": [0.5, float("inf"), None], "c": [True, False, None], "s": ["x", "y", "z"]}
    )
    matrix = numeric_matrix(table, ["b", "a", "c"])
    np.testing.assert_array_equal(
        matrix, np.array([[0.5, 1, 1], [np.nan, np.nan, 0], [np.nan, 3, np.nan]], dtype=np.float32)
    )
    with pytest.raises(InputError, match="lacks column d"):
        numeric_matrix(table, ["a", "d"])
    with pytest.raises(InputError, match="column s is string"):
        numeric_matrix(table, ["s"])


def test_encode_labels_sorts_and_marks_missing():
    codes, names = encode_labels(np.array(["K", None, "A", float("nan"), "K"], dtype=object))
    assert names == ("A", "K")
    assert codes.tolist() == [1, -1, 0, -1, 1]
    assert encode_labels(np.array(["M", "K"]), names)[0].tolist() == [-1, 1]


def test_unknown_architecture_and_parameter_are_named():
    with pytest.raises(InputError, match=r"nonsense.*xgb_classifier"):
        create("nonsense", features=["a"])
    with pytest.raises(InputError, match=r"unknown parameter depth; known are .*max_depth"):
        create("xgb_classifier", features=["a"], depth=3)
    with pytest.raises(InputError, match="features"):
        create("xgb_classifier", features=[])


def test_load_refuses_what_is_no_model(tmp_path):
    with pytest.raises(IntegrityError, match="not a saved model"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(IntegrityError, match="format 99"):
        load_model(tmp_path)


def test_labels_of_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="lack target b"):
        labels_of({"a": [1]}, "b", ["a", "b"], 1)
    with pytest.raises(InputError, match="mapping"):
        labels_of(np.array([1]), "a", ["a", "b"], 1)
    with pytest.raises(InputError, match="2 labels for 3 rows"):
        labels_of(np.array([1, 2]), "a", ["a"], 3)
