"""The database is dropped; the ledger comes back from the lake's files, and a run finds what was made before."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from integration.engine import small_steps as small
from integration.registry.test_promotion import FAILED, PASSED, new
from stellar import cli
from stellar.engine import engine, ingest
from stellar.engine.maintain import maintain, verify
from stellar.engine.recall import read_home
from stellar.errors import LedgerError
from stellar.flow.matching import crossmatch
from stellar.flow.plans import dry_plan
from stellar.flow.tables import import_table
from stellar.ledger import history, lineage, snapshots
from stellar.ledger.connect import lost_ledger, migrations
from stellar.ledger.migrate import migrate
from stellar.quality import suites
from stellar.registry import promotion, versions
from stellar.registry.promotion import register
from stellar.settings import CONFIG

STEPS = [small.curate_step(margin_arcsec=600.0), small.double_step(), small.plain_step()]
# everything that the files keep; times of partitions are those of their snapshots then
KEPT = {
    "lake.dataset": "name",
    "lake.snapshot": "key",
    "lake.snapshot_partition": "snapshot, name",
    "lake.margin": "snapshot, name",
    "lake.accounting": "snapshot",
    "lake.promotion": "id",
    "lake.object_alias": "old_id, new_id",
    "quality.gate": "id",
    "ingest.batch": "batch_id",
    "ingest.work_unit": "survey, dataset, release, unit",
    "lineage.edge": "child, parent, role",
}


@pytest.fixture
def stellar(settings, monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())
    return lambda *words: CliRunner().invoke(cli.app, list(words), catch_exceptions=False)


@pytest.fixture
def lose(ctx, database_server):
    """Drop the ledger's database."""

    def drop():
        ctx.engine.dispose()
        with database_server.connect() as connection:
            connection.execute(sa.text(f'DROP DATABASE "{ctx.engine.url.database}" WITH (FORCE)'))

    return drop


def rows(ctx):
    with ctx.engine.connect() as connection:
        found = {
            table: [row for (row,) in connection.exec_driver_sql(f"SELECT to_jsonb(t) FROM {table} t ORDER BY {order}")]
            for table, order in KEPT.items()
        }
        found["lake.partition"] = [
            row
            for (row,) in connection.exec_driver_sql(
                "SELECT to_jsonb(t) - 'made_at' FROM lake.partition t WHERE EXISTS"
                " (SELECT FROM lake.snapshot_partition s WHERE s.partition_key = t.key) ORDER BY key"
            )
        ]
        found["expectations"] = connection.exec_driver_sql(
            "SELECT e.gate, e.number, e.expectation, e.passed FROM quality.expectation e JOIN quality.gate g"
            " ON g.id = e.gate JOIN lake.snapshot s ON s.key = g.snapshot WHERE s.files_removed_at IS NULL"
            " ORDER BY 1, 2"
        ).all()
    return found


@pytest.fixture
def lived(ctx, sync, gates):
    """A lake with a past: changed, gone back to, rejected, removed, an old object's id; its ledger's rows."""
    (gates / "curated.stars.yaml").write_text("columns:\n  mag: {between: [null, 25]}\n")
    sync(*"abcd")
    first = engine.run(ctx, STEPS)[0]
    for sign, seed in (("2", 7), ("3", 8), ("4", 9)):
        sync("b", sign=sign, seed=seed)
        engine.run(ctx, STEPS)
    engine.rollback(ctx, "curated.stars", who="me", reason="as it was")
    step = small.curate_step(limit=15.0)
    planned = engine.plan(ctx, step)
    for number in range(len(planned.batches)):
        engine.build(ctx, step, planned, number)
    engine.reject(ctx, engine.commit(ctx, step, planned), who="me", reason="too few")
    with ctx.engine.begin() as connection:
        snapshots.record_aliases(connection, first.key, [("old", "new")])
    maintain(ctx, keep=1)
    assert snapshots.get(ctx.engine, first.key).files_removed_at is not None
    return rows(ctx)


def test_the_ledger_comes_back_whole(ctx, lived, lose, stellar):
    before = json.loads(stellar("datasets", "--json").stdout)
    lose()
    with pytest.raises(LedgerError, match="stellar ledger rebuild"):
        stellar("datasets")
    done = stellar("ledger", "rebuild", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["skipped"], report["assumed"]) == ([], [])
    assert json.loads(stellar("datasets", "--json").stdout) == before
    after = rows(ctx)
    for table in lived:
        assert after[table] == lived[table], table
    assert json.loads(stellar("verify", "--json").stdout) == []


