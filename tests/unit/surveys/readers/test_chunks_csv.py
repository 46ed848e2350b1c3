"""CSV and ECSV: types from the whole file, nothing lost, every fault with its line."""

import bz2
import gzip
import lzma
import string
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.surveys.readers import chunks_csv, chunks_text
from stellar.surveys.readers.chunks import common_schema, count_rows, find_sources, iter_chunks, read_schema

BIG = 2**63 - 25


def read(path: Path, **options: object) -> pa.Table:
    (source,) = find_sources([path])
    schema = read_schema(source)
    got = list(iter_chunks(source, **options))
    return pa.concat_tables(got) if got else schema.empty_table()


def column(tmp_path: Path, *cells: str, block: int | None = None) -> pa.ChunkedArray:
    path = tmp_path / "c.csv"
    path.write_text("id,v\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks_text, "BLOCK", block or chunks_text.BLOCK)
        return read(path)["v"]


CELLS = {
    "integers": (["1", "-5", f"{BIG}"], pa.int64(), [1, -5, BIG]),
    "missing": (["1", "", "NA", "NaN", "null", "nan", "  "], pa.int64(), [1] + [None] * 6),
    "quoted missing": (["1", '""', '"NA"'], pa.int64(), [1, None, None]),
    "float late": (["1", "2", "3", "4.5"], pa.float64(), [1.0, 2.0, 3.0, 4.5]),
    "text late": (["1", "2", "3.5", "007", "x"], pa.string(), ["1", "2", "3.5", "007", "x"]),
    "large then float": ([f"{BIG}", "0.5"], pa.string(), [f"{BIG}", "0.5"]),
    "float then large": (["0.5", f"{BIG}"], pa.string(), ["0.5", f"{BIG}"]),
    "unsigned": (["18446744073709551615", "1"], pa.uint64(), [2**64 - 1, 1]),
    "unsigned late": (["7", "1", "18446744073709551615"], pa.uint64(), [7, 1, 2**64 - 1]),
    "unsigned and negative": (["-1", "18446744073709551615"], pa.string(), ["-1", "18446744073709551615"]),
    "beyond 64 bits": (["1", "36893488147419103232"], pa.string(), ["1", "36893488147419103232"]),
    "huge floats": (["1e300", "1.5E+18", "-1e17"], pa.float64(), [1e300, 1.5e18, -1e17]),
    "beyond a double": (["1", "1e400"], pa.string(), ["1", "1e400"]),
    "infinite": (["inf", "-Infinity", "1"], pa.float64(), [float("inf"), float("-inf"), 1.0]),
    "booleans": (["true", "False", ""], pa.bool_(), [True, False, None]),
    "booleans and numbers": (["true", "0"], pa.string(), ["true", "0"]),
    "sexagesimal": (["12:34:56", "01:02:03"], pa.string(), ["12:34:56", "01:02:03"]),
    "dates and text": (["2020-01-01", "soon"], pa.string(), ["2020-01-01", "soon"]),
    "ancient times": (["0001-01-01", "2020-01-01T00:00:00.5"], pa.string(), ["0001-01-01", "2020-01-01T00:00:00.5"]),
    "quotes": (['"a,b"', '"say ""x"""', '5"'], pa.string(), ["a,b", 'say "x"', '5"']),
    "lines within": (['"a\nb"', "c"], pa.string(), ["a\nb", "c"]),
    "nothing": (["", ""], pa.null(), [None, None]),
}


@pytest.mark.parametrize("block", [None, 8, 30])
@pytest.mark.parametrize("kind", CELLS)
def test_types_hold_every_value_of_the_file(tmp_path: Path, kind: str, block: int | None) -> None:
    cells, type_, values = CELLS[kind]
    got = column(tmp_path, *cells, block=block)
    assert got.type == type_
    assert got.to_pylist() == values


TEXT = st.text(string.ascii_letters + "0123456789 .,\"'+-\neéα", max_size=8)
CELL = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.integers(0, 2**64).map(str),
    st.integers(-999, 999).map(str),
    st.floats(allow_nan=False).map(repr),
    st.floats(-99, 99).map(lambda v: f"{v:.3f}"),
    st.sampled_from(["", "NA", "nan", "null", "true", "2020-01-01", "2020-01-01 10:00:00", "12:00:01"]),
    TEXT,
)
KIND = st.sampled_from(
    [CELL, st.integers(-(2**63), 2**63 - 1).map(str), st.one_of(st.integers(-9, 9).map(str), st.floats().map(repr))]
)


