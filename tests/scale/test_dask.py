"""A two-worker Dask cluster builds what one process builds, also when a worker is killed at work."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from integration.engine import small_steps as small
from platform_home import wait_for
from scale import held_steps as held
from scale import hold
from stellar.engine import batches, engine
from stellar.engine.executors import map_unordered
from stellar.errors import InputError, StellarError
from stellar.flow.matching import crossmatch
from stellar.flow.tables import import_table
from stellar.ledger import snapshots
from stellar.ledger.partitions import partitions_of
from stellar.settings import load_settings

KILL_S = 60


@pytest.fixture
def on_cluster(cluster, tmp_path):
    return load_settings(home=tmp_path, engine="dask", dask_scheduler=cluster.address)


def kill_held_worker(cluster, running) -> str:
    """Kill the worker whose call waits, of work that runs; its name."""
    wait_for(lambda: hold.held_process(cluster.held) or running.done(), KILL_S, "a task under way")
    if (pid := hold.held_process(cluster.held)) is None:
        raise AssertionError("the work ended before it could be disturbed") from running.exception()
    name = next(name for name, process in cluster.workers.items() if process.pid == pid)
    assert cluster.tasks()[name], "the scheduler knows that it is at work"
    cluster.kill(name)
    return name


def test_items_of_a_killed_worker_are_done_by_another(cluster, on_cluster):
    told = []
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(map_unordered, on_cluster, held.square, range(20), progress=lambda *now: told.append(now))
        killed = kill_held_worker(cluster, found)
        assert found.result(timeout=KILL_S) == [number**2 for number in range(20)]
    assert told == [(done, 20) for done in range(21)]
    assert killed not in cluster.tasks()


def test_what_is_wrong_with_an_item_is_said_and_what_stumbles_is_tried_again(cluster, on_cluster, tmp_path):
    cluster.held.touch()
    with pytest.raises(InputError, match="item 2 is bad"):
        map_unordered(on_cluster, held.refuse, range(5))
    assert map_unordered(on_cluster, partial(held.stumble, tmp_path), range(3)) == [0, 1, 2]


def test_work_that_kills_worker_after_worker_ends(cluster, on_cluster):
    cluster.add_workers(3)  # a task is given up when the fourth worker died of it
    with pytest.raises(StellarError, match="died again and again"):
        map_unordered(on_cluster, held.die, range(1))


def test_functions_not_made_for_threads_run_one_at_a_time_in_a_process(cluster, on_cluster, tmp_path):
    for name in list(cluster.workers):
        cluster.kill(name)
    cluster.add_workers(1, threads=4)
    folder = tmp_path / "overlap"
    folder.mkdir()
    assert set(map_unordered(on_cluster, partial(held.overlap, folder), range(6))) == {1}
    assert max(map_unordered(on_cluster, partial(held.overlap, folder), range(6), threads=True)) > 1


def test_a_cluster_without_workers_or_of_other_versions_is_refused(cluster, on_cluster, monkeypatch):
    from stellar.engine import executors

    monkeypatch.setattr(executors, "_versions", lambda: {"pyarrow": "1.2.3"})
    with pytest.raises(InputError, match=r"has pyarrow .* instead of 1\.2\.3"):
        map_unordered(on_cluster, held.square, range(2))
    monkeypatch.setattr(executors, "WORKERS_S", 1)
    for name in list(cluster.workers):
        cluster.kill(name)
    with pytest.raises(InputError, match="has no worker"):
        map_unordered(on_cluster, held.square, range(2))


def test_a_scheduler_that_goes_away_is_said(cluster, on_cluster):
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(map_unordered, on_cluster, held.square, range(4))
        wait_for(cluster.held.is_file, KILL_S, "a task under way")
        cluster.kill_scheduler()
        with pytest.raises(StellarError, match="went away"):
            found.result(timeout=KILL_S)


def test_a_build_whose_worker_is_killed_is_the_build_of_one_process(cluster, contexts, bring, monkeypatch):
    monkeypatch.setattr(batches, "_BATCH_BYTES", 1)
    steps = [held.curate_step(), small.double_step()]
    alone = contexts(workers=1)
    bring(alone, *"abcd")
    expected = [made(alone, outcome) for outcome in engine.run(alone, steps)]

    ctx = contexts(workers=4, engine="dask", dask_scheduler=cluster.address)
    bring(ctx, *"abcd")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.run, ctx, steps)
        kill_held_worker(cluster, running)
        outcomes = running.result(timeout=KILL_S)
    assert [made(ctx, outcome) for outcome in outcomes] == expected
    assert outcomes[0].built > 2
    assert not list((ctx.settings.lake / ".staging").glob("*")), "nothing is left of the killed worker's attempt"


SAME = ("dataset", "snapshot", "content_hash", "rows", "partitions", "margin_arcsec")
HELD_IN = {"a file is staged": hold.STAGES, "a partition is built": hold.BUILDS}


@pytest.mark.parametrize("place", HELD_IN)
def test_an_import_whose_worker_is_killed_is_the_import_of_one_process(scheduler, contexts, tables, place):
    options = {"id_column": "id", "margin_arcsec": 20.0}
    alone = import_table(contexts(workers=1), tables, "stars", **options)
    scheduler.add_workers(2, hold_in=HELD_IN[place])
    ctx = contexts(workers=4, engine="dask", dask_scheduler=scheduler.address)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(import_table, ctx, tables, "stars", **options)
        kill_held_worker(scheduler, running)
        check_same(running.result(timeout=KILL_S), alone)


def test_a_match_whose_worker_is_killed_is_the_match_of_one_process(scheduler, contexts, tables, other_tables):
    alone = contexts(workers=1)
    scheduler.add_workers(2, hold_in=HELD_IN["a partition is built"])
    ctx = contexts(workers=4, engine="dask", dask_scheduler=scheduler.address)
    scheduler.held.touch()  # nothing is held yet
    for name, files in (("stars", tables), ("others", other_tables)):
        check_same(*(import_table(one, files, name, id_column="id") for one in (ctx, alone)))
    expected = crossmatch(alone, "stars", "others", "pairs", radius_arcsec=2.0)
    assert expected["rows"] > 100_000
    scheduler.held.unlink()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(crossmatch, ctx, "stars", "others", "pairs", radius_arcsec=2.0)
        kill_held_worker(scheduler, running)
        check_same(running.result(timeout=KILL_S), expected)


def check_same(found: dict, alone: dict) -> None:
    """Two outcomes are of one snapshot, to the last file."""
    assert {name: found[name] for name in SAME} == {name: alone[name] for name in SAME}
    assert found["partitions"] > 3
    assert hashes(Path(found["path"])) == hashes(Path(alone["path"]))


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a snapshot, margins included."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest() for file in files}


def made(ctx, outcome) -> dict[str, object]:
    """What was made: key, rows, hashes of all files."""
    row = snapshots.get(ctx.engine, outcome.key)
    folder: Path = ctx.settings.lake / row.path
    names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.parquet"))
    parts = {part["name"]: part["sha256"] for part in partitions_of(ctx.engine, outcome.key)}
    return {"key": row.key, "rows": row.rows, "content": row.content_hash, "files": names, "parts": parts}