def test_a_run_finds_what_was_made_before(ctx, sync, lose, stellar):
    sync(*"abcd")
    first = engine.run(ctx, STEPS)
    signs = ingest.done_signs(ctx, "test")
    tree = lineage.upstream(ctx.engine, "features.double")
    lose()
    assert stellar("ledger", "rebuild").exit_code == 0
    assert ingest.done_signs(ctx, "test") == signs
    assert lineage.upstream(ctx.engine, "features.double") == tree
    assert ingest.raw_key(ctx, "raw.stars").changed is False
    again = engine.run(ctx, STEPS)
    assert [(one.key, one.found, one.built) for one in again] == [(one.key, True, 0) for one in first]
    # and what changes from now on is recorded as ever
    sync("b", sign="2", seed=7)
    assert [one.carried for one in engine.run(ctx, STEPS)][:2] == [3, 3]
    assert verify(ctx, rows=True) == []


def test_content_that_came_back_is_active_again(ctx, sync, lose, stellar):
    sync("a")
    first = sync("b")
    sync("b", sign="2", seed=7)
    sync("b", sign="3")
    assert sync() == first
    before = rows(ctx)["ingest.batch"]
    lose()
    stellar("ledger", "rebuild")
    after = rows(ctx)["ingest.batch"]
    assert [row["superseded_by"] for row in after] == [row["superseded_by"] for row in before]
    assert ingest.raw_key(ctx, "raw.stars").key == first


def test_an_empty_ledger_over_a_lake_is_not_used(sync, settings, lose, stellar):
    sync("a")
    lose()
    with lost_ledger(settings) as owner:
        migrate(owner, migrations(settings))
    for command in ("datasets", "verify"):
        with pytest.raises(LedgerError, match=r"the ledger is empty, but.*stellar ledger rebuild"):
            stellar(command)
    assert stellar("ledger", "rebuild").exit_code == stellar("datasets").exit_code == 0


def test_a_full_ledger_is_replaced_only_when_told(ctx, sync, settings, stellar):
    sync(*"ab")
    key = engine.run(ctx, [small.curate_step()])[0].key
    with pytest.raises(LedgerError, match="holds 3 datasets"):
        stellar("ledger", "rebuild")
    said = stellar("ledger", "rebuild", "--replace")
    assert said.exit_code == 0
    (kept,) = (settings.home / "dumps").iterdir()
    assert str(kept) in said.stdout
    assert kept.stat().st_size > 10_000
    assert snapshots.current(ctx.engine, "curated.stars").key == key


def test_without_histories_the_newest_files_are_current(ctx, sync, lose, stellar):
    sync(*"ab")
    engine.run(ctx, STEPS)
    sync("b", sign="2", seed=7)
    engine.run(ctx, STEPS)
    current = snapshots.current_keys(ctx.engine)
    lose()
    for path in ctx.settings.lake.glob(f"*/*/{history.HISTORY}"):
        path.unlink()
    report = json.loads(stellar("ledger", "rebuild", "--json").stdout)
    assert report["current"] == current
    assert report["assumed"] == sorted(current)
    assert verify(ctx, rows=True) == []
    assert all(one.found for one in engine.run(ctx, STEPS))


def test_a_candidate_that_no_gate_has_seen_does_not_become_current(ctx, sync, lose, stellar):
    sync(*"ab")
    planned = engine.plan(ctx, STEPS[0])
    for number in range(len(planned.batches)):
        engine.build(ctx, STEPS[0], planned, number)
    engine.commit(ctx, STEPS[0], planned)
    lose()
    report = json.loads(stellar("ledger", "rebuild", "--json").stdout)
    assert STEPS[0].dataset not in report["current"]
    assert snapshots.get(ctx.engine, planned.key).state == "candidate"


def test_what_cannot_be_restored_is_named(ctx, sync, lose, stellar):
    sync(*"ab")
    outcomes = engine.run(ctx, STEPS)
    damaged = {one.dataset: ctx.settings.lake / snapshots.get(ctx.engine, one.key).path for one in outcomes}
    lose()
    manifest = damaged["features.double"] / "manifest.json"
    told = json.loads(manifest.read_text())
    told["partitions"][0]["rows"] += 1
    manifest.write_text(json.dumps(told))
    shutil.rmtree(damaged["features.plain"])
    origin = next(ctx.settings.lake.glob(f"raw/stars/batches/*{history.ORIGIN}"))
    origin.write_text("{")
    said = stellar("ledger", "rebuild")
    assert said.exit_code == 1
    for path, what in ((manifest, "do not add up"), (damaged["features.plain"], "missing"), (origin, "cannot be read")):
        assert any(str(path) in line and what in line for line in said.stderr.splitlines()), said.stderr
    assert set(snapshots.current_keys(ctx.engine)) == {"raw.stars", "curated.stars", "quarantine.stars"}
    again = engine.run(ctx, STEPS)
    assert [one.found for one in again] == [True, False, False]
    assert verify(ctx, ["features.double", "features.plain"], rows=True) == []