@given(st.data(), st.integers(8, 200))
def test_whatever_stands_in_a_column_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, block: int
) -> None:
    cells = data.draw(st.lists(data.draw(KIND), min_size=1, max_size=40))
    quoted = ['"' + cell.replace('"', '""') + '"' if set(cell) & set('",\n\r') else cell for cell in cells]
    tmp_path = tmp_path_factory.mktemp("csv")
    whole = column(tmp_path, *quoted)
    chunks_csv._known.clear()
    cut = column(tmp_path, *quoted, block=block)
    assert whole.equals(cut) and whole.type == cut.type, "types do not depend on where the file is cut"
    for cell, value in zip(cells, whole.to_pylist(), strict=True):
        if cell in chunks_text.NULLS:
            assert value is None
        elif pa.types.is_integer(whole.type):
            assert value == int(cell)
        elif pa.types.is_floating(whole.type):
            assert value == float(cell) or value != value
        elif pa.types.is_string(whole.type):
            assert value == cell
        else:
            assert value is not None


def test_a_column_that_changes_late_in_a_long_file(tmp_path: Path) -> None:
    n = 400_000
    path = tmp_path / "long.csv"
    lines = [f"{BIG - i},{i},{i}\n" for i in range(n)]
    lines[-1] = f"{BIG - n + 1},1.5,east\n"
    path.write_text("source_id,mag,side\n" + "".join(lines))
    assert path.stat().st_size > 2 * chunks_text.BLOCK
    got = read(path, chunk_bytes=2 << 20)
    assert got.schema.types == [pa.int64(), pa.float64(), pa.string()]
    assert got["source_id"].to_pylist() == [BIG - i for i in range(n)]
    assert got["mag"][-1].as_py() == 1.5
    assert got["side"].to_pylist()[-2:] == [str(n - 2), "east"]
    (source,) = find_sources([path])
    assert count_rows(source) == n
    assert chunks_csv.first_not_number(source, "side") == (n + 1, "east")
    assert chunks_csv.first_not_number(source, "mag") is None


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(tmp_path: Path, ending: str) -> None:
    (tmp_path / "a.csv").write_bytes(ending.join(["a,b", "1,x", "", "2,y"]).encode())
    assert read(tmp_path / "a.csv").to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


PACKED = {"a.csv.gz": gzip.compress, "a.csv.bz2": bz2.compress, "a.csv.xz": lzma.compress}


@pytest.mark.parametrize("name", PACKED)
def test_packed_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACKED[name](b"a,b\n1,x\n2,y\n"))
    assert read(tmp_path / name).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    (tmp_path / "zstd.csv").write_bytes(pa.Codec("zstd").compress(b"a,b\n1,x\n", asbytes=True))
    assert read(tmp_path / "zstd.csv").to_pydict() == {"a": [1], "b": ["x"]}, "packed by its bytes, not its name"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffid,name\n1,a b\n",
        "# made by x\n#\n# of y\nid,name\n1,a b\n",
        "#Table1\nid,name\n1,a b\n",
        "#id,name\n1,a b\n",
        "# made by x\n# id,name\n1,a b\n",
        "\nid;name\n1;a b\n",
        "id\tname\n1\ta b\n",
        ' "id" , name \n1,a b\n',
    ],
)
def test_headers_as_tools_write_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert read(tmp_path / "a.csv").to_pydict() == {"id": [1], "name": ["a b"]}


