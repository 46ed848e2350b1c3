"""Staging: tables on disk as chunks sorted along the sky, found again as long as nobody touches the file."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stellar.engine import staging
from stellar.engine.staging import open_batches, read_staged, stage
from stellar.errors import IntegrityError
from stellar.lake.layout import layout, layout_by
from stellar.sky.healpix import INDEX_COLUMN, Cell, spatial_index
from stellar.surveys.readers.chunks import common_schema, find_sources

OPTIONS = {"id": "id", "ra": "ra", "dec": "dec"}


def table(n, seed=0):
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "id": pa.array(np.arange(n), pa.int64()),
            "ra": random.uniform(0, 360, n),
            "dec": np.degrees(np.arcsin(random.uniform(-1, 1, n))),
            "name": [f"s{i}" for i in range(n)],
            "flux": [[float(i)] * (i % 3) for i in range(n)],
        }
    )


def staged(tmp_path, rows, name="a.parquet"):
    path = tmp_path / name
    pq.write_table(rows, path)
    sources = find_sources([path])
    return stage(tmp_path / "lake", "own.stars", sources[0], common_schema(sources), OPTIONS)


def batches(tmp_path, *found):
    return open_batches(tmp_path / "lake", found)


def test_rows_of_a_cell_are_those_of_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "CHUNK_BYTES", 20_000)
    monkeypatch.setattr(staging, "PART_BYTES", 30_000)
    rows = table(2_000)
    one = staged(tmp_path, rows)
    assert (one.rows, one.unplaced, len(one.parts) > 2) == (2_000, 0, True)
    index = spatial_index(rows["ra"].to_numpy(), rows["dec"].to_numpy())
    for cell in (Cell(0, 4), Cell(2, 77), Cell(5, 6_000)):
        inside = rows.filter(pa.array(cell.contains(index))).sort_by("id")
        found = batches(tmp_path, one).read(*cell.range29()).sort_by("id")
        assert found.drop_columns([INDEX_COLUMN]).to_pylist() == inside.to_pylist()
        assert sum(rows for _, _, rows in batches(tmp_path, one).pieces(*cell.range29())) == len(inside)


def test_a_file_is_staged_once_until_it_is_touched(tmp_path):
    first = staged(tmp_path, table(50))
    sources = find_sources([tmp_path / "a.parquet"])
    part = tmp_path / "lake" / first.parts[0]
    made = part.stat().st_mtime_ns
    again = stage(tmp_path / "lake", "own.stars", sources[0], common_schema(sources), OPTIONS)
    assert (again, part.stat().st_mtime_ns) == (first, made)
    said = tmp_path / "lake" / "staged" / "own" / "stars" / f"{first.batch_id}.json"
    os.utime(said, (0, 0))
    assert stage(tmp_path / "lake", "own.stars", sources[0], common_schema(sources), OPTIONS) == first
    assert said.stat().st_mtime > 0  # it counts as young again
    other = staged(tmp_path, table(50, seed=1))
    assert other.batch_id != first.batch_id
    # the same size and time of change do not hide other content: its inode or change time differs
    before = (tmp_path / "a.parquet").stat()
    third = staged(tmp_path, table(50, seed=2))
    os.utime(tmp_path / "a.parquet", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert third.batch_id not in (first.batch_id, other.batch_id)


def test_a_damaged_part_is_staged_again(tmp_path):
    first = staged(tmp_path, table(50))
    part = tmp_path / "lake" / first.parts[0]
    content = part.read_bytes()
    part.write_bytes(content[:-10])
    with pytest.raises(IntegrityError, match="import its file again"):
        read_staged(tmp_path / "lake", "own.stars", first.batch_id)
    sources = find_sources([tmp_path / "a.parquet"])
    again = stage(tmp_path / "lake", "own.stars", sources[0], common_schema(sources), OPTIONS)
    assert again == first
    assert part.read_bytes() == content


def test_rows_without_a_place_come_apart_with_their_batch(tmp_path):
    rows = table(6)
    rows = rows.set_column(1, "ra", pa.array([1.0, None, 3.0, float("nan"), 5.0, 6.0]))
    rows = rows.set_column(2, "dec", pa.array([1.0, 2.0, 91.0, 4.0, 5.0, 6.0]))
    rows = rows.set_column(0, "id", pa.array([0, 1, 2, 3, None, 5]))
    one = staged(tmp_path, rows)
    assert one.unplaced == 4
    lost = batches(tmp_path, one).unplaced()
    assert sorted(lost["name"].to_pylist()) == ["s1", "s2", "s3", "s4"]
    assert set(lost["batch_id"].to_pylist()) == {one.batch_id}


def test_a_piece_s_hash_follows_its_rows_alone(tmp_path):
    rows = table(400)
    one = staged(tmp_path, rows)
    index = spatial_index(rows["ra"].to_numpy(), rows["dec"].to_numpy())
    cell, other = Cell(0, 4), Cell(0, 7)
    changed = rows["name"].to_pylist()
    changed[int(np.flatnonzero(other.contains(index))[0])] = "changed"
    two = staged(tmp_path, rows.set_column(3, "name", pa.array(changed)), "b.parquet")
    first, second = (
        [batches(tmp_path, each).pieces(*place.range29()) for place in (cell, other)] for each in (one, two)
    )
    assert first[0][0][1] == second[0][0][1]
    assert first[1][0][1] != second[1][0][1]


def test_kept_hashes_are_those_of_the_rows(tmp_path):
    one = staged(tmp_path, table(300))
    bounds = [Cell(1, pixel).range29() for pixel in range(48)]
    first = batches(tmp_path, one)
    first.prepare(bounds, 2)
    part = tmp_path / "lake" / one.parts[0]
    about = part.stat()
    with part.open("r+b") as file:  # nothing is read for it again
        file.write(bytes(about.st_size))
    os.utime(part, ns=(about.st_atime_ns, about.st_mtime_ns))
    again = batches(tmp_path, one)
    assert [again.pieces(*each) for each in bounds] == [first.pieces(*each) for each in bounds]


def test_cells_are_those_that_the_rows_give(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "CHUNK_BYTES", 20_000)
    rows = table(3_000)
    one = staged(tmp_path, rows)
    index = spatial_index(rows["ra"].to_numpy(), rows["dec"].to_numpy())
    for largest in (40, 300, 5_000):
        assert layout_by(batches(tmp_path, one).below, 1.0, largest) == layout(index, 1.0, threshold_bytes=largest)