@pytest.fixture
def own(ctx, tmp_path, monkeypatch):
    """own.left, own.right and own.pairs; how each is made again."""
    random = np.random.default_rng(1)
    table = pa.table({"id": np.arange(3000), "ra": random.uniform(0, 360, 3000), "dec": random.uniform(-80, 80, 3000)})
    dec = pa.array(table["dec"].to_numpy() + 0.001)
    pq.write_table(table, tmp_path / "left.parquet")
    pq.write_table(table.set_column(2, "dec", dec).slice(0, 1000), tmp_path / "right.parquet")

    def make():
        for name in ("left", "right"):
            yield import_table(ctx, [tmp_path / f"{name}.parquet"], name, id_column="id", margin_arcsec=60.0)
        yield crossmatch(ctx, "left", "right", "pairs", radius_arcsec=10.0)

    monkeypatch.setattr("stellar.quality.suite_files.GATES", CONFIG / "gates")
    suites.load_suite.cache_clear()
    return make


def test_tables_of_the_user_s_own(ctx, own, lose, stellar):
    first = list(own())
    assert first[2]["rows"] == 1000
    before, listed = rows(ctx), stellar("datasets", "--json").stdout
    lose()
    said = stellar("ledger", "rebuild")
    assert (said.exit_code, said.stderr) == (0, "")
    assert stellar("datasets", "--json").stdout == listed
    after = rows(ctx)
    for table in before:
        assert after[table] == before[table], table
    assert len(after["lake.margin"]) > 20
    assert stellar("verify").exit_code == 0
    assert [(one["snapshot"], one["found"], one["built"]) for one in own()] == [
        (one["snapshot"], True, 0) for one in first
    ]
    assert all(item["found"] for item in dry_plan(ctx, "pairs"))


def test_models_come_back_with_their_past(ctx, sync, lose, stellar):
    sync("a")
    features = engine.run(ctx, [small.curate_step()])[0].key
    for letter, decision in (("1", PASSED), ("2", FAILED), ("3", PASSED)):
        current = versions.current(ctx.engine, "test-class")
        one = new(letter, snapshots={"features": features})
        register(ctx.engine, one, decision, compared_with=current and current.key, who="tester")
    promotion.set_alias(ctx.engine, "test-class", "paper", "1" * 64, who="me", reason="cited")
    promotion.rollback(ctx.engine, "test-class", who="me", reason="worse")
    history.write_model(ctx.engine, ctx.settings.artifacts, "test-class")
    tables = ("model", "version", "metric", "alias", "promotion")

    def registry():
        with ctx.engine.connect() as connection:
            return {
                table: sorted(
                    json.dumps(row, sort_keys=True)
                    for (row,) in connection.exec_driver_sql(f"SELECT to_jsonb(t) FROM registry.{table} t")
                )
                for table in tables
            }

    before, tree = registry(), lineage.upstream(ctx.engine, "test-class")
    lose()
    report = json.loads(stellar("ledger", "rebuild", "--json").stdout)
    assert (report["versions"], report["skipped"]) == (3, [])
    assert registry() == before
    assert lineage.upstream(ctx.engine, "test-class") == tree
    key = promotion.rollback(ctx.engine, "test-class", who="me", reason="better after all", to="3" * 64)
    assert versions.current(ctx.engine, "test-class").key == key == "3" * 64


def test_equal_snapshots_have_equal_manifests_and_no_times(ctx, sync):
    sync("a")
    engine.run(ctx, STEPS)
    for path in ctx.settings.lake.glob("*/*/*/manifest.json"):
        assert not {"committed_at", "run_id", "state"} & json.loads(path.read_text()).keys()


def test_the_home_is_read_without_a_ledger(ctx, sync):
    sync("a")
    engine.run(ctx, STEPS)
    found = read_home(ctx.settings)
    assert len(found.rows["lake.snapshot"]) == 5
    assert not found.skipped
