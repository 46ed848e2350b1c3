import pyarrow as pa

from stellar.engine.step import PartitionInput
from stellar.features.objects import object_ids


def test_only_this_surveys_claims_count_and_the_rest_is_null():
    rows = pa.table({"object_id": ["gaia-1", "gaia-2"], "survey": ["tess", "labels"], "survey_id": ["a", "b"]})
    margin = pa.table({"object_id": ["gaia-3"], "survey": ["tess"], "survey_id": ["c"]})
    ids = pa.chunked_array([["c", "b"], ["a"]])
    assert object_ids(ids, "tess", PartitionInput(rows, margin)).to_pylist() == ["gaia-3", None, "gaia-1"]
    empty = pa.table({})
    assert object_ids(ids, "tess", PartitionInput(empty, empty, absent=True)).to_pylist() == [None] * 3
