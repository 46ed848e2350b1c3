"""The same rows give the same bytes, and come back as they were."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_catalog import SCHEMA, stars
from stellar.errors import InputError
from stellar.lake import write
from stellar.lake.schema import describe, field, stored_type
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
