"""Readers of tables: every dialect, plain and packed, and files that are not what they say."""

import bz2
import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Table

from stellar.errors import InputError
from stellar.surveys.readers import tables
from stellar.surveys.readers.members import Member, members

CSV = b"source_id,ra,name\n4611686018427387905,10.5,a\n2,,b c\n"


def astropy_table() -> Table:
    table = Table({"source_id": [4611686018427387905, 2], "ra": [10.5, np.nan], "name": ["a", "b c"]}, masked=True)
    table["ra"].mask = [False, True]
    return table


def written(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "csv":
        return CSV
    if kind == "parquet":
        pq.write_table(pa.table({"source_id": [4611686018427387905, 2], "ra": [10.5, None], "name": ["a", "b c"]}), out)
    elif kind == "fits":
        astropy_table().write(out, format="fits")
    elif kind == "votable":
        from_table(astropy_table()).to_xml(out)
    elif kind == "ecsv":
        text = io.StringIO()
        astropy_table().write(text, format="ascii.ecsv")
        return text.getvalue().encode()
    return out.getvalue()


READ = {
    "csv": tables.read_csv,
    "parquet": tables.read_parquet,
    "fits": tables.read_fits_table,
    "votable": tables.read_votable,
    "ecsv": tables.read_ecsv,
}


@pytest.mark.parametrize("kind", READ)
def test_one_table_in_every_dialect(kind: str) -> None:
    table = READ[kind](Member(f"x.{kind}", written(kind)), {})
    assert [int(v) for v in table["source_id"].to_pylist()] == [4611686018427387905, 2], "ids are exact"
    ra = [None if v is None or v != v else float(v) for v in table["ra"].to_pylist()]
    assert ra == [10.5, None]
    assert table["name"].to_pylist() == ["a", "b c"]
    assert table["file_row"].to_pylist() == [1, 2]


@pytest.mark.parametrize("kind", [k for k in READ if k != "csv"])
def test_a_cut_file_is_named(kind: str) -> None:
    whole = written(kind)
    with pytest.raises(InputError, match=r"^x\.dat: "):
        READ[kind](Member("x.dat", whole[: len(whole) // 2]), {})


def test_rows_with_another_number_of_fields_keep_their_place_and_say_so() -> None:
    table = tables.read_csv(Member("x.csv", b"a,b\n1,2\n3\n4,5\n6,7,8\n"), {})
    assert table["file_row"].to_pylist() == [1, 2, 3, 4]
    assert table["a"].to_pylist() == ["1", None, "4", None]
    faults = table["fault"].to_pylist()
    assert faults[0] is None and "1 fields instead of 2" in faults[1] and "3 fields instead of 2: '6,7,8'" in faults[3]


def test_quotes_encodings_marks_and_delimiters() -> None:
    table = tables.read_csv(Member("x.csv", b'\xef\xbb\xbfa;b\n"1;2";"x ""y"""\n'), {"delimiter": ";"})
    assert table.select(["a", "b"]).to_pylist() == [{"a": "1;2", "b": 'x "y"'}]
    latin = tables.read_csv(Member("x.csv", "a\nCorvée\n".encode("latin-1")), {"encoding": "latin-1"})
    assert latin["a"].to_pylist() == ["Corvée"]
    with pytest.raises(InputError, match="encoding"):
        tables.read_csv(Member("x.csv", "a\nCorvée\n".encode("latin-1")), {})


@pytest.mark.parametrize(("data", "message"), [(b"a,b,a\n1,2,3\n", "column a stands twice"), (b"", "no header line")])
def test_a_header_that_is_none_is_named(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tables.read_csv(Member("x.csv", data), {})


def test_a_table_of_no_rows_is_a_table() -> None:
    assert len(tables.read_csv(Member("x.csv", b"a,b\n"), {})) == 0


def test_white_space_columns_with_comments() -> None:
    data = b"# a table\n#  x  y\n 1.0   2.0\n 3.0\n\n 4.0   5.0\n"
    table = tables.read_ascii(Member("x.dat", data), {"names": ["x", "y"]})
    assert table["x"].to_pylist() == ["1.0", None, "4.0"]
    assert "1 fields instead of 2: '3.0'" in table["fault"].to_pylist()[1]


def test_fits_nulls_headers_lists_and_a_wrong_extension() -> None:
    columns = [
        fits.Column(name="n", format="J", null=-99, array=np.array([1, -99])),
        fits.Column(name="spectrum", format="3E", array=np.arange(6, dtype=np.float32).reshape(2, 3)),
        fits.Column(name="good", format="L", array=np.array([True, False])),
    ]
    primary = fits.PrimaryHDU()
    primary.header["PLATEID"] = "15002"
    out = io.BytesIO()
    fits.HDUList([primary, fits.BinTableHDU.from_columns(columns)]).writeto(out)
    member = Member("x.fits", out.getvalue())
    table = tables.read_fits_table(member, {})
    assert table["n"].to_pylist() == [1, None]
    assert table["spectrum"].to_pylist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert table["good"].to_pylist() == [True, False]
    assert table["header.PLATEID"].to_pylist() == ["15002"] * 2
    with pytest.raises(InputError, match="no extension 'SPALL'"):
        tables.read_fits_table(member, {"hdu": "SPALL"})


def test_an_overflowing_votable_is_an_error() -> None:
    said = b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>'
    text = written("votable").replace(b'<RESOURCE type="results">', b'<RESOURCE type="results">' + said)
    assert b"OVERFLOW" in text
    with pytest.raises(InputError, match="OVERFLOW: rows are missing"):
        tables.read_votable(Member("x.vot", text), {})


def test_recorded_answers_of_archives_are_read(real_data: Path) -> None:
    folder = real_data / "archive_responses" / "gaia"
    (member,) = members(folder / "1710099405832VAL-result.vot")
    assert len(tables.read_votable(member, {})) > 0
    (member,) = members(folder / "1712337806100O-result.ecsv")
    assert len(tables.read_ecsv(member, {})) > 0
    products = list(members(folder / "gaia_dr3_source_id_5937083312263887616_dl_products_csv.zip"))
    assert products and all(len(tables.read_csv(m, {"comment": "#"})) > 0 for m in products if m.name.endswith(".csv"))


@pytest.mark.parametrize("packing", ["gz", "bz2", "tar", "tar.gz", "zip"])
def test_packed_files_give_what_is_in_them(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"x.csv.{packing}"
    if packing == "gz":
        path.write_bytes(gzip.compress(CSV))
    elif packing == "bz2":
        path.write_bytes(bz2.compress(CSV))
    elif packing == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("in/x.csv", CSV)
    else:
        with tarfile.open(path, "w:gz" if packing == "tar.gz" else "w") as archive:
            entry = tarfile.TarInfo("in/x.csv")
            entry.size = len(CSV)
            archive.addfile(entry, io.BytesIO(CSV))
    wanted = [Member("x.csv", CSV, "" if packing in ("gz", "bz2") else "in/x.csv")]
    assert list(members(path)) == wanted
    loud = path.with_name(f"X.CSV.{packing.upper()}")
    loud.write_bytes(path.read_bytes())
    assert [member.data for member in members(loud)] == [CSV]
    with pytest.raises(InputError, match="unpacks to more than 0 MiB"):
        list(members(path, limit=len(CSV) - 1))
    assert list(members(path, limit=len(CSV))) == wanted
    path.write_bytes(path.read_bytes()[: 530 if packing == "tar" else path.stat().st_size // 2])
    with pytest.raises(InputError, match="fetch the file again"):
        list(members(path))
