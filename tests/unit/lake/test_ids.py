"""Rows by id: all of them, from catalogues of any layout, through an index that may be damaged or made twice."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stellar.lake
from made_catalog import stars, store
from stellar.errors import InputError
from stellar.lake import id_index, write
from stellar.lake.hats import finish_catalog, finish_plain
from stellar.lake.id_index import INDEX_FILE, Source, make_index
from stellar.lake.kept import KEPT, Footer
from stellar.lake.search import searchable
from stellar.lake.write import canonical, write_partition
from stellar.sky.healpix import INDEX_COLUMN, Cell

EVERYTHING = canonical(stars(), id_column="star_id")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A catalogue of integer ids that do not follow the sky, with margins and several row groups per file."""
    root = tmp_path_factory.mktemp("stars")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "ROW_GROUP_ROWS", 50)
        store(root, stars(), margin_arcsec=3600.0)
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small_files(monkeypatch):
    """Indexes of several files, made in several goes."""
    monkeypatch.setattr(id_index, "SHARD_ROWS", 256)
    monkeypatch.setattr(id_index, "BUFFER_ROWS", 500)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 3100), max_size=40))
def test_rows_come_in_the_order_of_the_ids(folder, cache, wanted):
    found = stellar.lake.by_id(folder, wanted, cache=cache)
    place = {star: row for row, star in enumerate(EVERYTHING["star_id"].to_pylist())}
    rows = [place[star] for star in dict.fromkeys(wanted) if star in place]
    assert found.schema.equals(EVERYTHING.schema, check_metadata=True)
    assert found.to_pylist() == EVERYTHING.take(pa.array(rows, pa.int64())).to_pylist()


def test_an_index_of_many_files_finds_every_id(folder, tmp_path, small_files):
    index = make_index(Source(searchable(folder), "star_id", tmp_path))
    assert len(index.shards) == 16 and len(list(index.folder.iterdir())) == 17
    found = stellar.lake.by_id(folder, np.arange(3000), ["star_id", "name"], cache=tmp_path)
    assert found["star_id"].to_pylist() == list(range(3000)) and found.column_names == ["star_id", "name"]
    for star in range(0, 3000, 301):
        assert stellar.lake.by_id(folder, [star], ["star_id"], cache=tmp_path)["star_id"].to_pylist() == [star]


def test_later_questions_read_one_row_group(folder, tmp_path, monkeypatch):
    stellar.lake.by_id(folder, [1500], cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    read = []
    plain = Footer.read
    monkeypatch.setattr(Footer, "read", lambda self, *a, **k: read.append((self.path, a[1])) or plain(self, *a, **k))
    assert stellar.lake.by_id(folder, [1234], cache=tmp_path).num_rows == 1
    assert len(set(read)) == 1


def test_ids_may_be_strings_and_several_rows_have_one(tmp_path):
    random = np.random.default_rng(4)
    names = [f"gaia-{i // 2}" if i % 3 else f"é{i // 2}" for i in range(4000)]
    table = canonical(stars(4000), id_column="star_id")
    table = table.set_column(1, "object_id", pa.array(random.permutation(names)))
    pixels = table[INDEX_COLUMN].to_numpy() >> 56
    rows = {}
    for pixel in np.unique(pixels).tolist():
        path = tmp_path / "dataset" / Cell(1, pixel).path()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = table.filter(pa.array(pixels == pixel))
        rows[Cell(1, pixel)] = len(part)
        pq.write_table(part, path, row_group_size=100)
    finish_catalog(tmp_path, "own.pairs", rows, table.schema)
    held = table["object_id"].to_pylist()
    for wanted in (["gaia-77"], ["é6", "nobody", "gaia-1999", "gaia-0"]):
        found = stellar.lake.by_id(tmp_path, wanted, ["object_id", "name"], cache=tmp_path / "cache")
        expected = [(n, table["name"][i].as_py()) for n in wanted for i, one in enumerate(held) if one == n]
        assert [(row["object_id"], row["name"]) for row in found.to_pylist()] == expected and len(expected) > 0
    assert stellar.lake.by_id(tmp_path, [], cache=tmp_path / "cache").num_rows == 0


def test_small_and_sky_ordered_datasets_need_no_index(tmp_path):
    store(tmp_path / "few", stars(200), threshold=10_000)
    assert stellar.lake.by_id(tmp_path / "few", [3, 4], cache=tmp_path / "cache").num_rows == 2
    ordered = EVERYTHING.set_column(1, "star_id", pa.array(np.arange(3000)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "ROW_GROUP_ROWS", 50)
        store(tmp_path / "gaia", ordered.drop_columns([INDEX_COLUMN]))
    found = stellar.lake.by_id(tmp_path / "gaia", [2999, 17], id_column="star_id", cache=tmp_path / "cache")
    assert found["star_id"].to_pylist() == [2999, 17] and not (tmp_path / "cache").exists()


def test_plain_and_raw_datasets_are_looked_up_too(tmp_path):
    table = stars(100)
    for number in range(20):
        part = table.slice(5 * number, 5)
        part = part if number % 2 else part.drop_columns(["flux"])
        write_partition(part, tmp_path / f"dataset/b{number:02}.parquet", id_column="star_id", sky=False)
    finish_plain(tmp_path, table.schema)
    wanted = table["star_id"].to_pylist()[::17]
    found = stellar.lake.by_id(tmp_path, wanted, cache=tmp_path / "cache")
    assert found["star_id"].to_pylist() == wanted and found.schema.names == table.schema.names
    assert found["flux"].null_count > 2 and list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("damage", ["flipped", "short", "gone", "description", "folder"])
def test_a_damaged_index_is_made_again(folder, tmp_path, small_files, damage):
    index = make_index(Source(searchable(folder), "star_id", tmp_path))
    KEPT.clear()
    for file in index.folder.glob("*.npy"):
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        if damage == "flipped":
            file.write_bytes(content)
        elif damage == "short":
            file.write_bytes(content[:50])
        elif damage == "gone":
            file.unlink()
    if damage == "description":
        (index.folder / INDEX_FILE).write_text('{"identity": 3')
    if damage == "folder":
        for file in index.folder.iterdir():
            file.unlink()
    found = stellar.lake.by_id(folder, np.arange(100), ["star_id"], cache=tmp_path)
    assert found["star_id"].to_pylist() == list(range(100))
    assert [path.name for path in tmp_path.iterdir()] == [index.folder.name]
    KEPT.clear()
    assert stellar.lake.by_id(folder, [7], cache=tmp_path).num_rows == 1


def test_two_may_make_an_index_at_once(folder, tmp_path, small_files):
    KEPT.clear()
    start = threading.Barrier(4)

    def ask(star: int) -> list[int]:
        start.wait()
        return stellar.lake.by_id(folder, [star], cache=tmp_path)["star_id"].to_pylist()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(1500, 1504))) == [[1500], [1501], [1502], [1503]]
    assert len(list(tmp_path.iterdir())) == 1


