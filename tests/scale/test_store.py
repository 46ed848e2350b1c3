"""Paths in an object store, on a real server: what the platform asks of `pathlib.Path` holds for them too."""

import os
import pickle
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stellar import store
from stellar.errors import InputError
from stellar.settings import load_settings
from stellar.store import objects


@pytest.fixture
def lake(bucket, tmp_path):
    return store.open_lake(f"{bucket}/some/where", tmp_path / "cache")


def test_a_path_has_the_methods_of_one_here(lake, bucket):
    path = lake / "own/stars/k" / "dataset/Norder=0/Dir=0/Npix=1.parquet"
    assert str(path) == f"{bucket}/some/where/own/stars/k/dataset/Norder=0/Dir=0/Npix=1.parquet"
    assert (path.name, path.stem, path.suffix, path.parent.name) == ("Npix=1.parquet", "Npix=1", ".parquet", "Dir=0")
    assert not path.exists() and not lake.is_dir() and list(lake.glob("*/*")) == []
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"rows")
    (lake / "own/stars/k/manifest.json").write_text("{}", encoding="utf-8")
    assert path.is_file() and not path.is_dir() and path.parent.is_dir() and path.stat().st_size == 4
    assert path.relative_to(lake).as_posix() == "own/stars/k/dataset/Norder=0/Dir=0/Npix=1.parquet"
    assert [one.name for one in lake.glob("*/*/*/manifest.json")] == ["manifest.json"]
    assert sorted(one.name for one in (lake / "own/stars/k").iterdir()) == ["dataset", "manifest.json"]
    assert [one for one in lake.rglob("*.parquet")] == [path]
    assert [one.name for one in (lake / "own/stars/k").glob("dataset/Norder=*/**/Npix=*")] == ["Npix=1.parquet"]
    with path.open("rb") as stream:
        assert stream.read() == b"rows"
    assert pickle.loads(pickle.dumps(path)) == path
    assert lake / "/abs/olute" == Path("/abs/olute")
    with pytest.raises(FileNotFoundError):
        (lake / "nothing").stat()
    with pytest.raises(FileNotFoundError):
        (lake / "nothing").read_text()
    path.unlink()
    path.unlink(missing_ok=True)
    assert store.sizes(lake) == {"own/stars/k/manifest.json": 2}


def test_a_library_gets_the_file_as_it_is_now(lake, tmp_path):
    path = lake / "a.parquet"
    for rows in ([1, 2], [1, 2, 3]):
        draft = tmp_path / "draft.parquet"
        pq.write_table(pa.table({"a": rows}), draft)
        store.link(draft, path)
        assert pq.ParquetFile(path).read().to_pydict() == {"a": rows}
        assert pq.read_metadata(path).num_rows == len(rows)
    assert os.fspath(path) == os.fspath(path)
    assert Path(path).suffix == ".parquet"
    with pytest.raises(FileNotFoundError):
        os.fspath(lake / "b.parquet")
    path.replace(lake / "b.parquet")
    assert not path.exists() and pq.read_metadata(lake / "b.parquet").num_rows == 3
    with pytest.raises(IsADirectoryError):
        os.fspath(lake)


def test_a_draft_appears_whole_and_carries_objects_over(lake, tmp_path):
    first = store.Draft(tmp_path / "aside")
    (first.folder / "manifest.json").write_text("1")
    (first.folder / "dataset").mkdir()
    (first.folder / "dataset" / "a").write_text("aa")
    (first.folder / "dataset" / "b").write_text("bbb")
    first.publish(lake / "own/stars/1", "manifest.json")
    assert store.sizes(lake) == {
        "own/stars/1/manifest.json": 1,
        "own/stars/1/dataset/a": 2,
        "own/stars/1/dataset/b": 3,
    }
    for _ in range(2):  # the second time over what the first left
        second = store.Draft(tmp_path / "aside")
        second.add(lake / "own/stars/1/dataset/a", "dataset/a")
        second.add(tmp_path / "c", "dataset/c") if (tmp_path / "c").write_text("cccc") else None
        (second.folder / "manifest.json").write_text("22")
        (lake / "own/stars/2/dataset").joinpath("stale").write_text("of an attempt that ended early")
        second.publish(lake / "own/stars/2", "manifest.json")
        assert store.sizes(lake / "own/stars/2") == {"manifest.json": 2, "dataset/a": 2, "dataset/c": 4}
        assert list((tmp_path / "aside").iterdir()) == []
    (lake / "own/stars/2").rename(lake / "own/stars/3")
    assert store.sizes(lake / "own/stars/2") == {} and len(store.sizes(lake / "own/stars/3")) == 3
    store.remove(lake / "own/stars/3")
    store.remove(lake / "own/stars/3")
    assert set(store.sizes(lake)) == {f"own/stars/1/{name}" for name in ("manifest.json", "dataset/a", "dataset/b")}


def test_a_kill_before_the_manifest_leaves_no_manifest(lake, tmp_path, monkeypatch):
    def publish():
        draft = store.Draft(tmp_path / "aside")
        for name in ("a", "b", "manifest.json"):
            (draft.folder / name).write_text(name)
        draft.publish(lake / "own/stars/1", "manifest.json")

    def cut_off(*_, **__):
        raise OSError("cut off")

    publish()
    with monkeypatch.context() as broken:
        broken.setattr(lake.fs, "put", cut_off)
        with pytest.raises(OSError, match="cut off"):
            publish()
    assert not (lake / "own/stars/1/manifest.json").exists()
    publish()
    assert (lake / "own/stars/1/manifest.json").exists()


def test_the_cache_is_bounded(lake, tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "CACHE_BYTES", 250)
    monkeypatch.setattr(objects, "CACHE_STEP", 1)
    monkeypatch.setattr(objects, "FRESH_S", 0.0)
    for number in range(5):
        (lake / f"{number}").write_bytes(bytes(100))
        os.fspath(lake / f"{number}")
        time.sleep(0.02)
    assert sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*") if file.is_file()) <= 250
    assert Path(lake / "0").read_bytes() == bytes(100)


def test_settings_name_the_lake(bucket, tmp_path, monkeypatch):
    here = load_settings(home=tmp_path)
    assert here.lake == here.workspace == tmp_path / "lake"
    monkeypatch.setenv("STELLAR_LAKE", f"{bucket}/prefix/")
    there = load_settings(home=tmp_path)
    assert (str(there.lake), there.workspace) == (f"{bucket}/prefix", tmp_path / "work")
    assert str(pickle.loads(pickle.dumps(there)).lake) == f"{bucket}/prefix"
    assert load_settings(home=tmp_path, lake_url=f"{bucket}/other").lake.name == "other"
    store.check_reachable(there.lake)
    store.check_reachable(here.lake)
    with pytest.raises(InputError, match=r"STELLAR_LAKE=s3://no-such-bucket-here/x: there is no such bucket"):
        store.check_reachable(load_settings(home=tmp_path, lake_url="s3://no-such-bucket-here/x").lake)
    for wrong in ("s3://", "ftp://a/b", "/some/folder"):
        with pytest.raises(InputError, match="give s3://BUCKET"):
            _ = load_settings(home=tmp_path, lake_url=wrong).lake


def test_a_server_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    lake = load_settings(home=tmp_path, lake_url="s3://somewhere-else/x").lake
    lake.fs.clear_instance_cache()
    with pytest.raises(InputError, match="cannot be reached"):
        store.check_reachable(load_settings(home=tmp_path, lake_url="s3://somewhere-else/y").lake)
