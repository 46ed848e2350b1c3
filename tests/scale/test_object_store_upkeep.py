"""A lake in an object store is kept in order, copied, backed up and recalled as one at home is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import brought
from integration.engine import small_steps as small
from integration.engine.test_rebuild import rows as ledger_rows
from scale.test_object_store import OPTIONS, changed, hashes
from stellar import cli, flow, store
from stellar.engine import engine
from stellar.engine.backup import backup
from stellar.engine.maintain import clear, maintain
from stellar.engine.restore import restore
from stellar.engine.verify import verify
from stellar.errors import InputError, IntegrityError
from stellar.flow.matching import crossmatch
from stellar.flow.tables import import_table
from stellar.ledger import snapshots
from stellar.ledger.connect import ledger_session
from stellar.settings import load_settings

STEPS = [small.curate_step(margin_arcsec=600.0), small.double_step(), small.plain_step()]


@pytest.fixture
def stellar(there, monkeypatch):
    """The command, in the home whose lake is in a bucket."""
    monkeypatch.setenv("STELLAR_HOME", str(there.settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", there.settings.postgres_url.get_secret_value())
    monkeypatch.setenv("STELLAR_LAKE", there.settings.lake_url)
    return lambda *words: CliRunner().invoke(cli.app, list(words))


def refetch(ctx, name, sign, seed):
    """Bring other stars of a field in place of those that were brought."""
    brought.bring(ctx, "test", small.fetched(name, sign=sign, seed=seed))


def live(ctx, bring):
    """Four snapshots of what is made of four fields, whose second changes."""
    bring(ctx, *"abcd")
    made = [engine.run(ctx, STEPS)]
    for sign, seed in (("2", 7), ("3", 8), ("4", 9)):
        refetch(ctx, "b", sign, seed)
        made.append(engine.run(ctx, STEPS))
    return [[one.key for one in each] for each in made]


def damage(ctx, dataset) -> Path:
    """Change one byte of a partition of a dataset's current snapshot."""
    folder = ctx.settings.lake / snapshots.current(ctx.engine, dataset).path
    victim = folder / min(name for name in store.sizes(folder) if "dataset/Norder" in name)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(bytes(content))
    return victim


def test_maintenance_does_what_it_does_at_home(here, there, bring, stellar):
    past = [live(ctx, bring) for ctx in (here, there)]
    assert past[1] == past[0]
    before = hashes(there.settings.lake)
    dry = [flow.maintain(ctx, {"keep": 1, "dry_run": True}) for ctx in (here, there)]
    assert dry[1] == dry[0]
    assert {one["dataset"] for one in dry[1]["retired"]} >= {"raw.stars", "curated.stars", "features.double"}
    assert hashes(there.settings.lake) == before == hashes(here.settings.lake)

    victim = damage(there, "curated.stars")
    with pytest.raises(IntegrityError, match=rf"curated\.stars.*{victim.name}.*SHA-256"):
        flow.maintain(there, {"keep": 1})
    assert set(hashes(there.settings.lake)) == set(before)  # nothing is deleted while something is damaged
    said = stellar("verify", "curated.stars", "--repair")
    assert said.exit_code == 1 and f"{there.settings.lake}/.damaged/curated.stars-" in said.stderr
    assert engine.run(there, STEPS)[0].key == past[1][-1][0]
    assert hashes(there.settings.lake) == before

    done = [flow.maintain(ctx, {"keep": 1}) for ctx in (here, there)]
    assert done[1] == done[0] and done[0]["retired"] == dry[0]["retired"]
    assert hashes(there.settings.lake) == hashes(here.settings.lake)
    gone = [row for key in past[1][0] if (row := snapshots.get(there.engine, key)).files_removed_at]
    assert gone and not any((there.settings.lake / row.path).exists() for row in gone)
    kept = there.settings.lake / "curated" / "stars" / "manifests"
    assert f"{past[1][0][0][:16]}.json.gz" in store.sizes(kept)
    assert flow.maintain(there, {"keep": 1})["retired"] == []
    assert stellar("verify").exit_code == 0

    # what was retired is made again to the byte, and what was kept is gone back to
    assert stellar("datasets", "rollback", "curated.stars", "--reason", "test").exit_code == 0
    assert snapshots.current(there.engine, "curated.stars").key == past[1][-2][0]
    for ctx in (here, there):
        refetch(ctx, "b", "5", 0)
    again = [[(one.key, one.found) for one in engine.run(ctx, STEPS)] for ctx in (here, there)]
    assert again[1] == again[0] and again[1][0] == (past[1][0][0], False)
    assert verify(there, rows=True) == []


