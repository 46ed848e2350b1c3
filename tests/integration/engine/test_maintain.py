"""Hashes are verified, old files retired, the rest left alone."""

import pytest

from integration.engine import small_steps as small
from stellar.engine import engine
from stellar.engine.maintain import clear, maintain, retire, verify
from stellar.errors import InputError, LedgerError
from stellar.ledger import snapshots


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


def test_old_files_go_and_the_ledger_remembers(ctx, history):
    would = {one["dataset"]: one["key"] for one in retire(ctx, keep=2, dry_run=True)}
    assert would["curated.stars"] == history[0]
    assert folder(ctx, history[0]).exists()
    report = maintain(ctx, keep=2)
    assert {one["dataset"] for one in report["retired"]} == {"raw.stars", "curated.stars", "quarantine.stars"}
    assert not folder(ctx, history[0]).exists()
    assert folder(ctx, history[1]).exists()
    assert snapshots.get(ctx.engine, history[0]).files_removed_at is not None
    assert verify(ctx) == []
    assert maintain(ctx, keep=2)["retired"] == []
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
