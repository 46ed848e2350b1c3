"""The same rows from every kind of file, in bounded chunks; one schema for many files."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import from_table
from astropy.table import Table

from stellar.errors import InputError
from stellar.surveys.readers.chunks import common_schema, count_rows, find_sources, iter_chunks, read_schema

ROWS = 2000
GAIA = 2**63 - 25  # the last 64-bit ids: a float would round them


def rows() -> pa.Table:
    """Ids that no float can hold, with nulls in other rows and columns."""
    rng = np.random.default_rng(5)
    gap = np.arange(ROWS) % 7 == 3
    return pa.table(
        {
            "source_id": pa.array(GAIA - np.arange(ROWS), pa.int64()),
            "other_id": pa.array(GAIA - 3 * np.arange(ROWS) % 1000, pa.int64(), mask=gap),
            "ra": pa.array(rng.uniform(0, 360, ROWS)),
            "dec": pa.array(rng.uniform(-90, 90, ROWS), mask=gap),
            "name": pa.array([None if g else f"star é {i}" for i, g in enumerate(gap)]),
            "flag": pa.array(rng.integers(0, 2, ROWS).astype(bool)),
        }
    )


def as_astropy(table: pa.Table) -> Table:
    out = Table(masked=True)
    for name in table.column_names:
        values, null = table[name].combine_chunks(), np.asarray(table[name].is_null())
        fill = values.fill_null("" if pa.types.is_string(values.type) else 0) if null.any() else values
        out[name] = np.asarray(fill.to_pylist(), "U1" if pa.types.is_string(fill.type) and not len(fill) else None)
        out[name].mask = null
    out["ra"].unit, out["ra"].description = "deg", "Right ascension"
    return out


def as_votable(table: pa.Table, form: str) -> bytes:
    document = from_table(as_astropy(table))
    document.set_all_tables_format(form)
    document.get_first_table().get_field_by_id("ra").ucd = "pos.eq.ra;meta.main"
    if form == "binary":  # which has no other way to say null
        document.get_first_table().get_field_by_id("other_id").values.null = -1
    out = io.BytesIO()
    document.to_xml(out)
    return out.getvalue()


def write_csv(table: pa.Table, path: Path) -> None:
    import pyarrow.csv

    pyarrow.csv.write_csv(table, path)


def write_fits(table: pa.Table, path: Path) -> None:
    plain = as_astropy(table)
    plain["other_id"].fill_value = -(2**63)
    plain["name"] = np.char.encode(plain["name"].filled(""), "utf-8")
    plain.write(path, format="fits")


WRITERS: dict[str, Callable[[pa.Table, Path], object]] = {
    "t.parquet": lambda table, path: pq.write_table(table, path, row_group_size=300),
    "t.feather": lambda table, path: feather.write_feather(table, path, chunksize=300),
    "t.csv": write_csv,
    "t.fits": write_fits,
    "t.ecsv": lambda table, path: as_astropy(table).write(path, format="ascii.ecsv"),
    "comma.ecsv": lambda table, path: as_astropy(table).write(path, format="ascii.ecsv", delimiter=","),
    "data.vot": lambda table, path: path.write_bytes(as_votable(table, "tabledata")),
    "binary.votable": lambda table, path: path.write_bytes(as_votable(table, "binary")),
    "binary2.xml": lambda table, path: path.write_bytes(as_votable(table, "binary2")),
}


def plain(table: pa.Table) -> dict[str, list]:
    """Columns as lists; NaN, which is how FITS writes a missing float, as None."""
    return {
        name: [None if isinstance(v, float) and np.isnan(v) else v for v in table[name].to_pylist()]
        for name in table.column_names
    }


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", WRITERS)
def test_same_rows_from_every_kind(tmp_path: Path, name: str, packed: str) -> None:
    table, path = rows(), tmp_path / name
    WRITERS[name](table, path)
    if packed:
        if name.endswith((".parquet", ".feather")):
            pytest.skip("packed by itself")
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / f"{name}.gz"
    (source,) = find_sources([path])
    schema = read_schema(source)
    got = list(iter_chunks(source, chunk_rows=317))
    assert all(chunk.schema.equals(schema, check_metadata=True) for chunk in got)
    assert all(0 < len(chunk) <= 317 for chunk in got)
    for chunk in got:
        chunk.validate(full=True)
    assert plain(pa.concat_tables(got)) == plain(table)
    assert schema.field("source_id").type == schema.field("other_id").type == pa.int64()
    assert count_rows(source) in (None, ROWS)
    if not name.endswith((".parquet", ".feather", ".csv")):
        about = {key.decode(): value.decode() for key, value in schema.field("ra").metadata.items()}
        assert about["unit"] == "deg"


@pytest.mark.parametrize("name", WRITERS)
def test_columns_in_the_order_asked_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](rows(), path)
    (source,) = find_sources([path])
    got = pa.concat_tables(iter_chunks(source, columns=["dec", "source_id"]))
    assert got.column_names == ["dec", "source_id"]
    assert plain(got) == plain(rows().select(["dec", "source_id"]))
    with pytest.raises(InputError, match="no column Dec_deg; it has source_id"):
        next(iter_chunks(source, columns=["Dec_deg"]))


@pytest.mark.parametrize("name", WRITERS)
def test_chunks_are_bounded_in_bytes(tmp_path: Path, name: str) -> None:
    table = rows()
    WRITERS[name](table, tmp_path / name)
    (source,) = find_sources([tmp_path / name])
    got = list(iter_chunks(source, chunk_bytes=table.nbytes // 8))
    assert sum(map(len, got)) == ROWS
    if "csv" not in name and not name.endswith((".vot", ".votable", ".xml")):  # whose blocks are larger than this
        assert len(got) >= 4
    assert all(chunk.nbytes <= table.nbytes // 2 for chunk in got)


def test_a_table_without_rows(tmp_path: Path) -> None:
    for name, write in WRITERS.items():
        write(rows().slice(0, 0), tmp_path / name)
        (source,) = find_sources([tmp_path / name])
        assert list(iter_chunks(source)) == [], name
        assert read_schema(source).names == rows().column_names


@pytest.mark.parametrize("name", WRITERS)
def test_a_cut_file_is_told(tmp_path: Path, name: str) -> None:
    WRITERS[name](rows(), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for part in (0.4, 0.9):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * part)])
        if name in ("t.csv", "t.ecsv", "comma.ecsv"):  # text may end anywhere; a line cut in two is seen
            (tmp_path / name).write_bytes(whole[: int(len(whole) * part)].rpartition(b"\n")[0] + b"\n12345")
        with pytest.raises(InputError, match=name):
            list(iter_chunks(find_sources([tmp_path / name])[0]))


@pytest.mark.parametrize("name", ["t.csv", "t.fits", "data.vot", "t.ecsv"])
def test_a_cut_packed_file_is_told(tmp_path: Path, name: str) -> None:
    WRITERS[name](rows(), tmp_path / name)
    packed = gzip.compress((tmp_path / name).read_bytes())
    (tmp_path / f"{name}.gz").write_bytes(packed[: len(packed) * 2 // 3])
    with pytest.raises(InputError, match=r"damaged or cut|is cut"):
        list(iter_chunks(find_sources([tmp_path / f"{name}.gz"])[0]))


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_one_schema_for_files_of_many_kinds(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", id=pa.array([1], pa.int32()), ra=pa.array([1.5], pa.float32()))
    (tmp_path / "b.csv").write_text("RA,id,extra\n2,9007199254740993,x\n")
    sources = find_sources([first, tmp_path / "b.csv"])
    schema = common_schema(sources, required=["id", "ra"])
    assert schema.names == ["id", "ra", "extra"]
    assert schema.types == [pa.int64(), pa.float64(), pa.string()]
    got = pa.concat_tables(chunk for source in sources for chunk in iter_chunks(source, schema=schema))
    assert plain(got) == {"id": [1, 2**53 + 1], "ra": [1.5, 2.0], "extra": [None, "x"]}


def test_numbers_and_text_of_csv_files_become_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,tile\n1,007\n")
    (tmp_path / "b.csv").write_text("id,tile\n2,7b\n")
    sources = find_sources([tmp_path])
    schema = common_schema(sources)
    got = pa.concat_tables(chunk for source in sources for chunk in iter_chunks(source, schema=schema))
    assert got["tile"].to_pylist() == ["007", "7b"], "as written"


def test_conflicts_name_both_files_and_the_column(tmp_path: Path) -> None:
    one = write(tmp_path / "a.parquet", id=[1], mag=[1.0])
    two = write(tmp_path / "b.parquet", id=[1], mag=["faint"])
    with pytest.raises(InputError, match=r"column mag is double in .*a\.parquet and string in .*b\.parquet"):
        common_schema(find_sources([one, two]))
    with pytest.raises(InputError, match=r"a\.parquet: there is no column ra; it has id, mag"):
        common_schema(find_sources([one]), required=["id", "ra"])


def test_text_among_numbers_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,ra,dec\n1,10,-5\n2,,\n3,12:30:00,+1.5\n")
    sources = find_sources([tmp_path / "a.csv"])
    assert common_schema(sources, required=["id", "ra"], numbers=["Dec"]).field("dec").type == pa.float64()
    with pytest.raises(InputError, match=r"a\.csv: line 4, column ra: '12:30:00' is no number; it must be"):
        common_schema(sources, numbers=["ra", "dec"])
    with pytest.raises(InputError, match=r"b\.parquet: column ra is string; it must be numbers"):
        common_schema(find_sources([write(tmp_path / "b.parquet", ra=["x"])]), numbers=["ra"])


def test_units_that_differ_are_a_conflict_and_their_spelling_is_not(tmp_path: Path) -> None:
    def described(name: str, unit: str) -> Path:
        column = pa.field("v", pa.float64(), metadata={"unit": unit})
        pq.write_table(pa.table([[1.0]], schema=pa.schema([column])), tmp_path / name)
        return tmp_path / name

    kms, same, deg = described("a.parquet", "km/s"), described("b.parquet", "km s-1"), described("c.parquet", "deg")
    assert common_schema(find_sources([kms, same])).field("v").metadata == {b"unit": b"km/s"}
    with pytest.raises(InputError, match=r"column v is in km/s in .*a\.parquet and in deg in .*c\.parquet"):
        common_schema(find_sources([kms, deg]))


def test_an_id_is_never_rounded_to_fit_other_files(tmp_path: Path) -> None:
    ids = write(tmp_path / "a.parquet", id=[1, 2**53 + 1])
    floats = write(tmp_path / "b.parquet", id=[1.5])
    (tmp_path / "c.csv").write_text("id\n9007199254740993\n")
    sources = find_sources([ids, floats, tmp_path / "c.csv"])
    schema = common_schema(sources)
    with pytest.raises(InputError, match=r"a\.parquet: row 2, column id: 9007199254740993 \(int64\)"):
        list(iter_chunks(sources[0], schema=schema))
    with pytest.raises(InputError, match=r"c\.csv: column id: near line 2"):
        list(iter_chunks(sources[2], schema=schema))


def test_files_that_differ_in_case_alone_have_one_column(tmp_path: Path) -> None:
    one = write(tmp_path / "a.parquet", ID=[1], Ra=[1.0])
    two = write(tmp_path / "b.parquet", id=[2], ra=[2.0], RA=[3.0])
    sources = find_sources([one, two])
    schema = common_schema(sources)
    assert schema.names == ["ID", "Ra", "ra", "RA"], "two that the other might mean are left alone"
    got = pa.concat_tables(chunk for source in sources for chunk in iter_chunks(source, schema=schema))
    assert got["ID"].to_pylist() == [1, 2]
    assert got["Ra"].to_pylist() == [1.0, None]


def test_a_column_without_values_becomes_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,note\n1,\n2,NA\n")
    (source,) = find_sources([tmp_path / "a.csv"])
    assert read_schema(source).field("note").type == pa.null()
    schema = common_schema([source])
    assert schema.field("note").type == pa.string()
    assert pa.concat_tables(iter_chunks(source, schema=schema))["note"].to_pylist() == [None, None]


def test_real_files_of_every_dialect_read_as_astropy_reads_them(real_data: Path) -> None:
    files = sorted((real_data / "sdssv_plates").glob("*.fits"))[:4]
    files += [real_data / "archive_responses/vizier/kang2010.xml", real_data / "archive_responses/gaia/job_1.vot"]
    files += [real_data / "archive_responses/gaia/1710099405832VAL-result.vot"]
    files += [real_data / "archive_responses/gaia/1712337806100O-result.ecsv"]
    for source in find_sources(files):
        form = {"ecsv": "ascii.ecsv"}.get(source.kind, source.kind)
        more = {"use_names_over_ids": True} if form == "votable" else {}
        theirs = Table.read(source.path, format=form, **more)
        ours = pa.concat_tables(iter_chunks(source))
        assert ours.column_names == theirs.colnames
        for name in theirs.colnames:
            assert same_cells(ours[name].to_pylist(), theirs[name]), f"{source}: {name}"


def same_cells(ours: list, theirs: object) -> bool:
    mask = np.ma.getmaskarray(np.ma.asarray(theirs))
    for mine, cell, masked in zip(ours, theirs, mask, strict=True):
        if np.all(masked) or cell is None:
            if (
                mine not in (None, "")
                and not (isinstance(mine, float) and np.isnan(mine))
                and not isinstance(mine, list)
            ):
                return False
            continue
        cell = cell.strip() if isinstance(cell, str) else cell
        if isinstance(cell, str):
            same = (mine or "") == cell
        else:
            want = np.asarray(cell, float)
            same = np.array_equal(np.asarray(mine, float) if mine is not None else np.nan, want, equal_nan=True)
        if not same:
            return False
    return True


def test_real_csv_files_read_as_written(real_data: Path) -> None:
    for path in sorted(real_data.glob("*.csv")):
        (source,) = find_sources([path])
        got = pa.concat_tables(iter_chunks(source, chunk_rows=1000))
        assert len(got) == count_rows(source) == len(path.read_text().strip().splitlines()) - 1
        for name in ("source_id", "tess_id", "obsid"):
            if name in got.column_names:
                assert got[name].type == pa.int64()
                assert str(got[name][0].as_py()) in path.read_text().splitlines()[1]


def test_a_folder_of_real_plates_is_one_table(real_data: Path) -> None:
    sources = find_sources([real_data / "sdssv_plates"])
    assert len(sources) == 157
    schema = common_schema(sources[:20], required=["RA", "Dec"])
    assert sum(len(chunk) for source in sources[:20] for chunk in iter_chunks(source, schema=schema)) == 20 * 800