def test_staged_batches_drafts_and_the_cache_are_cleared_on_this_machine(there, tables, tmp_path):
    import_table(there, tables, "stars", **OPTIONS)
    staged, cache = there.settings.workspace / "staged" / "own" / "stars", there.settings.cache
    old = {file.name.split(".")[0] for file in staged.glob("*.arrow")}
    newer = changed(tables, tmp_path)
    import_table(there, newer, "stars", **OPTIONS)
    (draft := there.settings.workspace / ".staging" / "write-left").mkdir(parents=True)
    (lost,) = old - {file.name.split(".")[0] for file in staged.glob("*.arrow") if in_use(there, file)}
    assert clear(there) == []
    for one in [draft, *staged.iterdir(), *cache.rglob("*")]:
        then = one.stat().st_mtime - 2 * 24 * 3600
        os.utime(one, (then, then))
    assert clear(there, dry_run=True) == clear(there) == [".staging/write-left", f"staged/own/stars/{lost}"]
    assert not list(staged.glob(f"{lost}*"))
    assert import_table(there, newer, "stars", **OPTIONS)["found"]
    assert maintain(there, keep=1)["cleared"] == []
    import_table(there, tables, "stars", **OPTIONS)
    import_table(there, newer, "stars", **OPTIONS)
    assert verify(there, rows=True) == []


def in_use(ctx, file) -> bool:
    sql = "SELECT count(*) FROM ingest.batch WHERE batch_id = %s AND superseded_by IS NULL"
    with ctx.engine.connect() as connection:
        return bool(connection.exec_driver_sql(sql, (file.name.split(".")[0],)).scalar())


def test_a_ledger_with_a_past_is_made_again(there, bring, tables, other_tables, stellar):
    live(there, bring)
    import_table(there, tables, "stars", **OPTIONS)
    import_table(there, other_tables, "others", **OPTIONS)
    crossmatch(there, "stars", "others", "pairs", radius_arcsec=2.0)
    engine.rollback(there, "curated.stars", who="me", reason="as it was")
    maintain(there, keep=1)
    before = ledger_rows(there)
    there.engine.dispose()
    said = stellar("ledger", "rebuild", "--replace")
    assert (said.exit_code, said.stderr) == (0, "")
    there.engine.dispose()
    after = ledger_rows(there)
    for table, rows in before.items():
        assert after[table] == rows, table
    assert verify(there, rows=True) == []
    assert maintain(there, keep=1) == {
        "faults": [],
        "retired": [],
        "cleared": [],
        "checkpoints": [],
        "freed_bytes": 0,
    }
    assert crossmatch(there, "stars", "others", "pairs", radius_arcsec=2.0)["found"]


def test_a_removal_that_is_cut_off_leaves_no_half_of_a_snapshot(there, bring, monkeypatch, stellar):
    past = live(there, bring)
    fs = there.settings.lake.fs
    remove = fs.rm

    def cut_off(path, *arguments, **options):
        if isinstance(path, list):
            raise OSError("cut off")
        return remove(path, *arguments, **options)

    with monkeypatch.context() as broken:
        broken.setattr(fs, "rm", cut_off)
        with pytest.raises(OSError, match="cut off"):
            maintain(there, keep=1)
    (half,) = (row for key in past[0] + past[1] if (row := snapshots.get(there.engine, key)).files_removed_at)
    files = store.sizes(there.settings.lake / half.path)
    assert files and "manifest.json" not in files
    there.engine.dispose()
    said = stellar("ledger", "rebuild", "--replace")
    assert (said.exit_code, said.stderr) == (0, "")
    there.engine.dispose()
    assert snapshots.get(there.engine, half.key).files_removed_at is not None
    assert half.path in clear(there)
    assert not (there.settings.lake / half.path).exists()
    assert maintain(there, keep=1)["faults"] == []


