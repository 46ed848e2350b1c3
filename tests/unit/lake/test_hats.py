"""The files beside the partitions, and what they refuse."""

import pyarrow as pa

from made_catalog import stars, store
from stellar.lake.hats import (
    MarginInfo,
    common_schema,
    finish_catalog,
    margin_file,
    partition_file,
    read_partition_info,
    read_properties,
)
from stellar.lake.write import write_partition
from stellar.sky.healpix import INDEX_COLUMN, Cell


def test_properties_and_partition_info_say_what_is_there(tmp_path):
    files = store(tmp_path, stars())
    said = read_properties(tmp_path)
    assert said["hats_nrows"] == str(sum(file.rows for file in files.values())) == "3000"
    assert said["obs_collection"] == "curated.stars" and (said["hats_col_ra"], said["hats_col_dec"]) == ("ra", "dec")
    assert read_partition_info(tmp_path) == {cell: file.rows for cell, file in files.items()}
    assert (tmp_path / "properties").read_bytes() == (tmp_path / "hats.properties").read_bytes()


def test_written_twice_is_the_same_to_the_byte(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        store(folder, stars())
    store(folders[1], stars())
    trees = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders]
    assert trees[0] == trees[1] and len(trees[0]) > 10


def test_empty_partitions_are_left_out(tmp_path):
    table = stars(30)
    files = store(tmp_path, table)
    first = next(iter(files))
    write_partition(table.slice(0, 0), tmp_path / "dataset" / first.path(), id_column="star_id")
    rows = {cell: 0 if cell == first else file.rows for cell, file in files.items()}
    finish_catalog(tmp_path, "curated.stars", rows, table.schema)
    assert first not in read_partition_info(tmp_path) and not (tmp_path / "dataset" / first.path()).exists()


def test_positions_may_have_other_names_and_the_index_another_place(tmp_path):
    schema = pa.schema([("id_left", pa.int64()), ("ra_left", pa.float64()), (INDEX_COLUMN, pa.int64())])
    assert common_schema(schema, sky=True).names == schema.names
    assert common_schema(schema.remove(2), sky=True).names == [INDEX_COLUMN, "id_left", "ra_left"]
    finish_catalog(tmp_path, "own.x", {Cell(0, 3): 5}, schema, position=("ra_left", "dec_left"), size=10_000)
    said = read_properties(tmp_path)
    assert (said["hats_col_ra"], said["hats_col_dec"]) == ("ra_left", "dec_left")
    assert (said["hats_estsize"], said["hats_nrows"]) == ("9", "5")


def test_a_catalogue_with_margins_is_a_collection(tmp_path):
    schema = stars(3).schema
    rows = {Cell(1, 8): 2, Cell(0, 3): 5}
    margin = MarginInfo(10.0, {Cell(0, 3): 1, Cell(1, 8): 0}, 900)
    finish_catalog(tmp_path, "own.x", rows, schema, margin=margin, size=10_000)
    collection = (tmp_path / "collection.properties").read_text()
    assert "hats_primary_table_url=catalog\nall_margins=margin\ndefault_margin=margin\n" in collection
    assert read_partition_info(tmp_path / "catalog") == rows
    assert read_partition_info(tmp_path / "margin") == {Cell(0, 3): 1}
    said = read_properties(tmp_path / "margin")
    assert (said["dataproduct_type"], said["hats_margin_threshold"]) == ("margin", "10.0")
    assert partition_file(Cell(0, 3), margins=True) == "catalog/dataset/Norder=0/Dir=0/Npix=3.parquet"
    assert partition_file("bucket=000") == "dataset/bucket=000.parquet"
    assert margin_file(Cell(0, 3)) == "margin/dataset/Norder=0/Dir=0/Npix=3.parquet"
    alone = tmp_path / "alone"
    finish_catalog(alone, "own.x", rows, schema, margin=MarginInfo(10.0, {}, 0), size=1)
    assert not (alone / "margin").exists() and "margins" not in (alone / "collection.properties").read_text()
