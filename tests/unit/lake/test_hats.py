"""The files beside the partitions, and what they refuse."""

import pyarrow as pa
import pytest

from made_catalog import stars, store
from stellar.errors import IntegrityError
from stellar.lake.hats import finish_catalog, read_partition_info, read_properties
from stellar.lake.write import write_partition


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


def test_partitions_that_differ_from_what_is_said_are_refused(tmp_path):
    table = stars(300)
    files = store(tmp_path, table)
    rows = {cell: file.rows for cell, file in files.items()}
    first = next(iter(files))
    with pytest.raises(IntegrityError, match="rows, not"):
        finish_catalog(tmp_path, "c", {**rows, first: rows[first] + 1}, table.schema)
    with pytest.raises(IntegrityError, match="extra is missing"):
        finish_catalog(tmp_path, "c", rows, table.schema.append(pa.field("extra", pa.int8())))
    (tmp_path / "dataset" / first.path()).unlink()
    with pytest.raises(IntegrityError, match="partition is missing"):
        finish_catalog(tmp_path, "c", rows, table.schema)
