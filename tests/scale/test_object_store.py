"""A lake in an object store (a real S3 server process): the same snapshots, to the byte, and everything reads them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stellar.lake as lake
from integration.engine import small_steps as small
from stellar import store
from stellar.engine import engine
from stellar.engine.export import export
from stellar.engine.maintain import clear, retire, set_aside
from stellar.engine.rebuild import rebuild
from stellar.engine.verify import verify
from stellar.flow.matching import crossmatch
from stellar.flow.tables import import_table
from stellar.lake.sql import connect
from stellar.ledger import snapshots
from stellar.ledger.connect import ledger_session

OPTIONS = {"id_column": "id", "margin_arcsec": 20.0}


def hashes(root) -> dict[str, str]:
    """SHA-256 of every file of the lake but the histories, which have times."""
    names = [name for name in store.sizes(root) if not name.startswith((".", "staged/")) and "/batches/" not in name]
    kept = [name for name in names if not name.endswith("history.json")]
    return {name: sha256((root / name).read_bytes()).hexdigest() for name in sorted(kept)}


def changed(tables: list[Path], folder: Path) -> list[Path]:
    """The same tables with some rows of a corner of the sky moved a little."""
    table = pq.read_table(tables[0])
    ra, dec = (table[name].to_numpy().copy() for name in ("ra", "dec"))
    corner = (ra < 12) & (dec < -18)
    assert corner.any()
    dec[corner] += 1e-4
    path = folder / tables[0].name
    pq.write_table(table.set_column(table.column_names.index("dec"), "dec", pa.array(dec)), path)
    return [path, *tables[1:]]


def test_imports_and_their_increments_are_those_of_a_lake_at_home(here, there, tables, tmp_path):
    first = [import_table(ctx, tables, "stars", **OPTIONS) for ctx in (here, there)]
    assert first[1]["path"] == f"{there.settings.lake}/own/stars/{first[0]['snapshot'][:16]}"
    assert hashes(there.settings.lake) == hashes(here.settings.lake)
    assert len(hashes(there.settings.lake)) > 10
    assert not (there.settings.home / "lake").exists()

    again = import_table(there, tables, "stars", **OPTIONS)
    assert again["found"] and not again["changed"]

    (tmp_path / "changed").mkdir()
    newer = changed(tables, tmp_path / "changed")
    second = [import_table(ctx, newer, "stars", **OPTIONS) for ctx in (here, there)]
    assert [one["built"] for one in second] == [1, 1]
    assert second[1]["carried"] == second[0]["carried"] > 5
    assert hashes(there.settings.lake) == hashes(here.settings.lake)
    assert not list((there.settings.workspace / ".staging").glob("*"))


def test_matches_are_those_of_a_lake_at_home(here, there, tables, other_tables):
    for ctx in (here, there):
        import_table(ctx, tables, "stars", **OPTIONS)
        import_table(ctx, other_tables, "others", **OPTIONS)
        made = crossmatch(ctx, "stars", "others", "pairs", radius_arcsec=2.0)
        assert made["rows"] > 100_000
    assert hashes(there.settings.lake) == hashes(here.settings.lake)


def test_the_ledger_is_made_again_from_the_store(there, tables, bring):
    bring(there, "a")
    engine.run(there, [small.curate_step()])
    import_table(there, tables, "stars", **OPTIONS)
    current = snapshots.current_keys(there.engine)
    with ledger_session(there.settings, "owner") as owner:
        report = rebuild(there.settings, owner, replace=True)
    assert report["current"] == current
    assert report["skipped"] == []
    there.engine.dispose()
    assert snapshots.current_keys(there.engine) == current
    assert verify(there) == []
    assert import_table(there, tables, "stars", **OPTIONS)["found"]


def test_steps_on_surveys_rows_are_those_of_a_lake_at_home(here, there, bring):
    steps = [small.curate_step(), small.double_step(margin=5.0), small.plain_step()]
    made = []
    for ctx in (here, there):
        bring(ctx, *"ab")
        engine.run(ctx, steps)
        bring(ctx, *"cd")
        made.append([(one.key, one.built, one.carried, one.rows) for one in engine.run(ctx, steps)])
    assert made[1] == made[0]
    assert hashes(there.settings.lake) == hashes(here.settings.lake)


def test_rows_are_read_where_they_lie(here, there, tables):
    found = []
    for ctx in (here, there):
        one = import_table(ctx, tables, "stars", **OPTIONS)
        opened = lake.open(ctx.settings)
        ids = np.arange(100, 140)
        with connect(ctx.settings, ctx.engine) as sql:
            rows = sql.arrow("select count(*) as n, max(f0) as f0 from own.stars").to_pylist()
            near = sql.arrow("select id from cone('own.stars', 30, 0, 0.5) order by id").to_pylist()
        answers = [
            opened.cone("stars", 30, 0, 0.5),
            opened.box("stars", 20, 21, -5, -4, ["id", "f3"]),
            opened.by_id("stars", ids).column("id").to_pylist(),
            opened.datasets(),
            rows,
            near,
        ]
        assert one["rows"] == rows[0]["n"]
        assert len(answers[0]) == len(near) > 10
        found.append(answers)
    assert found[1] == found[0]
    shutil.rmtree(there.settings.cache)  # copies of objects are only copies
    assert lake.open(there.settings).cone("stars", 30, 0, 0.5) == found[0][0]


def test_verify_sees_what_is_in_the_store(there, tables):
    one = import_table(there, tables, "stars", **OPTIONS)
    assert verify(there, rows=True) == []
    folder = there.settings.lake / snapshots.get(there.engine, one["snapshot"]).path
    files = [name for name in sorted(store.sizes(folder)) if name.startswith("catalog/dataset/Norder")]
    content = bytearray((folder / files[0]).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / files[0]).write_bytes(bytes(content))
    (folder / files[1]).unlink()
    faults = {fault["file"]: fault["what"] for fault in verify(there)}
    assert set(faults) == set(files[:2])
    assert "SHA-256" in faults[files[0]] and "missing" in faults[files[1]]
    # what is missing is seen by the next plan, which makes the snapshot again
    repaired = import_table(there, tables, "stars", **OPTIONS)
    assert not repaired["found"]
    assert (folder / files[1]).exists()


def test_a_copy_leaves_the_store_and_a_damaged_snapshot_is_set_aside(there, here, bring, tables, tmp_path):
    for name, ctx in (("there", there), ("here", here)):
        import_table(ctx, tables, "stars", **OPTIONS)
        export(ctx, "own.stars", tmp_path / name)
    assert hashes(tmp_path / "there") == hashes(tmp_path / "here")
    assert len(hashes(tmp_path / "there")) > 10

    bring(there, "a")
    one = engine.run(there, [small.curate_step()])[0]
    folder = there.settings.lake / snapshots.get(there.engine, one.key).path
    before = hashes(folder)
    next(folder.glob("dataset/**/Npix=*.parquet")).write_bytes(b"other bytes")
    moved = set_aside(there, verify(there))
    assert store.sizes(moved["curated.stars"]) and not folder.exists()
    assert engine.run(there, [small.curate_step()])[0].key == one.key
    assert hashes(folder) == before
    assert verify(there) == []


def test_former_snapshots_and_what_nobody_names_are_removed(there, bring):
    for limit in (19.0, 18.0, 17.0, 16.0):
        bring(there, "a")
        engine.run(there, [small.curate_step(limit)])
    root = there.settings.lake / "curated" / "stars"
    assert len([one for one in root.iterdir() if len(one.name) == 16]) == 4
    assert [one["dataset"] for one in retire(there, keep=1) if one["dataset"] == "curated.stars"] == [
        "curated.stars"
    ] * 2
    assert len([one for one in root.iterdir() if len(one.name) == 16]) == 2
    (root / ("0" * 16) / "dataset" / "x.parquet").write_bytes(b"of an attempt that ended early")
    assert clear(there, stale_s=0) == [f"curated/stars/{'0' * 16}"]
    assert not (root / ("0" * 16)).exists()
    assert verify(there) == []


def test_a_commit_that_is_cut_off_leaves_the_old_and_goes_on(there, bring, monkeypatch):
    bring(there, *"ab")
    old = engine.run(there, [small.curate_step()])[0]
    bring(there, "c")

    def cut_off(*_, **__):
        raise OSError("cut off")

    with monkeypatch.context() as broken:
        broken.setattr(there.settings.lake.fs, "put_file", cut_off)  # the manifest, which goes last
        with pytest.raises(OSError, match="cut off"):
            engine.run(there, [small.curate_step()])
    assert snapshots.current(there.engine, "curated.stars").key == old.key
    assert verify(there) == []
    new = engine.run(there, [small.curate_step()])[0]
    assert new.key != old.key and new.rows > old.rows
    assert verify(there) == []


def test_workers_of_a_cluster_read_it_too(there, here, cluster, tables):
    cluster.held.touch()
    settings = there.settings.model_copy(update={"engine": "dask", "dask_scheduler": cluster.address})
    on_cluster = import_table(replace(there, settings=settings), tables, "stars", **OPTIONS)
    alone = import_table(here, tables, "stars", **OPTIONS)
    assert on_cluster["content_hash"] == alone["content_hash"]
    assert hashes(there.settings.lake) == hashes(here.settings.lake)