def test_indexes_of_what_is_gone_are_removed(tmp_path, small_files):
    cache = tmp_path / "cache"
    for name in ("old", "new"):
        store(tmp_path / name, stars(600), threshold=5000)
        make_index(Source(searchable(tmp_path / name), "star_id", cache))
    (tmp_path / "old").rename(tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "new")
    store(tmp_path / "new", stars(700, seed=2), threshold=5000)
    index = make_index(Source(searchable(tmp_path / "new"), "star_id", cache))
    assert list(cache.iterdir()) == [index.folder]
    assert json.loads((index.folder / INDEX_FILE).read_text())["root"] == str(tmp_path / "new")


def test_which_column_identifies_rows_is_found_out(tmp_path):
    store(tmp_path / "ucd", stars(50))
    assert stellar.lake.by_id(tmp_path / "ucd", [3]).num_rows == 1
    for number, names in enumerate((["id", "x"], ["pair_left", "pair_right"], ["x", "y"])):
        root = tmp_path / str(number)
        table = pa.table({names[0]: [1, 2, 3], names[1]: [4, 5, 6]})
        write_partition(table, root / "dataset/bucket=0.parquet", id_column=names[0], sky=False)
        finish_plain(root, table.schema)
    (tmp_path / "1" / "manifest.json").write_text('{"id_columns": ["pair_left", "pair_right"]}')
    assert stellar.lake.by_id(tmp_path / "0", [3])["x"].to_pylist() == [6]
    assert stellar.lake.by_id(tmp_path / "1", [2])["pair_right"].to_pylist() == [5]
    assert stellar.lake.by_id(tmp_path / "2", [5], id_column="y")["x"].to_pylist() == [2]
    with pytest.raises(InputError, match="say id_column=, one of x, y"):
        stellar.lake.by_id(tmp_path / "2", [5])


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ([1.5], "ids of star_id are int64; numbers with a point"),
        (["a"], "ids of star_id are int64"),
        ("17", "write \\['17'\\]"),
        (17, "write \\[17\\]"),
        ([2**70], "ids of star_id are int64"),
    ],
)
def test_ids_of_another_type_are_refused(folder, tmp_path, wanted, told):
    with pytest.raises(InputError, match=told):
        stellar.lake.by_id(folder, wanted, cache=tmp_path)
    assert stellar.lake.by_id(folder, ["17"], cache=tmp_path)["star_id"].to_pylist() == [17]
