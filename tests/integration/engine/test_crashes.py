"""Killed at any instant, the old snapshot stays current, and the next attempt ends the same."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from integration.engine import small_steps as small
from stellar.engine import commit as committing
from stellar.engine import engine
from stellar.engine.maintain import clear, verify
from stellar.ledger import snapshots

CODE = """
import sys
from stellar.engine import commit as committing, engine
from stellar.ledger.connect import open_ledger
from stellar.settings import load_settings
from integration.engine import small_steps as small
import os, signal

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

settings = load_settings(workers=1)
ctx = engine.Context(settings, open_ledger(settings), "doomed")
step = small.double_step()
planned = engine.plan(ctx, step)
{trap}
for number in range(len(planned.batches)):
    engine.build(ctx, step, planned, number)
engine.commit(ctx, step, planned)
{after}
"""


def doomed(ctx, trap="", after=""):
    environment = {
        **os.environ,
        "STELLAR_HOME": str(ctx.settings.home),
        "STELLAR_POSTGRES_URL": ctx.settings.postgres_url.get_secret_value(),
        "PYTHONPATH": str(ctx.settings.root / "tests"),
    }
    code = CODE.format(trap=trap, after=after)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def before(ctx, sync):
    """A current snapshot of features.double, and newer input that it was not made of yet."""
    sync(*"ab")
    old = engine.run(ctx, [small.curate_step(), small.double_step()])[1]
    sync("c", "d")
    engine.run(ctx, [small.curate_step()])
    return old.key


TRAPS = {
    "second partition": (
        "from stellar.engine import build as b\n"
        "real = b._stage\ncount = []\n"
        "def stage(*a, **k):\n    count.append(1)\n    return real(*a, **k) if len(count) < 2 else die()\n"
        "b._stage = stage"
    ),
    "written but not on the disk": "from stellar.engine import build as b\nb.sync = die",
    "staged but not noted": "from stellar.engine import build as b\nb.write_json = die",
    "folder half made": "committing.finish_catalog = die",
    "folder made, not in the ledger": "committing.record_snapshot = die",
    "in the ledger, not committed": "committing.snapshots.add_edges = die",
    "committed, staging left": "committing.shutil.rmtree = die",
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_kill_leaves_the_old_and_the_next_attempt_ends_the_same(ctx, before, trap):
    doomed(ctx, TRAPS[trap])
    assert snapshots.current(ctx.engine, "features.double").key == before
    assert verify(ctx) == []
    resumed = engine.run(ctx, [small.double_step()])[0]
    assert snapshots.current(ctx.engine, "features.double").key == resumed.key != before
    assert resumed.changed
    assert verify(ctx, rows=True) == []
    undisturbed = engine.run(ctx, [small.double_step(version=2)])[0]
    hashes = [snapshots.get(ctx.engine, key).content_hash for key in (resumed.key, undisturbed.key)]
    assert hashes[0] == hashes[1]


def test_a_kill_between_commit_and_promotion_leaves_the_old(ctx, before):
    doomed(ctx, after="die()")
    key = engine.snapshot_key(ctx, small.double_step())
    assert snapshots.get(ctx.engine, key).state == "candidate"
    assert snapshots.current(ctx.engine, "features.double").key == before
    assert engine.run(ctx, [small.double_step()])[0].found


def test_what_a_crash_left_is_cleared_and_nothing_else(ctx, before):
    doomed(ctx, TRAPS["folder made, not in the ledger"])
    key = engine.snapshot_key(ctx, small.double_step())
    folder = f"features/double/{key[:16]}"
    assert (ctx.settings.lake / folder).is_dir()
    assert clear(ctx, dry_run=True) == [folder]
    assert clear(ctx) == [folder]
    assert clear(ctx, stale_s=0) == [f".staging/{key}"]
    assert not (ctx.settings.lake / folder).exists()
    assert verify(ctx) == []


def test_two_commits_at_once_make_one_snapshot(ctx, sync, monkeypatch):
    sync(*"ab")
    step = small.curate_step()
    planned = engine.plan(ctx, step)
    engine.build(ctx, step, planned, 0)
    real = committing.finish_catalog

    def slowly(*given, **named):
        time.sleep(0.5)
        real(*given, **named)

    monkeypatch.setattr(committing, "finish_catalog", slowly)
    keys, errors = [], []

    def act():
        try:
            keys.append(engine.commit(ctx, step, planned))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=act) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (keys, errors) == ([planned.key] * 3, [])
    with ctx.engine.connect() as connection:
        states = connection.exec_driver_sql("SELECT state FROM lake.snapshot WHERE dataset = 'curated.stars'").scalars()
        assert states.all() == ["candidate"]
    assert snapshots.get(ctx.engine, planned.key).rows == snapshots.accounting_of(ctx.engine, planned.key)["rows_out"]


def test_two_builds_of_one_batch_at_once_come_to_the_same(ctx, sync, tmp_path):
    sync(*"ab")
    engine.run(ctx, [small.curate_step()])
    flag = tmp_path / "go"
    step = small.double_step(run=small.slow, params={"flag": str(flag)})
    planned = engine.plan(ctx, step)
    threads = [threading.Thread(target=engine.build, args=(ctx, step, planned, 0)) for _ in range(2)]
    for thread in threads:
        thread.start()
    flag.touch()
    for thread in threads:
        thread.join()
    engine.commit(ctx, step, planned)
    assert snapshots.get(ctx.engine, planned.key).state == "candidate"
