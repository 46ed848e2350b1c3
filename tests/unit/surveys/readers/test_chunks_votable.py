"""VOTables in all their forms, as astropy writes them and as the standard allows."""

import base64
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import from_table
from astropy.io.votable.tree import Field, Resource, TableElement, VOTableFile
from astropy.table import Table

from stellar.errors import InputError
from stellar.surveys.readers.chunks import count_rows, find_sources, iter_chunks, read_schema

BIG = 2**63 - 25
FORMS = ("tabledata", "binary", "binary2")


def read(path: Path, **options: object) -> pa.Table:
    (source,) = find_sources([path])
    schema = read_schema(source)
    got = list(iter_chunks(source, **options))
    return pa.concat_tables(got) if got else schema.empty_table()


def document(fields: str, data: str, rest: str = "") -> str:
    return (
        '<?xml version="1.0"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        f"<RESOURCE>\n<TABLE>\n{fields}\n<DATA>\n{data}\n</DATA>\n</TABLE>\n{rest}</RESOURCE>\n</VOTABLE>\n"
    )


def cells(tmp_path: Path, field: str, *texts: str) -> pa.ChunkedArray:
    rows = "".join(f"<TR><TD>{text}</TD></TR>\n" for text in texts)
    path = tmp_path / "a.vot"
    path.write_text(document(f'<FIELD name="v" {field}/>', f"<TABLEDATA>\n{rows}</TABLEDATA>"))
    return read(path)["v"]


def test_cells_of_every_datatype(tmp_path: Path) -> None:
    ints = pa.list_(pa.int32(), 3)
    for field, texts, type_, values in (
        ('datatype="long"', [f"{BIG}", " -5 ", "", "+7", "0x1F"], pa.int64(), [BIG, -5, None, 7, 31]),
        ('datatype="int"', ["1", "2"], pa.int32(), [1, 2]),
        ('datatype="short"', ["-32768"], pa.int16(), [-(2**15)]),
        ('datatype="unsignedByte"', ["255"], pa.uint8(), [255]),
        ('datatype="float"', ["1.5", "+Inf", "-Inf", ""], pa.float32(), [1.5, np.inf, -np.inf, None]),
        ('datatype="double"', ["1.5D3", "+2", "-.5"], pa.float64(), [1500.0, 2.0, -0.5]),
        ('datatype="boolean"', ["T", "false", "1", "0", "?", ""], pa.bool_(), [True, False, True, False, None, None]),
        ('datatype="bit"', ["1", "0"], pa.bool_(), [True, False]),
        ('datatype="char" arraysize="*"', ["a &lt; b", " ", "<![CDATA[x&y]]>"], pa.string(), ["a < b", None, "x&y"]),
        ('datatype="char"', ["a", ""], pa.string(), ["a", None]),
        ('datatype="unicodeChar" arraysize="9"', ["αβγ"], pa.string(), ["αβγ"]),
        ('datatype="int" arraysize="3"', ["1 2 3", "", "4  5\n6"], ints, [[1, 2, 3], None, [4, 5, 6]]),
        ('datatype="double" arraysize="*"', ["1 2.5", "", "3"], pa.list_(pa.float64()), [[1, 2.5], None, [3]]),
        ('datatype="short" arraysize="2x2"', ["1 2 3 4"], pa.list_(pa.int16(), 4), [[1, 2, 3, 4]]),
        ('datatype="bit" arraysize="4"', ["1010", "0 0 1 1"], pa.list_(pa.bool_(), 4), [[1, 0, 1, 0], [0, 0, 1, 1]]),
        ('datatype="floatComplex"', ["1 -2"], pa.list_(pa.float32(), 2), [[1, -2]]),
        ('datatype="char" arraysize="3x2"', ["ab cde", "x"], pa.list_(pa.string(), 2), [["ab", "cde"], ["x", None]]),
        ('datatype="char" arraysize="2x*"', ["abcdef", ""], pa.list_(pa.string()), [["ab", "cd", "ef"], []]),
    ):  # fmt: skip
        got = cells(tmp_path, field, *texts)
        assert got.type == type_, field
        assert got.to_pylist() == values, field


def test_declared_nulls(tmp_path: Path) -> None:
    field = '<FIELD name="v" datatype="long"><VALUES null="-99"/></FIELD>'
    path = tmp_path / "a.vot"
    path.write_text(document(field, f"<TABLEDATA><TR><TD>-99</TD></TR><TR><TD>{BIG}</TD></TR></TABLEDATA>"))
    assert read(path)["v"].to_pylist() == [None, BIG]
    raw = b"".join(v.to_bytes(8, "big", signed=True) for v in (-99, BIG))
    stream = f'<STREAM encoding="base64">{base64.b64encode(raw).decode()}</STREAM>'
    path.write_text(document(field, f"<BINARY>{stream}</BINARY>"))
    assert read(path)["v"].to_pylist() == [None, BIG]


