"""Which files are read: folders of every make, each file once, in a fixed order."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stellar.errors import InputError
from stellar.surveys.readers.chunks import SourceFile, common_schema, find_sources, iter_chunks, read_schema


def put(path: Path, **columns: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns or {"id": [1]}), path)
    return path


def hats(root: Path, product: str = "object", cells: tuple[tuple[int, int], ...] = ((1, 10), (1, 9), (0, 3))) -> Path:
    for order, pixel in cells:
        path = root / f"dataset/Norder={order}/Dir=0/Npix={pixel}.parquet"
        put(path, id=[pixel], ra=[1.0], Norder=[order], Dir=[0], Npix=[pixel])
    put(root / "dataset/_metadata")
    put(root / "dataset/data_thumbnail.parquet")
    (root / "hats.properties").write_text(
        f"#HATS catalog\nobs_collection=x\ndataproduct_type={product}\nhats_col_ra=ra\n"
    )
    rows = "".join(f"{order},{pixel}\n" for order, pixel in cells)
    (root / "partition_info.csv").write_text("Norder,Npix\n" + rows)
    return root


def names(*paths: Path) -> list[str]:
    return [source.path.name for source in find_sources(paths)]


def test_a_hats_catalogue_gives_its_partitions_without_hive_columns(tmp_path: Path) -> None:
    root = hats(tmp_path / "cat")
    hats(root / "margin", "margin")
    sources = find_sources([root])
    assert [source.path.name for source in sources] == ["Npix=3.parquet", "Npix=9.parquet", "Npix=10.parquet"]
    assert common_schema(sources).names == ["id", "ra"]
    assert [chunk["id"].to_pylist() for source in sources for chunk in iter_chunks(source)] == [[3], [9], [10]]


def test_a_collection_gives_its_main_table_alone(tmp_path: Path) -> None:
    hats(tmp_path / "main")
    hats(tmp_path / "main_10arcs", "margin")
    (tmp_path / "collection.properties").write_text(
        "obs_collection=x\nhats_primary_table_url=main\nall_margins=main_10arcs\ndefault_margin=main_10arcs\n"
    )
    assert names(tmp_path) == ["Npix=3.parquet", "Npix=9.parquet", "Npix=10.parquet"]
    (tmp_path / "collection.properties").unlink()
    assert len(find_sources([tmp_path])) == 3, "nor do margins in a folder of catalogues"
    with pytest.raises(InputError, match="a HATS margin table and no catalogue"):
        find_sources([tmp_path / "main_10arcs"])


def test_a_hats_catalogue_whose_partitions_are_folders(tmp_path: Path) -> None:
    root = hats(tmp_path / "cat", cells=((0, 3),))
    (root / "dataset/Norder=0/Dir=0/Npix=3.parquet").unlink()
    for part in (2, 10):
        put(root / f"dataset/Norder=0/Dir=0/Npix=3/part{part}.parquet")
    assert names(root) == ["part2.parquet", "part10.parquet"]


def test_a_hats_catalogue_that_lacks_a_partition_is_refused(tmp_path: Path) -> None:
    root = hats(tmp_path / "cat")
    (root / "dataset/Norder=1/Dir=0/Npix=9.parquet").unlink()
    with pytest.raises(InputError, match="partition Norder=1, Npix=9 is listed but has no file"):
        find_sources([root])


def test_names_of_partitioned_folders_are_columns(tmp_path: Path) -> None:
    put(tmp_path / "year=x/t/survey=sdss/field=7/a.parquet", id=[1])
    put(tmp_path / "year=x/t/survey=a%20b/field=__HIVE_DEFAULT_PARTITION__/a.parquet", id=[2])
    put(tmp_path / "year=x/t/_temporary/a.parquet", id=[3])
    sources = find_sources([tmp_path / "year=x/t"])
    schema = common_schema(sources)
    assert schema.names == ["id", "survey", "field"]
    assert schema.types == [pa.int64(), pa.string(), pa.int64()]
    got = pa.concat_tables(chunk for source in sources for chunk in iter_chunks(source, schema=schema))
    assert got.to_pydict() == {"id": [2, 1], "survey": ["a b", "sdss"], "field": [None, 7]}
    assert read_schema(sources[0]).names == ["id", "survey", "field"]
    assert pa.concat_tables(iter_chunks(sources[1], columns=["field"])).to_pydict() == {"field": [7]}


def test_partition_names_that_are_no_numbers_in_one_folder_are_text_in_all(tmp_path: Path) -> None:
    put(tmp_path / "tile=7/a.parquet", id=[1])
    put(tmp_path / "tile=007/a.parquet", id=[2])
    sources = find_sources([tmp_path])
    schema = common_schema(sources)
    got = pa.concat_tables(chunk for source in sources for chunk in iter_chunks(source, schema=schema))
    assert sorted(got["tile"].to_pylist()) == ["007", "7"]


def test_each_file_once_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        put(tmp_path / f"part-{number}.parquet")
    (tmp_path / "part-9-again.parquet").symlink_to(tmp_path / "part-9.parquet")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / "part-1.parquet.sha256").write_text("0")
    assert names(tmp_path) == ["part-1.parquet", "part-9-again.parquet", "part-10.parquet"], "a link is its file"
    (tmp_path / "part-9-again.parquet").unlink()
    again = [tmp_path / "part-10.parquet", tmp_path, tmp_path / "../" / tmp_path.name / "part-1.parquet"]
    assert names(*again) == ["part-10.parquet", "part-1.parquet", "part-9.parquet"]


def test_kinds_are_told_by_content_first(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet")
    shutil.copy(tmp_path / "a.parquet", tmp_path / "b.dat")
    (tmp_path / "c.csv").write_text("# %ECSV 1.0\n# ---\n# datatype:\n# - {name: a, datatype: int64}\na\n1\n")
    assert [find_sources([tmp_path / name])[0].kind for name in ("a.parquet", "b.dat", "c.csv")] == [
        "parquet",
        "parquet",
        "ecsv",
    ]


def test_every_file_at_fault_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + b"0" * 30)
    (tmp_path / "b.parquet").write_text("id,ra\n1,2\n")
    (tmp_path / "c.xyz").write_text("1 2 3\n")
    (tmp_path / "d").mkdir()
    paths = [tmp_path / name for name in ("a.zip", "b.parquet", "c.xyz", "d", "gone.csv")]
    with pytest.raises(InputError) as caught:
        find_sources(paths)
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [str(path) for path in paths]
    assert "archive of files" in lines[0] and "named as parquet but" in lines[1] and "not a known kind" in lines[2]
    assert "no table file in this folder" in lines[3] and "no such file" in lines[4]
    with pytest.raises(InputError, match=r"c\.xyz: not a known kind of table"):
        find_sources([tmp_path])
    with pytest.raises(InputError, match="no file given"):
        find_sources([])


def test_a_source_goes_through_json(tmp_path: Path) -> None:
    put(tmp_path / "survey=x/a.parquet")
    (source,) = find_sources([tmp_path])
    assert SourceFile.from_dict(json.loads(json.dumps(source.to_dict()))) == source
    named = SourceFile(tmp_path / "f.fits", "fits", "2")
    assert SourceFile.from_dict(json.loads(json.dumps(named.to_dict()))) == named
    assert str(named).endswith("f.fits#2")
