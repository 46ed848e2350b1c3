"""The order of rows that share their id does not depend on what else is installed or imported."""

import subprocess
import sys

import pyarrow as pa
import pytest

from stellar.lake.canonical import canonical

WITHOUT_PANDAS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import pyarrow as pa
from stellar.lake.canonical import canonical

times = pa.array([[one] for one in NANOSECONDS], pa.list_(pa.timestamp("ns")))
found = canonical(pa.table({"id": [1, 1], "at": times}), id_column="id", sky=False)
print(found["at"].cast(pa.list_(pa.int64())).to_pylist())
"""


@pytest.mark.parametrize("nanoseconds", [[10_000_000_000, 9_000_000_000], [1_001, 1_000]])
def test_equal_ids_are_ordered_by_nested_times_with_or_without_pandas(nanoseconds):
    times = pa.array([[one] for one in nanoseconds], pa.list_(pa.timestamp("ns")))
    both = [pa.table({"id": [1, 1], "at": times.take(pa.array(order))}) for order in ([0, 1], [1, 0])]
    first, second = (canonical(one, id_column="id", sky=False) for one in both)
    assert first == second
    script = WITHOUT_PANDAS.replace("NANOSECONDS", str(nanoseconds))
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(first["at"].cast(pa.list_(pa.int64())).to_pylist())
