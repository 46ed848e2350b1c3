"""Reading parts of staged batches: slices of chunks by exact reads, whatever the types of the columns."""

import hashlib
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.engine.parts import Batches, Part, add_rows
from stellar.errors import IntegrityError
from stellar.json_files import write_json

INDEX = "_healpix_29"
TEXT, NUMBERS = st.text(max_size=3), st.integers(0, 9)
PAIRS = st.dictionaries(TEXT, NUMBERS, max_size=3).map(lambda one: list(one.items()))
RECORDS = st.fixed_dictionaries({"flag": st.booleans() | st.none(), "name": TEXT | st.none()})
RECORD = pa.struct([("flag", pa.bool_()), ("name", pa.string())])
TYPES = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.float32(), st.floats(width=32, allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), TEXT),
    (pa.binary(), st.binary(max_size=4)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.decimal128(9, 2), st.integers(-9999, 9999).map(lambda n: Decimal(n) / 100)),
    (pa.date32(), st.dates()),
    (pa.null(), st.none()),
    (pa.list_(pa.field("element", pa.float64())), st.lists(st.floats(allow_nan=False) | st.none(), max_size=4)),
    (pa.list_(pa.field("element", pa.string())), st.lists(TEXT | st.none(), max_size=3)),
    (pa.list_(pa.field("element", pa.bool_())), st.lists(st.booleans() | st.none(), max_size=11)),
    (pa.list_(pa.list_(pa.int16())), st.lists(st.lists(NUMBERS, max_size=3) | st.none(), max_size=3)),
    (RECORD, RECORDS),
    (pa.list_(RECORD), st.lists(RECORDS | st.none(), max_size=3)),
    (pa.struct([("all", pa.list_(pa.int8()))]), st.fixed_dictionaries({"all": st.lists(NUMBERS, max_size=3)})),
    (pa.map_(pa.string(), pa.int32()), PAIRS),
]


@st.composite
def chunks(draw):
    """Some sorted chunks of one schema; columns of many types, with nulls and without."""
    kinds = draw(st.lists(st.sampled_from(draw(st.sampled_from([TYPES, TYPES[:3]]))), min_size=1, max_size=4))
    nullable = draw(st.booleans())
    schema = pa.schema([(INDEX, pa.int64()), *((f"c{n}", type_) for n, (type_, _) in enumerate(kinds))])
    found = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, 30))
        index = sorted(draw(st.lists(st.integers(-1, 40), min_size=size, max_size=size)))
        columns = [pa.array(index, pa.int64())]
        for type_, values in kinds:
            one = values | st.none() if nullable else values
            columns.append(pa.array(draw(st.lists(one, min_size=size, max_size=size)), type_))
        found.append(pa.RecordBatch.from_arrays(columns, schema=schema))
    return found


def write(path, found):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, found[0].schema) as writer:
        for one in found:
            writer.write_batch(one)


@given(found=chunks(), low=st.integers(-1, 41), span=st.integers(0, 20))
def test_slices_are_the_rows_between_two_indices(tmp_path_factory, found, low, span):
    path = tmp_path_factory.mktemp("parts") / "a.000.arrow"
    write(path, found)
    high = low + span
    part = Part(path, "a")
    slices = list(part.slices(low, high))
    expected = [one.filter(pa.array((low <= (at := one.column(0).to_numpy())) & (at < high))) for one in found]
    expected = [one for one in expected if one.num_rows]
    assert [one.to_pylist() for one in slices] == [one.to_pylist() for one in expected]
    for one in slices:
        one.validate(full=True)
    whole = Batches([part]).read(low, high)
    whole.validate(full=True)
    assert whole == pa.Table.from_batches(expected, found[0].schema)
    assert part.count(low, high) == sum(one.num_rows for one in expected)
    sha256 = hashlib.sha256()
    for one in expected:
        add_rows(sha256, one)
    assert part.sha256(low, high) == sha256.hexdigest()
    part.keep()
    again = Part(path, "a")
    assert (again.count(low, high), again.sha256(low, high)) == (part.count(low, high), part.sha256(low, high))


def rows(index):
    return pa.record_batch({INDEX: pa.array(index, pa.int64()), "x": np.arange(len(index), dtype=float)})


def test_rows_below_indices_leave_out_those_without_a_place(tmp_path):
    write(tmp_path / "a.000.arrow", [rows([-1, -1, 3, 7]), rows([5])])
    write(tmp_path / "b.000.arrow", [rows([-1, 4])])
    found = Batches([Part(tmp_path / f"{name}.000.arrow", name) for name in "ab"])
    assert found.below(np.array([0, 4, 5, 8])).tolist() == [0, 1, 2, 4]
    assert found.unplaced()["batch_id"].to_pylist() == ["a", "a", "b"]


def test_what_an_older_version_kept_is_learnt_anew(tmp_path):
    write(tmp_path / "a.000.arrow", [rows([1, 2])])
    (tmp_path / "a.000.pieces.json").write_text(json.dumps({"0-5": [7, None]}))
    assert Part(tmp_path / "a.000.arrow", "a").count(0, 5) == 2


@pytest.mark.parametrize(
    "damage", [{"chunks": None}, {"below": {"bounds": "!", "ranks": ""}}, {"below": {}}, {"of": 1}]
)
def test_damaged_knowledge_is_learnt_anew(tmp_path, damage):
    path = tmp_path / "a.000.arrow"
    write(path, [rows([1, 2])])
    Part(path, "a").learn()
    kept = path.with_suffix(".pieces.json")
    said = json.loads(kept.read_text()) | damage
    kept.write_text(json.dumps({name: value for name, value in said.items() if value is not None}))
    assert Part(path, "a").count(0, 5) == 2


def test_what_is_known_of_a_part_is_not_taken_for_another_of_its_name(tmp_path):
    path = tmp_path / "a.000.arrow"
    write(path, [rows([1, 2])])
    old = Part(path, "a")
    old.learn()
    write(tmp_path / "new", [rows([1, 2, 3]).replace_schema_metadata({"unit": "x" * 500})])
    (tmp_path / "new").replace(path)
    with pytest.raises(IntegrityError, match="was staged anew while it was read"):
        list(old.slices(0, 5))
    assert Part(path, "a").count(0, 5) == 3
    assert [one.num_rows for one in Part(path, "a").slices(0, 5)] == [3]


def test_parts_are_read_once_whatever_their_names_order(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.000.arrow", [rows([1])])
    found = Batches([Part(tmp_path / f"{name}.000.arrow", name) for name in "ab"])
    assert len(found.read(0, 5, ["b.000", "a.000", "b.000"])) == 2
    with pytest.raises(IntegrityError, match=r"c\.000"):
        found.read(0, 5, ["c.000"])


def test_a_part_that_was_cut_short_is_named(tmp_path):
    path = tmp_path / "a.000.arrow"
    write(path, [rows(range(1000))])
    Part(path, "a").learn()
    with path.open("r+b") as file:
        file.truncate(4000)
    about = path.stat()
    kept = json.loads(path.with_suffix(".pieces.json").read_text())  # as if the disk had lost the end
    write_json(path.with_suffix(".pieces.json"), kept | {"of": [about.st_ino, about.st_size, about.st_mtime_ns]})
    with pytest.raises(IntegrityError, match=r"a\.000\.arrow.*import again"):
        list(Part(path, "a").slices(900, 1000))
    path.unlink()
    with pytest.raises(IntegrityError, match="missing"):
        list(Part(path, "a").slices(900, 1000))
