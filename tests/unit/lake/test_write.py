"""The same rows give the same bytes, and come back as they were."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_catalog import SCHEMA, stars
from stellar.errors import InputError
from stellar.lake import write
from stellar.lake.schema import describe, field, stored_schema, stored_type
from stellar.lake.write import canonical, row_bytes, write_partition
from stellar.sky.healpix import spatial_index


def digest(table: pa.Table, folder, **options) -> str:
    return write_partition(table, folder / "x.parquet", id_column="star_id", **options).sha256


def test_bytes_do_not_depend_on_order_chunks_or_the_types_kind(tmp_path):
    table = stars(999)
    first = digest(table, tmp_path)
    random = np.random.default_rng(3)
    shuffled = table.take(pa.array(random.permutation(table.num_rows)))
    chunked = pa.concat_tables([table.slice(0, 10), table.slice(10, 500), table.slice(510)])
    kinds = table.set_column(4, "name", table["name"].cast(pa.large_string()).dictionary_encode())
    large = pa.large_list(pa.field("item", pa.float32()))
    kinds = kinds.set_column(5, SCHEMA.field("flux").with_type(large), table["flux"].cast(large))
    through_pandas = pa.Table.from_pandas(table.to_pandas()).cast(SCHEMA)
    sliced = pa.concat_tables([table, table]).slice(999, 999)
    for other in (shuffled, chunked, kinds, through_pandas.replace_schema_metadata({"pandas": "{}"}), sliced):
        assert digest(other, tmp_path) == first


def test_zeros_and_nans_have_one_form(tmp_path):
    odd = np.array([0x7FF8000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)

    def made(nan: float, zero: float) -> pa.Table:
        lists = pa.array([[nan, zero, 1.0], None, []], pa.list_(pa.float64()))
        return pa.table({"star_id": [1, 2, 3], "x": pa.array([nan, zero, 2.0]), "y": lists})

    files = {digest(made(nan, zero), tmp_path) for nan in (*odd, np.nan) for zero in (0.0, -0.0)}
    assert len(files) == 1
    back = pq.ParquetFile(tmp_path / "x.parquet").read()
    assert back["x"].to_pylist() == [None, 0.0, 2.0]
    assert np.isnan(back["y"][0].as_py()[0]) and back["y"].to_pylist()[1:] == [None, []]


def test_rows_come_back_sorted_with_metadata_and_index(tmp_path):
    table = stars(500)
    made = write_partition(table, tmp_path / "deep" / "er.parquet", id_column="star_id")
    back = pq.ParquetFile(made.path).read()
    assert back.schema.names[0] == "_healpix_29" and back.num_rows == made.rows == 500
    index = back["_healpix_29"].to_numpy()
    assert (np.diff(index) >= 0).all()
    assert (index == spatial_index(back["ra"].to_numpy(), back["dec"].to_numpy())).all()
    by_id = {row["star_id"]: row for row in back.to_pylist()}
    for row in table.to_pylist():
        found = by_id[row["star_id"]]
        assert (found["ra"], found["dec"], found["name"], found["flux"]) == (
            row["ra"],
            row["dec"],
            row["name"],
            row["flux"],
        )
    assert back.schema.field("g_mag").metadata == {b"ucd": b"phot.mag;em.opt", b"unit": b"mag"}
    assert made.bytes == made.path.stat().st_size
    assert not list(made.path.parent.glob(".*"))


def test_a_stale_index_is_made_anew(tmp_path):
    table = canonical(stars(50), id_column="star_id")
    moved = table.set_column(table.schema.get_field_index("ra"), SCHEMA.field("ra"), pa.array(np.full(50, 7.0)))
    again = canonical(moved, id_column="star_id")
    assert (again["_healpix_29"].to_numpy() == spatial_index(again["ra"].to_numpy(), again["dec"].to_numpy())).all()


def test_raw_rows_keep_bad_positions(tmp_path):
    table = pa.table({"star_id": [2, 1], "ra": [None, 400.0], "dec": [99.0, 1.0]})
    made = write_partition(table, tmp_path / "raw.parquet", id_column="star_id", sky=False)
    back = pq.ParquetFile(made.path).read()
    assert back.schema.names == ["star_id", "ra", "dec"] and back["dec"].to_pylist() == [1.0, 99.0]


def test_equal_ids_do_not_make_bytes_depend_on_their_order(tmp_path):
    rows = [{"star_id": 1, "x": x, "y": y} for x in (3, 1, None) for y in ("b", "a")]
    assert digest(pa.Table.from_pylist(rows), tmp_path) == digest(pa.Table.from_pylist(rows[::-1]), tmp_path)


@pytest.mark.parametrize("empty", [True, False])
def test_wide_rows_get_small_row_groups_and_no_rows_are_fine(tmp_path, empty, monkeypatch):
    monkeypatch.setattr(write, "ROW_GROUP_BYTES", 100_000)
    flux = pa.array([] if empty else [[1.0] * 1000] * 100, pa.list_(pa.float64()))
    table = pa.table({"star_id": pa.array(np.arange(len(flux))), "flux": flux})
    made = write_partition(table, tmp_path / "wide.parquet", id_column="star_id")
    footer = pq.read_metadata(made.path)
    assert footer.num_rows == len(flux)
    assert all(footer.row_group(i).num_rows <= 13 for i in range(footer.num_row_groups))


@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        (1, [1]),
        (100_000, [100_000]),
        (100_001, [50_001, 50_000]),
        (120_000, [60_000] * 2),
        (250_000, [83_334] * 2 + [83_332]),
    ],
)
def test_row_groups_are_even(tmp_path, rows, groups):
    made = write_partition(pa.table({"star_id": np.arange(rows)}), tmp_path / "x.parquet", id_column="star_id")
    footer = pq.read_metadata(made.path)
    assert [footer.row_group(i).num_rows for i in range(footer.num_row_groups)] == groups
    column = footer.row_group(0).column(0)
    assert (column.statistics.min, column.statistics.max) == (0, groups[0] - 1)
    assert column.has_column_index and column.has_offset_index


def test_a_trusted_index_is_kept_where_it_is(tmp_path):
    table = canonical(stars(200), id_column="star_id")
    last = table.select([*table.column_names[1:], "_healpix_29"])
    last = last.rename_columns(["star_id", "ra_left", "dec_left", *last.column_names[3:]])
    options = {"id_column": ["star_id"], "position": ("ra_left", "dec_left")}
    kept = canonical(last.take(pa.array(range(199, -1, -1))), keep_index=True, **options)
    assert kept.equals(last) and kept.column_names[-1] == "_healpix_29"
    assert canonical(last, **options).column_names[0] == "_healpix_29"
    unsigned = last.set_column(last.num_columns - 1, "_healpix_29", last["_healpix_29"].cast(pa.uint64()))
    made = write_partition(unsigned, tmp_path / "x.parquet", keep_index=True, **options)
    assert made.sha256 == write_partition(last, tmp_path / "x.parquet", keep_index=True, **options).sha256
    with pytest.raises(InputError, match="ra_left and dec_left"):
        canonical(table, id_column="star_id", sky=True, position=("ra_left", "dec_left"))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_rows_on_one_spot_have_one_order(data, n, seed):
    """Indices, ids and other columns repeat, in any combination, lists and structs too."""
    few = st.integers(0, 2)
    rows = [
        {
            "star_id": data.draw(few),
            "_healpix_29": data.draw(st.integers(0, 6)),
            "x": data.draw(st.sampled_from([None, 1.5, -2.0])),
            "y": data.draw(st.sampled_from([None, [], [1.0], [2.0, None]])),
            "z": data.draw(st.sampled_from([None, {"a": 1}, {"a": 2}])),
        }
        for _ in range(n)
    ]
    kinds = [pa.int64(), pa.int64(), pa.float32(), pa.list_(pa.float32()), pa.struct([("a", pa.int8())])]
    schema = pa.schema(list(zip(("star_id", "_healpix_29", "x", "y", "z"), kinds, strict=True)))
    table = pa.Table.from_pylist(rows, schema)
    first = canonical(table, id_column="star_id", sky=False)
    shuffled = table.take(pa.array(np.random.default_rng(seed).permutation(n)))
    assert canonical(shuffled, id_column="star_id", sky=False).to_pylist() == first.to_pylist()
    keys = list(zip(first["_healpix_29"].to_pylist(), first["star_id"].to_pylist(), strict=True))
    assert keys == sorted(keys)


def test_floats_inside_lists_and_structs_have_one_form(tmp_path):
    nans = np.array([0x7FF8000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
    nested = pa.list_(pa.struct([("t", pa.float64()), ("n", pa.int8())]))

    def made(nan: float, zero: float) -> pa.Table:
        lists = pa.array([[{"t": nan, "n": 1}, {"t": zero, "n": None}, None], None, []], nested)
        structs = pa.array([{"x": nan}, None, {"x": zero}], pa.struct([("x", pa.float32())]))
        return pa.table({"star_id": [1, 2, 3], "a": lists, "b": structs, "h": np.array([nan, zero, 1], np.float16)})

    files = {digest(made(nan, zero), tmp_path) for nan in (*nans, np.nan) for zero in (0.0, -0.0)}
    assert len(files) == 1
    back = pq.ParquetFile(tmp_path / "x.parquet").read()
    assert str(back["a"].to_pylist()) == "[[{'t': nan, 'n': 1}, {'t': 0.0, 'n': None}, None], None, []]"
    assert str(back["b"].to_pylist()) == "[{'x': nan}, None, {'x': 0.0}]" and back["h"].to_pylist() == [None, 0.0, 1.0]


def test_clean_columns_are_not_copied():
    table = pa.table({"star_id": [1, 2, 3], "x": [0.0, np.inf, -np.inf], "y": [[1.0], [], [2.0]]})
    kept = canonical(table.cast(stored_schema(table.schema)), id_column="star_id")
    for name in table.column_names:
        ours, theirs = (one[name].chunk(0).buffers()[-1].address for one in (kept, table))
        assert ours == theirs


DAY, MOMENT = dt.date(2020, 1, 1), dt.datetime(1990, 5, 6, 7, 8, 9)


@pytest.mark.parametrize(
    ("type_", "values", "stored"),
    [
        (pa.uint64(), [1, None, 2**64 - 1], pa.uint64()),
        (pa.int8(), [-1, None, 2], pa.int8()),
        (pa.bool_(), [True, None, False], pa.bool_()),
        (pa.float16(), [1.5, None, -2.0], pa.float16()),
        (pa.timestamp("s", "UTC"), [MOMENT.replace(tzinfo=dt.UTC), None], pa.timestamp("ms", "UTC")),
        (pa.timestamp("us"), [MOMENT, None], pa.timestamp("us")),
        (pa.date64(), [DAY, None], pa.date32()),
        (pa.time32("s"), [dt.time(1, 2, 3), None], pa.time32("ms")),
        (pa.large_binary(), [b"a", None, b""], pa.binary()),
        (pa.binary(2), [b"ab", None], pa.binary(2)),
        (pa.string_view(), ["a", None, "long enough to lie apart"], pa.string()),
        (pa.dictionary(pa.int8(), pa.large_string()), ["a", None, "a"], pa.string()),
        (pa.decimal128(10, 2), [Decimal("1.25"), None], pa.decimal128(10, 2)),
        (pa.list_(pa.float32(), 2), [[1.0, 2.0], None], pa.list_(pa.field("element", pa.float32()))),
        (pa.list_view(pa.int8()), [[1], None, []], pa.list_(pa.field("element", pa.int8()))),
        (pa.large_list(pa.large_string()), [["a", None], None], pa.list_(pa.field("element", pa.string()))),
        (
            pa.struct([("t", pa.large_list(pa.float64())), ("b", pa.string_view())]),
            [{"t": [1.0], "b": "g"}, {"t": None, "b": None}, None],
            pa.struct([("t", pa.list_(pa.field("element", pa.float64()))), ("b", pa.string())]),
        ),
        (pa.null(), [None, None], pa.null()),
    ],
    ids=str,
)
def test_users_types_survive(tmp_path, type_, values, stored):
    table = pa.table({"star_id": range(len(values)), "c": pa.array(values, type_)})
    made = write_partition(table, tmp_path / "x.parquet", id_column="star_id")
    back = pq.ParquetFile(made.path).read()
    assert back.schema.field("c").type == stored == stored_type(type_) == stored_type(stored)
    assert back["c"].to_pylist() == values
    turned = pa.concat_tables([table.slice(1), table.slice(0, 1)])
    assert write_partition(turned, tmp_path / "y.parquet", id_column="star_id").sha256 == made.sha256


def test_bad_ids_and_positions_are_named(tmp_path):
    table = pa.table({"star_id": [1, None], "ra": [1.0, 2.0], "dec": [0.0, 91.0]})
    with pytest.raises(InputError, match="'nope'"):
        write_partition(table, tmp_path / "x.parquet", id_column="nope")
    with pytest.raises(InputError, match="null in 1 of 2"):
        write_partition(table, tmp_path / "x.parquet", id_column="star_id")
    with pytest.raises(InputError, match="not on the sky"):
        write_partition(table, tmp_path / "x.parquet", id_column="ra")
    with pytest.raises(InputError, match="ra and dec"):
        write_partition(table.drop_columns(["ra"]), tmp_path / "x.parquet", id_column="dec", sky=True)
    assert not list(tmp_path.iterdir())


TYPES = st.sampled_from([pa.int8(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.bool_(), pa.date32()])


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(TYPES, min_size=1, max_size=4), st.integers(1, 30))
def test_any_table_comes_back(tmp_path_factory, data, types, n):
    values = {
        pa.int8(): st.integers(-128, 127),
        pa.int64(): st.integers(-(2**63), 2**63 - 1),
        pa.float32(): st.floats(width=32, allow_nan=False),
        pa.float64(): st.floats(allow_nan=False),
        pa.string(): st.text(max_size=5),
        pa.bool_(): st.booleans(),
        pa.date32(): st.dates(),
    }
    columns = {"star_id": pa.array(range(n))}
    for i, type_ in enumerate(types):
        one = data.draw(st.lists(st.none() | values[type_], min_size=n, max_size=n))
        columns[f"c{i}"] = pa.array(one, type_)
        columns[f"l{i}"] = pa.array([[v] if v is not None else None for v in one], pa.list_(type_))
    table = pa.table(columns)
    folder = tmp_path_factory.mktemp("any")
    made = write_partition(table, folder / "a.parquet", id_column="star_id")
    assert pq.ParquetFile(made.path).read().to_pylist() == table.to_pylist()
    shuffled = table.take(pa.array(np.random.default_rng(n).permutation(n)))
    assert write_partition(shuffled, folder / "b.parquet", id_column="star_id").sha256 == made.sha256


def test_row_bytes_follow_from_rows_alone():
    table = pa.table({"a": pa.array([1, 2], pa.int64()), "s": ["abcd", None], "l": [[1.0, 2.0], []]})
    expected = 8 + (4 * 2 + 4) / 2 + (4 * 2 + 16) / 2
    assert row_bytes(table) == expected
    assert row_bytes(pa.concat_tables([table, table]).slice(2)) == expected
    assert row_bytes(table.slice(0, 0)) == 0


def test_schema_fields_are_described():
    schema = pa.schema([field("x_mas", pa.float64(), unit="mas", description="A length"), field("n", pa.int32())])
    assert describe(schema) == [
        {"name": "x_mas", "type": "double", "unit": "mas", "ucd": "", "description": "A length"},
        {"name": "n", "type": "int32", "unit": "", "ucd": "", "description": ""},
    ]
    assert stored_type(pa.struct([("a", pa.large_string())])) == pa.struct([("a", pa.string())])


def test_a_write_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def half(table, sink):
        sink.write(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "_encode", half)
    with pytest.raises(OSError, match="No space left"):
        write_partition(stars(9), tmp_path / "x.parquet", id_column="star_id")
    assert not [*tmp_path.iterdir()]
