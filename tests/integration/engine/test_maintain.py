"""Hashes are verified, old files retired, the rest left alone."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from integration.engine import small_steps as small
from stellar import cli, flow
from stellar.engine import engine
from stellar.engine.maintain import clear, maintain, retire, verify
from stellar.errors import InputError, IntegrityError, LedgerError
from stellar.flow.tables import import_table
from stellar.lake import layout
from stellar.ledger import snapshots
from stellar.ledger.partitions import partitions_of
from stellar.settings import CONFIG


@pytest.fixture
def history(ctx, sync):
    """Three snapshots of curated.stars, oldest first."""
    keys = []
    for name in "abc":
        sync(name)
        keys.append(engine.run(ctx, [small.curate_step()])[0].key)
    return keys


def folder(ctx, key):
    return ctx.settings.lake / snapshots.get(ctx.engine, key).path


def test_damage_is_found_and_nothing_is_deleted_then(ctx, history):
    assert verify(ctx, rows=True) == []
    victim = next(folder(ctx, history[-1]).rglob("Npix=*.parquet"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.unlink()  # not through the hard link
    victim.write_bytes(bytes(data))
    faults = verify(ctx)
    assert [(fault["dataset"], fault["snapshot"]) for fault in faults] == [("curated.stars", history[-1])]
    assert victim.name in faults[0]["file"]
    report = maintain(ctx, keep=1)
    assert (report["faults"], report["retired"]) == (faults, [])
    assert folder(ctx, history[0]).exists()
    with pytest.raises(IntegrityError, match=rf"curated\.stars.*{victim.name}.*SHA-256"):
        flow.maintain(ctx, {"keep": 1})
    assert flow.maintain(ctx, {"keep": 1, "dry_run": True})["faults"] == faults


def test_rejected_snapshots_push_no_former_one_out(ctx, history):
    for limit in (17.0, 16.0):
        step = small.curate_step(limit=limit)
        planned = engine.plan(ctx, step)
        for number in range(len(planned.batches)):
            engine.build(ctx, step, planned, number)
        engine.reject(ctx, engine.commit(ctx, step, planned), who="t", reason="r")
        last = planned.key
    retire(ctx, keep=1)
    with ctx.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT key FROM lake.snapshot WHERE dataset = 'curated.stars' AND files_removed_at IS NULL"
        )
        assert set(rows.scalars()) == {history[2], history[1], last}


def test_old_files_go_and_the_ledger_remembers(ctx, history):
    would = {one["dataset"]: one["key"] for one in retire(ctx, keep=1, dry_run=True)}
    assert would["curated.stars"] == history[0]
    assert folder(ctx, history[0]).exists()
    report = maintain(ctx, keep=1)
    assert {one["dataset"] for one in report["retired"]} == {"raw.stars", "curated.stars", "quarantine.stars"}
    assert not folder(ctx, history[0]).exists()
    assert folder(ctx, history[1]).exists()
    assert snapshots.get(ctx.engine, history[0]).files_removed_at is not None
    assert verify(ctx) == []
    assert maintain(ctx, keep=1)["retired"] == []
    with pytest.raises(LedgerError, match="files were removed"):
        engine.rollback(ctx, "curated.stars", who="t", reason="r", to=history[0])
    assert engine.rollback(ctx, "curated.stars", who="t", reason="r") == history[1]


def test_retired_content_is_built_again_to_the_byte(ctx, sync):
    sync("a")
    first = engine.run(ctx, [small.curate_step()])[0]
    for sign, seed in (("2", 5), ("3", 6)):
        sync("a", sign=sign, seed=seed)
        engine.run(ctx, [small.curate_step()])
    before = snapshots.get(ctx.engine, first.key).content_hash
    maintain(ctx, keep=1)
    sync("a", sign="4")
    again = engine.run(ctx, [small.curate_step()])[0]
    assert (again.key, again.found) == (first.key, False)
    row = snapshots.get(ctx.engine, first.key)
    assert (row.state, row.content_hash, row.files_removed_at) == ("current", before, None)
    assert verify(ctx, rows=True) == []


def test_what_a_live_plan_reads_stays(ctx, sync, history):
    sync("d")
    engine.run(ctx, [small.curate_step()])
    step = small.double_step()
    engine.plan(ctx, step, {"curated.stars": history[0]})
    retire(ctx, keep=1)
    assert folder(ctx, history[0]).exists()
    assert not folder(ctx, history[1]).exists()


def test_forgotten_plans_leave_the_ledger(ctx, sync):
    sync("a")
    planned = engine.plan(ctx, small.curate_step())
    assert clear(ctx, stale_s=-1) == [f".staging/{planned.key}"]
    with pytest.raises(LedgerError, match="knows no snapshot"):
        snapshots.get(ctx.engine, planned.key)
    assert engine.run(ctx, [small.curate_step()])[0].key == planned.key


def test_nonsense_is_refused(ctx):
    with pytest.raises(InputError, match="at least 1"):
        retire(ctx, keep=0)
    with pytest.raises(InputError, match=r"curated\.nothing: no such dataset"):
        verify(ctx, ["curated.nothing"])


@pytest.fixture
def stellar(settings, monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())
    return lambda *words: CliRunner().invoke(cli.app, list(words))


def test_damage_within_a_file_s_size_is_repaired_by_the_next_run(ctx, history, stellar):
    victim = next(folder(ctx, history[-1]).rglob("Npix=*.parquet"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))  # through the hard links, as a failing disk does it
    assert engine.plan(ctx, small.curate_step()).found
    said = stellar("verify", "curated.stars", "--repair")
    assert said.exit_code == 1
    (aside,) = (ctx.settings.lake / ".damaged").iterdir()
    assert (aside / victim.relative_to(folder(ctx, history[-1]))).read_bytes() == bytes(data)
    assert str(aside) in said.stderr
    again = engine.run(ctx, [small.curate_step()])[0]
    assert (again.key, again.found, again.changed) == (history[-1], False, False)
    assert verify(ctx, rows=True) == []
    assert stellar("verify", "--repair").exit_code == 0


def test_raw_data_is_not_moved_aside(ctx, history, stellar):
    row = snapshots.current(ctx.engine, "raw.stars")
    victim = next((ctx.settings.lake / row.path).rglob("*.parquet"))
    victim.unlink()
    said = stellar("verify", "--repair")
    assert isinstance(said.exception, InputError)
    assert "raw.stars: raw data cannot be made again" in str(said.exception)
    assert (ctx.settings.lake / row.path / "manifest.json").exists()


def test_promote_by_the_command(ctx, history, stellar):
    step = small.curate_step(limit=15.0)
    planned = engine.plan(ctx, step)
    for number in range(len(planned.batches)):
        engine.build(ctx, step, planned, number)
    engine.commit(ctx, step, planned)
    with pytest.raises(LedgerError, match="not passed its gate"):
        engine.promote(ctx, [planned.key], who="t", reason="r")
    engine.gate(ctx, [planned.key])
    said = stellar("datasets", "promote", "curated.stars", "--key", planned.key[:12], "--reason", "brighter")
    assert said.stdout == f"curated.stars: {planned.key[:16]} is current\n"
    row = snapshots.current(ctx.engine, "curated.stars")
    assert (row.key, row.state_reason) == (planned.key, "brighter")
    for words, told in (
        (("curated.stars",), "no candidate"),
        (("features.double", "--key", planned.key), "is a snapshot of curated.stars"),
        (("nothing",), r"own\.nothing: there is no candidate"),
    ):
        said = stellar("datasets", "promote", *words)
        assert isinstance(said.exception, InputError)
        assert re.search(told, str(said.exception))


def test_roll_back_by_the_command(ctx, history, stellar):
    said = stellar("datasets", "rollback", "curated.stars", "--reason", "bad field")
    assert (said.exit_code, said.stdout) == (0, f"curated.stars: {history[1][:16]} is current again\n")
    row = snapshots.current(ctx.engine, "curated.stars")
    assert (row.key, row.state_reason) == (history[1], "bad field")
    assert stellar("datasets", "rollback", "curated.stars").exit_code == 2  # without a reason
    said = stellar("datasets", "rollback", "curated.stars", "--reason", "was fine", "--to", history[2])
    assert snapshots.current(ctx.engine, "curated.stars").key == history[2]


@pytest.fixture
def bring(ctx, gates, tmp_path, monkeypatch):
    """Imports a table as own.left, without its first rows."""
    shutil.copy(CONFIG / "gates" / "own.yaml", gates)
    monkeypatch.setattr(layout, "THRESHOLD_BYTES", 10_000)
    rows = pa.concat_tables([small.field_table(name, bad=0).slice(0, small.ROWS) for name in small.FIELDS])

    def imported(first=0):
        pq.write_table(rows.slice(first), tmp_path / "left.parquet")
        return import_table(ctx, [tmp_path / "left.parquet"], "left", id_column="id", margin_arcsec=60.0)

    return imported


def make_older(folder, seconds):
    files = [one for one in folder.rglob("*") if one.is_file()]
    for one in files:
        then = one.stat().st_mtime - seconds
        os.utime(one, (then, then))
    return files


def test_the_cache_forgets_partitions_that_no_snapshot_holds(ctx, bring):
    keys = [bring(first)["snapshot"] for first in (0, 1, 2)]
    cache = ctx.settings.cache
    held = {one["sha256"] for key in keys[1:] for one in partitions_of(ctx.engine, key)}
    lost = {one["sha256"] for one in partitions_of(ctx.engine, keys[0])} - held
    assert held and lost
    kept = {name: {file.name.split(".")[0] for file in (cache / name).rglob("*.*")} for name in ("edges", "gate")}
    assert all(names == held | lost for names in kept.values())
    (cache / "edges" / "00").mkdir(exist_ok=True)
    for name in (".left.arrow", ".under_way.arrow"):
        (cache / "edges" / "00" / name).touch()
    make_older(cache, 2 * 24 * 3600)
    (cache / "edges" / "00" / ".under_way.arrow").touch()
    draft = "cache/edges/00/.left.arrow"
    assert clear(ctx) == [draft] and clear(ctx) == []  # the files of all snapshots are there
    retire(ctx, keep=1)
    gone = sorted(f"cache/{name}/{one[:2]}/{one}" for name in kept for one in lost)
    assert clear(ctx, stale_s=3 * 24 * 3600) == []  # too young
    assert clear(ctx, dry_run=True) == gone
    assert clear(ctx) == gone
    for name in kept:
        assert {file.name.split(".")[0] for file in (cache / name).rglob("[!.]*.*")} == held
    assert (cache / "edges" / "00" / ".under_way.arrow").exists()
    assert bring(0)["snapshot"] == keys[0]
    assert verify(ctx, rows=True) == []


def test_checkpoints_of_a_killed_training_go_after_keep_days_and_are_told(ctx, history):
    folder = ctx.settings.cache / "training" / "1" / "0123"
    code = (
        "import os, signal, numpy as np; from pathlib import Path\n"
        "from stellar.models.keras_checkpoints import Checkpoint, held\n"
        f"with held(Path({str(folder)!r})):\n"
        f"    Checkpoint(Path({str(folder)!r}), 0).write({{}}, {{'state': [np.zeros(1000)]}})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(CONFIG.parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == -signal.SIGKILL
    for one in [*folder.iterdir(), folder]:
        then = one.stat().st_mtime - 10 * 86_400
        os.utime(one, (then, then))
    assert maintain(ctx, keep_days=30)["checkpoints"] == []
    size = sum(one.stat().st_size for one in folder.iterdir())
    told = [{"path": "cache/training/1/0123", "bytes": size}]
    assert maintain(ctx, keep_days=9, dry_run=True)["checkpoints"] == told
    report = maintain(ctx, keep_days=9)
    assert report["checkpoints"] == told and report["freed_bytes"] >= size and not folder.exists()
    assert f"cache/training/1/0123, {size:,} bytes" in flow.maintained_text(report)