def test_raw_batches_and_margins_are_verified_where_they_lie(there, bring, tables, stellar):
    bring(there, *"ab")
    import_table(there, tables, "stars", **OPTIONS)
    assert verify(there, rows=True) == []
    lake = there.settings.lake
    first, second = sorted((lake / "raw" / "stars" / "batches").glob("*.parquet"))
    first.unlink()
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(bytes(content))
    folder = lake / snapshots.current(there.engine, "own.stars").path
    margin = next(name for name in sorted(store.sizes(folder)) if name.startswith("margin/dataset/Norder"))
    (folder / margin).unlink()
    faults = {fault["file"]: fault["what"] for fault in verify(there)}
    assert faults[f"../batches/{first.name}"] == "the batch is missing"
    assert "SHA-256" in faults[f"../batches/{second.name}"]
    assert "missing" in faults[margin]
    assert len(faults) == 3
    said = stellar("verify", "--repair")
    assert isinstance(said.exception, InputError) and "raw data cannot be made again" in str(said.exception)
    assert (folder / "manifest.json").exists()


def test_exports_by_the_command(there, here, bring, tables, stellar, tmp_path):
    for ctx in (here, there):
        bring(ctx, *"ab")
        engine.run(ctx, STEPS)
    rows = snapshots.current(there.engine, "curated.stars").rows
    for form, dataset in (("hats", "curated.stars"), ("parquet", "curated.stars"), ("parquet", "features.plain")):
        said = stellar("export", dataset, str(tmp_path / "out"), "--format", form, "--overwrite")
        assert said.exit_code == 0, said.exception
        assert said.stdout.startswith(f"{tmp_path / 'out'}: {dataset}")
        if dataset == "curated.stars":
            found = [one for one in (tmp_path / "out").rglob("*.parquet") if "arcs" not in str(one)]
            assert sum(pq.read_metadata(one).num_rows for one in found) == rows
    assert isinstance(stellar("export", "curated.stars", str(tmp_path / "out")).exception, InputError)
    victim = damage(there, "curated.stars")
    said = stellar("export", "curated.stars", str(tmp_path / "new"))
    assert isinstance(said.exception, IntegrityError) and victim.name in str(said.exception)
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize("staged", [False, True])
def test_a_backup_of_the_home_and_a_home_of_the_backup(there, bring, tables, homes, tmp_path, staged):
    live(there, bring)
    import_table(there, tables, "stars", **OPTIONS)
    file = tmp_path / "home.tar.zst"
    with ledger_session(there.settings, role="owner") as owner:
        about = backup(there.settings, owner, file, staged=staged)
    assert about["lake"] == there.settings.lake_url and about["damaged"] == []
    home = homes / f"elsewhere-{staged}"
    with pytest.raises(InputError, match=f"set STELLAR_LAKE={there.settings.lake_url}"):
        restore(load_settings(home=home, postgres_url=None), file)
    elsewhere = load_settings(home=home, postgres_url=None, lake_url=there.settings.lake_url, workers=2)
    before = hashes(there.settings.lake)
    report = restore(elsewhere, file)
    assert report["faults"] == [] and report["current"] == snapshots.current_keys(there.engine)
    assert not (home / "lake").exists()
    parts = list((home / "work" / "staged").rglob("*.arrow"))
    assert len(parts) == (len(tables) if staged else 0)
    with ledger_session(elsewhere) as ledger:
        other = engine.Context(elsewhere, ledger, "run-2")
        assert all(one.found for one in engine.run(other, STEPS))
        again = import_table(other, tables, "stars", **OPTIONS)
        assert again["found"] and not again["changed"]
        assert maintain(other, keep=9)["faults"] == []
    assert hashes(there.settings.lake) == before
    shutil.rmtree(home)