def rich() -> VOTableFile:
    """A document of every kind of column, fixed and varying, with nulls."""
    file, n, rng = VOTableFile(), 300, np.random.default_rng(3)
    resource, table = Resource(), TableElement(file)
    file.resources.append(resource)
    resource.tables.append(table)
    columns = [
        ("id", "long", None), ("name", "char", "*"), ("code", "char", "4"), ("title", "unicodeChar", "*"),
        ("short", "unicodeChar", "3"), ("ok", "boolean", None), ("spectrum", "float", "*"), ("pair", "double", "2"),
        ("image", "short", "2x3"), ("flags", "bit", "11"), ("mag", "float", None), ("byte", "unsignedByte", None),
        ("phase", "doubleComplex", None), ("switches", "boolean", "3"),
    ]  # fmt: skip
    for name, datatype, size in columns:
        more = {"arraysize": size} if size else {}
        table.fields.append(Field(file, name=name, ID=name, datatype=datatype, **more))
    table.create_arrays(n)
    for i in range(n):
        table.array[i] = (
            BIG - i, "x" * (i % 9), f"c{i % 100}", "α" * (i % 5), "βγ", i % 3 == 0,
            np.ma.array(rng.normal(size=i % 7), np.float32, mask=np.zeros(i % 7)),
            rng.normal(size=2), rng.integers(-99, 99, (3, 2)),
            (np.arange(11) + i) % 4 == 0, rng.normal(), i % 256, complex(i, -i), [True, i % 2 == 0, False],
        )  # fmt: skip
    table.array.mask["mag"][::5] = True
    table.array.mask["name"][::4] = True
    return file


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_column_in_every_form(tmp_path: Path, form: str) -> None:
    file = rich()
    file.set_all_tables_format(form)
    path = tmp_path / "a.vot"
    file.to_xml(str(path))
    got, theirs = read(path, chunk_rows=90), file.get_first_table().array
    assert len(got) == 300
    assert got["id"].to_pylist() == [BIG - i for i in range(300)]
    assert got["name"].to_pylist() == [None if i % 4 == 0 else "x" * (i % 9) or None for i in range(300)]
    assert got["code"].to_pylist() == [f"c{i % 100}" for i in range(300)]
    assert got["title"].to_pylist() == ["α" * (i % 5) or None for i in range(300)]
    assert got["short"].to_pylist() == ["βγ"] * 300
    assert got["ok"].to_pylist() == [i % 3 == 0 for i in range(300)]
    mags = [None if i % 5 == 0 else float(v) for i, v in enumerate(theirs["mag"].data)]
    ours = [None if v is None or np.isnan(v) else v for v in got["mag"].to_pylist()]
    assert ours == pytest.approx(mags)
    assert got["byte"].to_pylist() == [i % 256 for i in range(300)]
    for name in ("spectrum", "pair", "image", "flags", "switches"):
        for mine, cell in zip(got[name].to_pylist(), theirs[name].data, strict=True):
            assert np.asarray(mine or []) == pytest.approx(np.ravel(cell)), name
    assert got["phase"].to_pylist() == [[i, -i] for i in range(300)]
    some = read(path, columns=["pair", "name"])
    assert some.to_pydict() == got.select(["pair", "name"]).to_pydict()


@pytest.mark.parametrize("form", FORMS)
def test_chunks_of_a_table_larger_than_they(tmp_path: Path, form: str) -> None:
    n = 20_000
    file = from_table(Table({"id": BIG - np.arange(n), "name": [f"star {i}" for i in range(n)]}))
    file.set_all_tables_format(form)
    file.to_xml(str(tmp_path / "a.vot"))
    (source,) = find_sources([tmp_path / "a.vot"])
    got = list(iter_chunks(source, chunk_bytes=200_000))
    assert len(got) > 1
    whole = pa.concat_tables(got)
    assert whole["id"].to_pylist() == [BIG - i for i in range(n)]
    assert whole["name"].to_pylist() == [f"star {i}" for i in range(n)]