def test_a_tab_separated_file_and_an_unnamed_column(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("\tra\n0\t1,5\n")
    assert read(tmp_path / "a.tsv").to_pydict() == {"column_1": [0], "ra": ["1,5"]}


def fault(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_faults_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    head = b'# a comment\nid,name\n1,a\n\n2,"b\nc"\n'
    assert fault(path, head + b"3\n").startswith("line 7: 1 fields instead of 2: '3'; mend the line")
    assert fault(path, head + b"3,4,5\n").startswith("line 7: 3 fields instead of 2: '3,4,5'")
    assert fault(path, head + b"3,\xe9t\xe9\n").startswith("line 7, column name: is not UTF-8; convert the file: iconv")
    assert fault(path, b"id,na\xe9me\n1,2\n").startswith("line 1 is not UTF-8")
    assert fault(path, b"id,ra,id\n1,2,3\n").startswith("line 1: column id stands twice")
    assert fault(path, b"1,2.5,3\n4,5,6\n").startswith("line 1 looks like data where a header is expected: '1,2.5,3'")
    assert fault(path, b"# only\n# comments\n").startswith("there is no header line")
    assert "UTF-16" in fault(path, "id,name\n1,2\n".encode("utf-16"))
    assert "is empty" in fault(path, b"")
    assert "HTML" in fault(path, b"<!DOCTYPE html><html><body>Error 500</body></html>")
    assert fault(path, b"id,name\n1," + b"\0\xff\xfe" * 9).startswith("line 2, column name: is not UTF-8")


def test_the_line_of_a_fault_far_into_the_file(tmp_path: Path) -> None:
    lines = [f"{i},{'x' * 50}" for i in range(200_000)]
    lines[150_000] = "150000"
    text = "\n".join(["id,name", *lines]).encode()
    assert fault(tmp_path / "bad.csv", text).startswith("line 150002: 1 fields instead of 2: '150000'")


def test_a_stray_quote_does_not_swallow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,v\n" + 'M 13 5" aperture,1\n' + "x,2\n" * 50_000 + 'at 3",4\n')
    got = read(path)
    assert len(got) == 50_002
    assert got["name"][0].as_py() == 'M 13 5" aperture'


def test_a_file_that_changes_after_its_schema_was_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,v\n1,2\n")
    (source,) = find_sources([path])
    schema = common_schema([source])
    path.write_text("id,v\n1,2\n2,faint\n")
    with pytest.raises(InputError, match=r"a\.csv: line 3, column v: invalid value 'faint' where int64 is expected"):
        list(iter_chunks(source, schema=schema))


ECSV = """# %ECSV 1.0
# ---
# delimiter: ','
# datatype:
# - {name: source_id, datatype: int64, description: 'Unique, at least: so it says', meta: {ucd: meta.id}}
# - {name: ra, unit: deg, datatype: float64}
# - {name: name, datatype: string}
# - {name: ok, datatype: bool}
# - {name: flux, unit: mJy, datatype: string, subtype: 'float64[null]'}
# - {name: pair, datatype: string, subtype: 'int32[2]'}
source_id,ra,name,ok,flux,pair
9223372036854775783,10.5,"a, b",True,"[1.0,2.5,null]","[1,2]"
2,null,"null",False,"[]","[3,4]"
3,,"",,,
"""


def test_ecsv_types_units_and_arrays_are_the_headers(tmp_path: Path) -> None:
    (tmp_path / "gaia.csv").write_text(ECSV)  # as the Gaia archive names it
    got = read(tmp_path / "gaia.csv")
    assert got.schema.field("source_id").metadata == {
        b"description": b"Unique, at least: so it says",
        b"ucd": b"meta.id",
    }
    assert got.schema.field("flux").metadata == {b"unit": b"mJy"}
    assert got.to_pydict() == {
        "source_id": [BIG, 2, 3],
        "ra": [10.5, None, None],
        "name": ["a, b", None, None],
        "ok": [True, False, None],
        "flux": [[1.0, 2.5, None], [], None],
        "pair": [[1, 2], [3, 4], None],
    }


def test_ecsv_faults_name_the_line(tmp_path: Path) -> None:
    path, head = tmp_path / "bad.ecsv", ECSV.partition("\n9223")[0]
    bad = fault(path, (head + "\n1,east,x,True,[],\n").encode())
    assert bad.startswith("line 12, column ra: invalid value 'east' where double is expected")
    assert fault(path, (head + "\n1,2,x,True,[],oops\n").encode()).startswith("line 12, column pair: 'oops' is not")
    assert fault(path, (head + '\n1,2,x,True,[],"[1]"\n').encode()).startswith("line 12, column pair: '[1]' is not")
    assert fault(path, b"# %ECSV 1.0\n# ---\n# - nonsense\nra\n1\n").startswith("its ECSV header cannot be read")
    assert "names there and in the header above differ: dec" in fault(path, head.replace(",ra,", ",dec,").encode())
