"""The current datasets of a home, as the histories in its lake tell them."""

import json
import os
import subprocess
import sys

import pytest

import stellar.lake
from made_catalog import stars, store
from stellar.errors import InputError
from stellar.lake.home import HISTORY, Lake
from stellar.ledger import history
from stellar.settings import Settings


def tell(lake, name: str, states: dict[str, str], id_column: str | None = "star_id") -> None:
    """Write a dataset's history: its snapshots by key, and their states."""
    folder = name.replace(".", "/")
    snapshots = [{"key": key, "state": state, "path": f"{folder}/{key}"} for key, state in states.items()]
    tables = {"lake.dataset": [{"name": name, "id_column": id_column}], "lake.snapshot": snapshots}
    (lake / folder / HISTORY).write_text(json.dumps({"format": 1, "tables": tables}))


@pytest.fixture
def home(tmp_path):
    """`own.mine` with two snapshots, `curated.stars` with one that was rejected. Its ledger cannot be reached."""
    lake = tmp_path / "lake"
    store(lake / "own/mine/0001", stars(300), name="own.mine")
    store(lake / "own/mine/0002", stars(200), name="own.mine", margin_arcsec=60.0)
    store(lake / "curated/stars/0003", stars(100))
    tell(lake, "own.mine", {"0001": "current", "0002": "candidate"})
    tell(lake, "curated.stars", {"0003": "rejected"})
    return Settings(home=tmp_path, postgres_url="postgresql://nobody:x@127.0.0.1:1/stellar")


def test_the_current_snapshot_is_searched_and_a_promotion_shows_at_once(home):
    lake = stellar.lake.open(home)
    assert lake.datasets() == ["own.mine"] and repr(lake) == f"Lake('{home.home}')"
    assert lake.cone("mine", 0, 0, 180).num_rows == lake.catalog("own.mine").rows == 300
    tell(home.lake, "own.mine", {"0001": "retired", "0002": "current"})
    assert lake.cone("own.mine", 0, 0, 180, ["name"]).num_rows == 200
    assert lake.folder("mine") == home.lake / "own/mine/0002"


def test_every_search_takes_a_dataset_by_its_name(home):
    lake = stellar.lake.open(home)
    root = lake.folder("mine")
    square = [359.0, 1.0, 1.0, 359.0], [-1.0, -1.0, 1.0, 1.0]
    assert lake.cone("mine", 0, 0, 2).equals(stellar.lake.cone(root, 0, 0, 2))
    assert lake.box("mine", 359, 1, -1, 1).equals(stellar.lake.box(root, 359, 1, -1, 1))
    assert lake.polygon("mine", *square).equals(stellar.lake.polygon(root, *square))
    assert sum(map(len, lake.iter_cone("mine", 0, 0, 2))) == lake.cone("mine", 0, 0, 2).num_rows > 5
    assert sum(map(len, lake.iter_box("mine", 359, 1, -1, 1))) == lake.box("mine", 359, 1, -1, 1).num_rows
    assert sum(map(len, lake.iter_polygon("mine", *square))) == lake.polygon("mine", *square).num_rows
    assert lake.by_id("mine", [3, 1], ["star_id"])["star_id"].to_pylist() == [3, 1]
    assert lake.by_id("mine", ["s2"], ["name"], id_column="name")["name"].to_pylist() == ["s2"]


def test_the_home_of_the_environment_is_the_one_when_none_is_named(home, monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", str(home.home))
    lake = stellar.lake.open()
    assert isinstance(lake, Lake) and lake is stellar.lake.open() and lake.settings.home == home.home
    assert stellar.lake.cone("own.mine", 0, 0, 180).num_rows == 300
    assert stellar.lake.by_id("mine", [7]).num_rows == 1
    assert stellar.lake.open(home.home).settings.home == home.home


@pytest.mark.parametrize(
    ("name", "told"),
    [("min", "did you mean own.mine"), ("curated.stars", "no current dataset 'curated.stars'"), ("No!", "is no name")],
)
def test_what_is_not_there_is_explained(home, name, told):
    with pytest.raises(InputError, match=told):
        stellar.lake.open(home).cone(name, 0, 0, 1)


def test_a_damaged_history_is_named(home):
    path = home.lake / "own/mine" / HISTORY
    path.write_text("{")
    with pytest.raises(InputError, match=f"{os.fspath(path)}: is damaged"):
        stellar.lake.open(home).cone("mine", 0, 0, 1)


def test_histories_lie_where_the_ledger_puts_them(home):
    assert history.history_file(home.lake, "own.mine") == home.lake / "own/mine" / HISTORY


def test_a_search_loads_neither_database_nor_pandas(home):
    """They take longer to import than thousands of cones."""
    script = (
        "import sys, stellar.lake; lake = stellar.lake.open()\n"
        "assert lake.cone('mine', 0, 0, 2).num_rows > 5 and lake.box('mine', 0, 1, 0, 1).num_columns == 7\n"
        "print([name for name in ('pandas', 'sqlalchemy', 'duckdb', 'astropy', 'numba') if name in sys.modules])"
    )
    environment = os.environ | {"STELLAR_HOME": str(home.home)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "[]\n"