def test_fields_say_unit_ucd_and_description(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    field = '<FIELD name="RA_ICRS" ID="ra" datatype="double" unit="deg" ucd="pos.eq.ra">'
    path.write_text(
        document(
            f"<DESCRIPTION>of the table</DESCRIPTION>{field}<DESCRIPTION>\n Right\n ascension</DESCRIPTION></FIELD>",
            "<TABLEDATA/>",
        ).replace("<TABLE>", '<TABLE nrows="0">')
    )
    (source,) = find_sources([path])
    about = {b"unit": b"deg", b"ucd": b"pos.eq.ra", b"description": b"Right ascension"}
    assert read_schema(source).field("RA_ICRS").metadata == about
    assert count_rows(source) == 0


def test_prefixed_tags_and_tables_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.vot"
    row = "<v:DATA><v:TABLEDATA><v:TR><v:TD>{}</v:TD></v:TR></v:TABLEDATA></v:DATA>"
    tables = "".join(
        f'<v:TABLE name="t{i}"><v:FIELD name="v" datatype="int"/>{row.format(i)}</v:TABLE>' for i in (1, 2)
    )
    path.write_text(
        f'<v:VOTABLE xmlns:v="http://www.ivoa.net/xml/VOTable/v1.3"><v:RESOURCE>{tables}</v:RESOURCE></v:VOTABLE>'
    )
    assert read(path)["v"].to_pylist() == [1]
    assert read(path.with_name("a.vot#2"))["v"].to_pylist() == [2]
    assert read(path.with_name("a.vot#t2"))["v"].to_pylist() == [2]
    with pytest.raises(InputError, match=r"there is no table 't3'; it has 1 \(t1\), 2 \(t2\) in this VOTable"):
        read(path.with_name("a.vot#t3"))


def fault(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_rows_plainly_written_and_others_stay_in_order(tmp_path: Path) -> None:
    fields = '<FIELD name="id" datatype="long"/><FIELD name="t" datatype="char" arraysize="*"/>'
    rows = [f"<TR>\n <TD>{i}</TD><TD>star {i}</TD>\n</TR>\n" for i in range(60_000)]
    rows[30_000] = "<TR><!-- here --><TD>30000</TD><TD>a &amp; b</TD></TR>"
    rows[59_000] = "<TR><TD>59000</TD><TD/></TR>"
    path = tmp_path / "a.vot"
    path.write_text(document(fields, f"<TABLEDATA>\n{''.join(rows)}</TABLEDATA>"))
    assert path.stat().st_size > 2 << 20
    got = read(path, chunk_bytes=300_000)
    assert got["id"].to_pylist() == list(range(60_000))
    want = [f"star {i}" for i in range(60_000)]
    want[30_000], want[59_000] = "a & b", None
    assert got["t"].to_pylist() == want
    rows[58_000] = "<TR><TD>58000</TD></TR>\n"
    text = document(fields, f"<TABLEDATA>\n{''.join(rows)}</TABLEDATA>")
    line = text[: text.index("58000")].count("\n") + 1
    assert fault(path, text).startswith(f"line {line}: 1 cells instead of 2")


def test_faults_say_where_and_what(tmp_path: Path) -> None:
    path, ints = tmp_path / "a.vot", '<FIELD name="v" datatype="int"/>'
    rows = "<TABLEDATA>\n<TR><TD>1</TD></TR>\n<TR><TD>{}</TD></TR>\n</TABLEDATA>"
    assert fault(path, document(ints, rows.format("1.5"))).startswith("row 2, column v: '1.5' is not int32")
    assert fault(path, document(ints, rows.format("1</TD><TD>2"))).startswith("line 9: 2 cells instead of 1")
    assert "datatype 'integer' is none of" in fault(path, document('<FIELD name="v" datatype="integer"/>', rows))
    assert "arraysize '2,2' is not like" in fault(path, document(ints.replace("/>", ' arraysize="2,2"/>'), rows))
    assert "'v' is empty or stands twice" in fault(path, document(ints + ints, rows))
    assert "not a well-formed VOTable" in fault(path, document(ints, rows.format(2))[:-40])
    assert "2 rows where nrows says 3" in fault(
        path, document(ints, rows.format(2)).replace("<TABLE>", '<TABLE nrows="3">')
    )
    over = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>'
    assert "QUERY_STATUS is OVERFLOW: rows are missing" in fault(path, document(ints, rows.format(2), over))
    assert "its data are FITS" in fault(path, document(ints, "<FITS><STREAM/></FITS>"))
    binary = "<BINARY><STREAM {}>{}</STREAM></BINARY>"
    assert "its data are elsewhere (http://x)" in fault(path, document(ints, binary.format('href="http://x"', "")))
    assert "not base64" in fault(path, document(ints, binary.format('encoding="gzip"', "")))
    short = binary.format('encoding="base64"', base64.b64encode(b"\0\0\0\1\0\0").decode())
    assert "the STREAM ends within row 2 (2 bytes over)" in fault(path, document(ints, short))
    bomb = document(ints, rows.format("&a;")).replace("<VOTABLE", '<!DOCTYPE v [<!ENTITY a "1">]>\n<VOTABLE', 1)
    assert "entities of its own are not read" in fault(path, bomb)
    assert "it only describes a table" in fault(
        path, document(ints, "").replace("<DATA>\n\n</DATA>", "").replace("<TABLE>", '<TABLE nrows="5">')
    )


def test_the_services_errors_are_errors(real_data: Path) -> None:
    folder = real_data / "archive_responses/vizier"
    with pytest.raises(InputError, match="QUERY_STATUS is ERROR"):
        read(folder / "no_server_error.xml")
    with pytest.raises(InputError, match="it only describes a table"):
        read(folder / "find_kangapj70683.xml")
    with pytest.raises(InputError, match="archive of files"):
        read(real_data / "archive_responses/gaia/job_2.vot.gz")


def test_a_document_in_latin_1(tmp_path: Path) -> None:
    text = document('<FIELD name="v" datatype="char" arraysize="*"/>', "<TABLEDATA><TR><TD>été</TD></TR></TABLEDATA>")
    (tmp_path / "a.vot").write_bytes(text.replace('"1.0"', '"1.0" encoding="ISO-8859-1"', 1).encode("latin-1"))
    assert read(tmp_path / "a.vot")["v"].to_pylist() == ["été"]
