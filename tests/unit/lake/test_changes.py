"""What changed between two tables, beside a reference in Python that knows no SQL."""

import math
import struct
from collections import Counter

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stellar.lake.changes import changed_columns, changes_sql
from stellar.lake.hats import finish_plain
from stellar.lake.read import Catalog

SCHEMA = pa.schema(
    [("id", pa.int64()), ("x", pa.float64()), ("s", pa.string()), ("l", pa.list_(pa.float64())), ("b", pa.bool_())]
)
number = st.one_of(st.none(), st.floats(width=64), st.sampled_from([0.0, -0.0, math.nan, math.inf, 1e-320]))
row = st.fixed_dictionaries(
    {"x": number, "s": st.one_of(st.none(), st.text("ab'\"", max_size=2)), "b": st.one_of(st.none(), st.booleans()),
     "l": st.one_of(st.none(), st.lists(number, max_size=2))}
)  # fmt: skip
tables = st.dictionaries(st.integers(0, 8), row, max_size=8)


def bits(value):
    """Something that is equal when the values are the same."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    return tuple(map(bits, value)) if isinstance(value, list) else value


def stored(folder, rows, parts=3):
    """A plain dataset: `rows` (id -> values) in files by id; its catalogue and file -> content."""
    files = {}
    for part in range(parts):
        mine = [{"id": key, **values} for key, values in sorted(rows.items()) if key % parts == part]
        file = folder / "dataset" / f"bucket={part:03}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(mine, SCHEMA), file)
        files[file] = repr(mine)
    finish_plain(folder, SCHEMA)
    return Catalog(folder), files


def found(old, new, old_files, new_files):
    with duckdb.connect() as connection:
        return connection.execute(changes_sql(old, new, old_files, new_files, "id")).fetchall()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables, tables, st.booleans())
@example({1: {"x": 0.0, "s": None, "l": [0.0], "b": None}}, {1: {"x": -0.0, "s": "", "l": [-0.0], "b": False}}, True)
@example(
    {1: {"x": math.nan, "s": "", "l": [math.nan], "b": None}},
    {1: {"x": math.nan, "s": "", "l": None, "b": None}},
    False,
)
def test_changes_are_those_of_the_reference(tmp_path_factory, before, after, alike):
    if alike:
        after = {**before, **dict(list(after.items())[:2])}
    folder = tmp_path_factory.mktemp("two")
    (old, old_files), (new, new_files) = stored(folder / "old", before), stored(folder / "new", after)
    same = {a.name for a in old_files for b in new_files if a.name == b.name and old_files[a] == new_files[b]}
    rows = found(old, new, [f for f in old_files if f.name not in same], [f for f in new_files if f.name not in same])
    expected = Counter(
        [("added", str(key), None) for key in after.keys() - before.keys()]
        + [("removed", str(key), None) for key in before.keys() - after.keys()]
        + [
            ("changed", str(key), name)
            for key in before.keys() & after.keys()
            for name in SCHEMA.names[1:]
            if bits(before[key][name]) != bits(after[key][name])
        ]
    )
    assert Counter(one[:3] for one in rows) == expected
    for change, key, name, was, now in rows:
        if change == "changed" and name == "s":
            assert (was, now) == (before[int(key)]["s"], after[int(key)]["s"])
        elif change == "changed" and name == "x":
            told = [None if value is None else bits(float(value)) for value in (was, now)]
            assert told == [None if (value := side[int(key)]["x"]) is None else bits(value) for side in (before, after)]
        elif change != "changed":
            assert was is None and now is None


def test_rows_that_share_an_id_and_rows_without_one(tmp_path):
    schema = pa.schema([("id", pa.string()), ("x", pa.int64())])
    sides = []
    for name, rows in (("old", [("a", 1), ("a", 2), (None, 3)]), ("new", [("a", 2), ("a", 1), ("a", 9), (None, 4)])):
        file = tmp_path / name / "dataset" / "bucket=000.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(pa.table(list(zip(*rows, strict=True)), schema=schema), file)
        finish_plain(tmp_path / name, schema)
        sides.append((Catalog(tmp_path / name), [file]))
    (old, old_files), (new, new_files) = sides
    assert found(old, old, old_files, old_files) == []
    told = Counter((change, key) for change, key, *_ in found(old, new, old_files, new_files))
    assert told["added", "a"] == 1 and told["changed", None] == 1 and not {one for one in told if one[0] == "removed"}


def test_other_columns_and_types():
    old = pa.schema([("id", pa.int64()), ("a", pa.int32()), ("b", pa.string())])
    new = pa.schema([("id", pa.int64()), ("a", pa.float64()), ("c", pa.string())])
    assert changed_columns(old, new) == {"added": ["c"], "removed": ["b"], "retyped": ["a"]}


@pytest.mark.parametrize(
    ("old", "new", "count"), [(pa.int32(), pa.int64(), 0), (pa.int32(), pa.string(), 0), (pa.int64(), pa.float64(), 1)]
)
def test_a_column_of_another_type_is_compared_as_text(tmp_path, old, new, count):
    sides = []
    for name, type_ in (("old", old), ("new", new)):
        schema = pa.schema([("id", pa.int64()), ("a", type_)])
        file = tmp_path / name / "dataset" / "bucket=000.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(pa.table({"id": [1], "a": pa.array([7]).cast(type_)}, schema), file)
        finish_plain(tmp_path / name, schema)
        sides.append((Catalog(tmp_path / name), [file]))
    (first, first_files), (second, second_files) = sides
    assert len(found(first, second, first_files, second_files)) == count
