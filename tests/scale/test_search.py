"""Searches and SQL over a lake in an object store find the same rows, and fetch the partitions that they touch."""

import json

import pytest

import stellar.lake
from made_catalog import stars, store
from own_tables import sql_over
from stellar.lake.home import HISTORY
from stellar.settings import Settings

SNAPSHOT = "own/mine/0001"


@pytest.fixture
def there(bucket, tmp_path, monkeypatch):
    """Settings of a home whose lake is in a bucket, and the same snapshot's folder on this machine."""
    import s3fs

    here = tmp_path / "here"
    store(here / SNAPSHOT, stars(), margin_arcsec=60.0, name="own.mine")
    rows = [{"key": "0001", "state": "current", "path": SNAPSHOT}]
    tables = {"lake.dataset": [{"name": "own.mine", "id_column": "star_id"}], "lake.snapshot": rows}
    (here / SNAPSHOT).with_name(HISTORY).write_text(json.dumps({"format": 1, "tables": tables}))
    s3fs.S3FileSystem().put(f"{here}/", f"{bucket}/", recursive=True)
    monkeypatch.setenv("STELLAR_LAKE", bucket)
    return Settings(home=tmp_path / "home", workers=1), here / SNAPSHOT


def fetched(home: Settings) -> int:
    return len(list((home.cache / "lake").rglob("*.parquet")))


def test_searches(there):
    home, here = there
    lake = stellar.lake.open(home)
    assert lake.datasets() == ["own.mine"] and lake.catalog("mine").rows == 3000
    assert lake.cone("mine", 0, 0, 0.5).equals(stellar.lake.cone(here, 0, 0, 0.5))
    assert 1 <= fetched(home) <= 4 < len(lake.catalog("mine").cells) / 4
    assert lake.box("mine", 359, 1, -1, 1).equals(stellar.lake.box(here, 359, 1, -1, 1))
    wanted = [2999, 5, 7]
    assert lake.by_id("mine", wanted)["star_id"].to_pylist() == wanted


def test_sql(there):
    home, here = there
    with sql_over(home, {"own.mine": SNAPSHOT}) as connection:
        assert connection.faults == {} and fetched(home) == 0
        assert connection.execute("DESCRIBE SELECT 1").fetchall() and fetched(home) == 0
        count = connection.execute("SELECT count(*) FROM cone('own.mine', 0, 0, 0.5)").fetchone()[0]
        assert count == stellar.lake.cone(here, 0, 0, 0.5).num_rows > 0 and fetched(home) <= 4
        shown = connection.execute("SHOW ALL TABLES").fetchall()
        assert any(row[1:3] == ("own", "mine") for row in shown)
        assert connection.execute("SELECT count(*), count(DISTINCT star_id) FROM Own.mine").fetchone() == (3000, 3000)
        assert fetched(home) == len(connection.catalogs["own.mine"].cells)
