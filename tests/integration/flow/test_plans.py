"""`stellar plan` says beforehand what a run then does, and leaves no trace."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stellar import cli
from stellar.engine import plan as planning
from stellar.engine.context import Context
from stellar.engine.maintain import clear
from stellar.errors import InputError
from stellar.flow.matching import crossmatch
from stellar.flow.plans import dry_plan
from stellar.flow.tables import import_table, sources_of, stage_source
from stellar.lake import layout
from stellar.ledger import snapshots
from stellar.sky.healpix import Cell, spatial_index


@pytest.fixture
def ctx(settings, ledger, monkeypatch):
    monkeypatch.setattr(layout, "THRESHOLD_BYTES", 10_000)
    settings.workers = 1
    return Context(settings, ledger, None)


def stars(n, seed):
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "star": pa.array(np.arange(n), pa.int64()),
            "ra": random.uniform(0, 360, n),
            "dec": np.degrees(np.arcsin(random.uniform(-1, 1, n))),
        }
    )


def bring(ctx, file, name, table=None):
    if table is not None:
        pq.write_table(table, file)
    return import_table(ctx, [file], name, id_column="star", margin_arcsec=60.0)


def match(ctx):
    return crossmatch(ctx, "left", "right", "pairs", radius_arcsec=30.0)


@pytest.fixture
def made(ctx, tmp_path):
    """own.left, own.right, own.pairs; the tables."""
    left = stars(4000, 1)
    near = stars(2000, 1).set_column(2, "dec", pa.array(np.clip(left["dec"].to_numpy()[:2000] + 0.002, -90, 90)))
    near = near.set_column(1, "ra", left["ra"].slice(0, 2000))
    bring(ctx, tmp_path / "left.parquet", "left", left)
    bring(ctx, tmp_path / "right.parquet", "right", near)
    assert match(ctx)["rows"] > 1000
    return left, near


def traces(ctx):
    """What the ledger holds, and the lake but for caches of hashes."""
    with ctx.engine.connect() as connection:
        counts = [
            connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
            for table in ("lake.snapshot", "lake.dataset", "lake.promotion", "quality.gate", "ingest.batch")
        ]
        states = connection.exec_driver_sql("SELECT key, state, state_at FROM lake.snapshot ORDER BY 1").all()
    files = sorted(path for path in ctx.settings.lake.rglob("*") if "staged" not in path.parts)
    return counts, states, files


def by_dataset(items):
    return {item["dataset"]: item for item in items}


def test_nothing_to_do_is_said_of_the_whole_chain(ctx, made):
    before = traces(ctx)
    items = dry_plan(ctx, "pairs")
    assert [item["dataset"] for item in items] == ["own.left", "own.right", "own.pairs"]
    assert all(item["found"] and item["build"] == 0 and not item["follows"] for item in items)
    assert [item["key"] for item in items] == [item["current"] for item in items]
    assert {item["dataset"] for item in dry_plan(ctx)} == {item["dataset"] for item in items}
    assert traces(ctx) == before


def test_what_is_said_to_be_rebuilt_is_rebuilt(ctx, made, tmp_path):
    """One contiguous piece of the right catalogue moves: its cells, and neighbours whose margin it was in."""
    _, right = made
    ra, dec = right["ra"].to_numpy(), right["dec"].to_numpy().copy()
    cell = Cell(2, 70)
    inside = cell.contains(spatial_index(ra, dec))
    assert 0 < inside.sum() < 100
    dec[inside] = np.clip(dec[inside] + 1e-5, -90, 90)
    pq.write_table(right.set_column(2, "dec", pa.array(dec)), tmp_path / "right.parquet")
    note = by_dataset(dry_plan(ctx, "pairs"))["own.right"]["notes"]
    assert note == [f"{tmp_path / 'right.parquet'} was changed since it was read; `stellar import` reads it again"]
    brought = bring(ctx, tmp_path / "right.parquet", "right")
    assert 0 < brought["built"] < brought["partitions"]
    before = traces(ctx)
    pairs = by_dataset(dry_plan(ctx, "pairs"))["own.pairs"]
    assert traces(ctx) == before
    assert (pairs["found"], pairs["every"], pairs["removed"]) == (False, [], [])
    for one in pairs["rebuilt"]:
        assert one["why"], one
        assert all(why["dataset"] == "own.right" and why["kind"] in ("input", "margin") for why in one["why"])
    done = match(ctx)
    assert (done["built"], done["carried"]) == (pairs["build"], pairs["carried"])
    assert done["snapshot"] == pairs["key"]


def test_what_follows_from_what_is_rebuilt_first(ctx, made):
    row = snapshots.current(ctx.engine, "own.left")
    victim = next((ctx.settings.lake / row.path).rglob("catalog/**/Npix=*.parquet"))
    os.truncate(victim, victim.stat().st_size - 1)
    items = by_dataset(dry_plan(ctx, "pairs"))
    (rebuilt,) = items["own.left"]["rebuilt"]
    assert [why["kind"] for why in rebuilt["why"]] == ["file"]
    assert items["own.pairs"]["found"] is True
    assert rebuilt["partition"] in [one["partition"] for one in items["own.pairs"]["follows"]]
    assert len(items["own.pairs"]["follows"]) < items["own.pairs"]["partitions"] / 2
    assert {tuple(one["after"]) for one in items["own.pairs"]["follows"]} == {("own.left",)}


def test_another_version_of_the_engine_rebuilds_all(ctx, made, monkeypatch):
    monkeypatch.setattr(planning, "ENGINE", 99)
    items = by_dataset(dry_plan(ctx))
    for item in items.values():
        assert [one["what"].partition(":")[0] for one in item["every"]] == ["the engine's version"]
        assert item["build"] == item["partitions"]
    assert items["own.pairs"]["follows"] == []


def test_new_and_merged_cells(ctx, made, tmp_path):
    left, _ = made
    crowd = stars(4000, 5)
    crowd = crowd.set_column(1, "ra", pa.array(10 + crowd["ra"].to_numpy() / 90))
    crowd = crowd.set_column(2, "dec", pa.array(40 + crowd["dec"].to_numpy() / 45))
    crowd = crowd.set_column(0, "star", pa.array(np.arange(4000) + 10_000))
    assert bring(ctx, tmp_path / "left.parquet", "left", pa.concat_tables([left, crowd]))["built"] > 1
    pairs = by_dataset(dry_plan(ctx, "pairs"))["own.pairs"]
    split = [why["what"] for one in pairs["rebuilt"] for why in one["why"] if why["kind"] == "cell"]
    assert split
    assert all("was split" in one for one in split)
    match(ctx)
    bring(ctx, tmp_path / "left.parquet", "left", left)
    pairs = by_dataset(dry_plan(ctx, "pairs"))["own.pairs"]
    # the former snapshot's partitions are still there, so nothing is to be built
    assert (pairs["found"], pairs["state"]) == (True, "retired")


def test_names_that_cannot_be_planned(ctx, made):
    with pytest.raises(InputError, match=r"no such stage or dataset to plan.*curate.*own.left"):
        dry_plan(ctx, "nothing")
    with pytest.raises(InputError, match="no name of a dataset"):
        dry_plan(ctx, "Nothing!")
    assert dry_plan(ctx, "curate") == []


def test_by_the_command(ctx, made, settings, monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())
    runner = CliRunner()

    def stellar(*words):
        done = runner.invoke(cli.app, ["plan", *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    assert [line.split()[1:4] for line in stellar("pairs").splitlines()] == [
        [f"own.{name}", "up", "to"] for name in ("left", "right", "pairs")
    ]
    monkeypatch.setattr(planning, "ENGINE", 99)
    told = stellar("own.pairs")
    assert "every partition: the engine's version: " in told
    items = json.loads(stellar("pairs", "--json"))
    assert {item["dataset"] for item in items} == {"own.left", "own.right", "own.pairs"}
    assert items[-1]["rebuilt"]


def test_staged_batches_that_nobody_reads_any_more_are_cleared(ctx, made, tmp_path):
    left, _ = made
    folder = ctx.settings.lake / "staged" / "own" / "left"
    (old,) = [file.name.split(".")[0] for file in folder.glob("*.arrow")]
    bring(ctx, tmp_path / "left.parquet", "left", left.slice(1))
    assert len(list(folder.glob("*.arrow"))) == 2
    assert clear(ctx) == []  # too young
    assert clear(ctx, stale_s=-1, dry_run=True) == [f"staged/own/left/{old}"]
    assert clear(ctx, stale_s=-1) == [f"staged/own/left/{old}"]
    assert not [file for file in folder.iterdir() if file.name.startswith(old)]
    assert bring(ctx, tmp_path / "left.parquet", "left")["found"] is True
    for file in folder.glob("*.arrow"):
        file.unlink()
    item = by_dataset(dry_plan(ctx, "pairs"))["own.left"]
    assert "import them again" in item["error"]


def test_a_staged_batch_that_is_found_again_is_not_cleared_before_the_ledger_names_it(ctx, made, tmp_path):
    left, _ = made
    folder = ctx.settings.lake / "staged" / "own" / "left"
    file, options = tmp_path / "left.parquet", {"id": "star", "ra": "ra", "dec": "dec"}
    bring(ctx, tmp_path / "other.parquet", "left", left.slice(1))
    sources, schema = sources_of([file], options)
    known = [stage_source(ctx.settings, "own.left", schema, options, sources[0])]
    for one in [file, *folder.iterdir()]:
        then = one.stat().st_mtime - 3 * 24 * 3600
        os.utime(one, (then, then))
    sources, schema = sources_of([file], options)  # touching it has changed what it is known by
    known.append(stage_source(ctx.settings, "own.left", schema, options, sources[0]))
    assert known[1] == known[0]
    for one in folder.iterdir():
        then = one.stat().st_mtime - 2 * 24 * 3600
        os.utime(one, (then, then))
    lost = [f"staged/own/left/{known[0].batch_id}"]
    assert clear(ctx, dry_run=True) == lost  # until it is found again
    assert stage_source(ctx.settings, "own.left", schema, options, sources[0]) == known[0]
    assert clear(ctx) == []
    assert bring(ctx, file, "left")["rows"] == len(left)
    item = by_dataset(dry_plan(ctx, "left"))["own.left"]
    assert (item["found"], item["notes"]) == (True, [])
    read = (ctx.settings.lake / known[0].parts[0]).stat().st_mtime
    os.utime(file, (read + 60, read + 60))  # later than it was read, earlier than it was found again
    (note,) = by_dataset(dry_plan(ctx, "left"))["own.left"]["notes"]
    assert "was changed since it was read" in note
