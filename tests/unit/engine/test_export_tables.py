"""Files of other formats: nothing of a table is lost, and a sentinel is never taken for a value."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from stellar.engine.export_tables import WRITERS, with_sentinel, write_csv, write_fits, write_votable
from stellar.errors import InputError
from stellar.lake.schema import field

SCHEMA = pa.schema(
    [
        field("star_id", pa.int64(), ucd="meta.id;meta.main", description="Identifier"),
        field("g_mag", pa.float32(), unit="mag", ucd="phot.mag;em.opt"),
        field("pm", pa.float64(), unit="mas.yr**-1"),
        field("n_obs", pa.int16()),
        field("name", pa.string()),
        field("is_good", pa.bool_()),
        field("is_bad", pa.bool_()),
    ]
)
TABLE = pa.table(
    [
        [1, 2**60 + 1, 3],
        [15.5, None, np.nan],
        [1e-300, -2.5, None],
        [7, None, 9],
        ["α Cen", None, ""],
        [True, None, False],
        [True, False, True],
    ],
    schema=SCHEMA,
)


def test_null_and_nan_become_the_sentinel_and_the_rest_stays() -> None:
    found = with_sentinel(TABLE, -999.0)
    assert found.schema.equals(SCHEMA, check_metadata=True)
    assert found["g_mag"].to_pylist() == [15.5, -999.0, -999.0]
    assert found["n_obs"].to_pylist() == [7, -999, 9]
    assert found["name"].to_pylist() == TABLE["name"].to_pylist()
    assert found["is_good"].to_pylist() == [True, None, False]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (-2.5, "column star_id is int64, which cannot hold it"),
        (99999, "column n_obs is int16, which cannot hold it"),
        (7, "column n_obs has 7 as a value"),
        (15.5, "column star_id is int64"),
    ],
)
def test_a_sentinel_that_does_not_do_is_refused(missing: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_sentinel(TABLE, missing)


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True, width=32)), max_size=20))
def test_the_sentinel_stands_exactly_where_a_value_is_missing(values: list) -> None:
    lacks = [v is None or np.isnan(v) for v in values]
    if -999.0 in values:
        return
    found = with_sentinel(pa.table({"x": pa.array(values, pa.float32())}), -999)["x"].to_pylist()
    assert [v == -999.0 for v in found] == lacks
    assert [v for v, lack in zip(found, lacks, strict=True) if not lack] == [
        v for v, lack in zip(values, lacks, strict=True) if not lack
    ]


def test_fits_keeps_values_units_and_what_is_missing(tmp_path) -> None:
    write_fits(TABLE, tmp_path / "t.fits")
    texts = [one and one.encode("ascii", "backslashreplace").decode() for one in TABLE["name"].to_pylist()]
    assert any("\\" in one for one in texts if one)
    assert [str(one) for one in Table.read(tmp_path / "t.fits")["name"].filled("")] == [one or "" for one in texts]
    (tmp_path / "t.fits").unlink()
    write_fits(TABLE.set_column(4, SCHEMA.field("name"), [["a Cen", None, ""]]), tmp_path / "t.fits")
    header = fits.getheader(tmp_path / "t.fits", 1)
    told = {one.name: one.metadata for one in SCHEMA}
    for number in range(1, header["TFIELDS"] + 1):
        about = {key.decode(): value.decode() for key, value in (told[header[f"TTYPE{number}"]] or {}).items()}
        assert header.get(f"TCOMM{number}") == (about.get("description") or None)
        assert header.get(f"TUCD{number}") == (about.get("ucd") or None)
    found = Table.read(tmp_path / "t.fits")
    assert list(found["star_id"]) == [1, 2**60 + 1, 3]
    assert found["g_mag"].unit == "mag" and found["pm"].unit.to_string() == "mas / yr"
    assert np.array_equal(np.ma.getmaskarray(found["n_obs"]), [False, True, False])
    assert np.isnan(np.ma.filled(found["g_mag"], np.nan)[1:]).all() and found["g_mag"][0] == np.float32(15.5)
    assert list(found["is_bad"]) == [True, False, True] and list(found["name"].filled("")) == ["a Cen", "", ""]
    flags = np.ma.asarray(found["is_good"])
    assert flags.tolist() == [1, None, 0]


def test_votable_keeps_values_units_ucds_and_what_is_missing(tmp_path) -> None:
    write_votable(TABLE, tmp_path / "t.vot")
    found = Table.read(tmp_path / "t.vot", format="votable")
    assert list(found["star_id"]) == [1, 2**60 + 1, 3]
    assert found["star_id"].meta["ucd"] == "meta.id;meta.main" and found["star_id"].description == "Identifier"
    assert found["g_mag"].unit == "mag"
    assert np.ma.asarray(found["n_obs"]).tolist() == [7, None, 9]
    assert np.ma.asarray(found["is_good"]).tolist() == [True, None, False]
    assert list(found["name"]) == ["α Cen", "", ""]


def test_csv_and_parquet(tmp_path) -> None:
    write_csv(TABLE, tmp_path / "t.csv")
    found = pyarrow.csv.read_csv(tmp_path / "t.csv")
    assert found["star_id"].to_pylist() == [1, 2**60 + 1, 3] and found["pm"].to_pylist() == [1e-300, -2.5, None]
    WRITERS["parquet"][1](TABLE, tmp_path / "t.parquet")
    assert pq.read_schema(tmp_path / "t.parquet").field("pm").metadata[b"unit"] == b"mas.yr**-1"


@pytest.mark.parametrize("form", ["csv", "fits", "votable"])
def test_lists_are_refused_by_name(tmp_path, form: str) -> None:
    table = TABLE.append_column("flux", pa.array([[1.0], [], None]))
    with pytest.raises(InputError, match=f"--format {form}: flux hold lists"):
        WRITERS[form][1](table, tmp_path / "t")
    assert with_sentinel(table, -999)["flux"].to_pylist() == [[1.0], [], None]
