"""Scores as tables of Postgres: what a promotion copies, what readers see of it, and what is done after a fault."""

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from integration.engine import small_steps as small
from stellar.engine import engine, publish
from stellar.engine.step import Accounting, Input, Step, StepResult
from stellar.lake.read import Catalog
from stellar.lake.schema import field
from stellar.ledger import snapshots
from stellar.ledger.connect import ledger_session
from stellar.sky.separation import separation_arcsec

SCHEMA = pa.schema(
    [
        field("id", pa.int64(), description="The star's number"),
        field("ra", pa.float64(), "deg"),
        field("dec", pa.float64(), "deg"),
        field("teff_k", pa.float64(), "K", "phys.temperature.effective", "Median, it's 50%"),
        field("probability_k", pa.float64()),
        field("prediction_set", pa.list_(pa.string())),
        field("flags", pa.string()),
    ]
)
ODD = [None, "", 'a "quoted"\\ one, with\nlines', "a\0zero", "é★"]


def score(partition, inputs, params):
    stars = inputs["stars"].rows
    n = stars.num_rows
    teff = stars["mag"].to_numpy() * params["factor"]
    teff[::7] = np.nan
    flags = pa.array([ODD[i % len(ODD)] for i in stars["id"].to_pylist()], pa.string())
    sets = [None if flag is None else [] if flag == "" else [flag, None, "NULL"] for flag in flags.to_pylist()]
    columns = [stars["id"], stars["ra"], stars["dec"], teff, pa.nulls(n, pa.float64()), sets, flags]
    table = pa.table([pa.array(c) if not isinstance(c, pa.ChunkedArray) else c for c in columns], names=SCHEMA.names)
    table = table.set_column(5, "prediction_set", pa.array(sets, pa.list_(pa.string())))
    if params.get("plus"):
        table = table.append_column("more", pa.array(np.arange(n, dtype=np.int32)))
        return StepResult(table, Accounting(n, n))
    return StepResult(table.cast(SCHEMA), Accounting(n, n))


def score_step(factor=300.0, version=1, **more):
    return Step(
        "scores.stars", "score", version, {"stars": Input("curated.stars")}, {"factor": factor, **more}, score, "id",
        "rows", "stars",
    )  # fmt: skip


@pytest.fixture
def scored(ctx, sync):
    sync("a", "c")
    engine.run(ctx, [small.curate_step()])
    engine.run(ctx, [score_step()])
    return ctx


@pytest.fixture
def reader(scored):
    with ledger_session(scored.settings, role="reader") as ledger:
        yield ledger


def ask(ledger, sql, **values):
    with ledger.connect() as connection:
        return connection.execute(sa.text(sql), values).mappings().all()


def in_lake(ctx):
    row = snapshots.current(ctx.engine, "scores.stars")
    return Catalog(ctx.settings.lake / row.path).read_all().sort_by("id"), row


def same(found, table, key):
    """Rows of Postgres beside those of the lake, to the bit."""
    assert len(found) == table.num_rows
    for one, row in zip(found, table.to_pylist(), strict=True):
        row.pop("probability_k")
        flags = row["flags"] and row["flags"].replace("\0", "\N{REPLACEMENT CHARACTER}")
        sets = row["prediction_set"] and [
            v and v.replace("\0", "\N{REPLACEMENT CHARACTER}") for v in row["prediction_set"]
        ]
        expected = {**row, "flags": flags, "prediction_set": sets, "snapshot": key}
        assert repr(dict(one)) == repr({name: expected[name] for name in one})


def test_rows_are_those_of_the_lake_to_the_bit_and_the_reader_may_see_them(scored, reader):
    table, row = in_lake(scored)
    found = ask(reader, "SELECT * FROM scores.stars ORDER BY id")
    same(found, table, row.key)
    assert "probability_k" not in found[0] and "_healpix_29" in found[0]
    published = ask(reader, "SELECT * FROM scores.published")
    assert [(one["dataset"], one["snapshot"], one["rows"], one["copied"], one["fault"]) for one in published] == [
        ("scores.stars", row.key, row.rows, row.rows, None)
    ]
    assert ask(reader, "SELECT * FROM scores.behind") == [] and publish.behind(reader) == []


def test_columns_tell_what_they_hold(scored, reader):
    comments = {
        one["name"]: one["comment"]
        for one in ask(
            reader,
            "SELECT attname AS name, col_description(attrelid, attnum) AS comment FROM pg_attribute"
            " WHERE attrelid = 'scores.stars'::regclass AND attnum > 0",
        )
    }
    assert comments["teff_k"] == "Median, it's 50% [K]; phys.temperature.effective"
    assert comments["ra"].endswith("[deg]") and "Snapshot" in comments["snapshot"] and all(comments.values())


def test_the_reader_changes_nothing(scored, reader):
    for statement in (
        "DELETE FROM scores.stars",
        "DROP VIEW scores.stars",
        "UPDATE scores.published SET rows = 0",
        "CREATE TABLE scores.mine (a int)",
        "SELECT * FROM scores_rows.stars",
    ):
        with reader.connect() as connection, pytest.raises(sa.exc.ProgrammingError):
            connection.execute(sa.text(statement))


def test_only_partitions_that_changed_are_copied(scored, sync, reader):
    before = snapshots.current(scored.engine, "scores.stars")
    sync("d")
    engine.run(scored, [small.curate_step(), score_step()])
    table, row = in_lake(scored)
    assert row.rows > before.rows
    same(ask(reader, "SELECT * FROM scores.stars ORDER BY id"), table, row.key)
    [one] = ask(reader, "SELECT rows, copied FROM scores.published")
    assert one["rows"] == row.rows and one["copied"] == row.rows - before.rows


def test_a_promotion_of_the_same_content_copies_nothing_and_names_the_new_snapshot(scored, reader):
    before = snapshots.current(scored.engine, "scores.stars")
    engine.run(scored, [score_step(version=2)])
    now = snapshots.current(scored.engine, "scores.stars")
    assert now.key != before.key and now.content_hash == before.content_hash
    assert ask(reader, "SELECT copied FROM scores.published") == [{"copied": 0}]
    assert ask(reader, "SELECT DISTINCT snapshot FROM scores.stars") == [{"snapshot": now.key}]


def test_rollback_brings_the_former_rows_back_with_their_columns(scored, reader):
    first, before = in_lake(scored)
    engine.run(scored, [score_step(plus=True)])
    assert "more" in ask(reader, "SELECT * FROM scores.stars LIMIT 1")[0]
    engine.rollback(scored, "scores.stars", who="test", reason="worse")
    found = ask(reader, "SELECT * FROM scores.stars ORDER BY id")
    same(found, first, before.key)
    tables = "SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'scores_rows'"
    assert ask(scored.engine, tables) == [{"n": 1}]


def test_a_reader_in_a_transaction_sees_one_version_and_is_not_held_up(scored, reader):
    with reader.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        sums = sa.text(
            "SELECT sum(teff_k) FILTER (WHERE teff_k <> 'NaN'), min(snapshot), max(snapshot) FROM scores.stars"
        )
        before = connection.execute(sums).one()
        engine.run(scored, [score_step(factor=200.0)])
        assert connection.execute(sums).one() == before
    with reader.connect() as connection:
        now = connection.execute(sums).one()
    assert now[0] == pytest.approx(before[0] / 1.5) and now[1] == now[2] != before[1]


def test_a_fault_leaves_the_promotion_and_the_old_rows_and_is_mended_later(scored, reader):
    with scored.engine.begin() as connection:
        connection.execute(sa.text("CREATE VIEW scores.mine AS SELECT teff_k FROM scores.stars"))
    before = snapshots.current(scored.engine, "scores.stars")
    engine.run(scored, [score_step(plus=True)])
    now = snapshots.current(scored.engine, "scores.stars")
    assert now.key != before.key
    [behind] = publish.behind(reader)
    assert behind["published"] == before.key and behind["current"] == now.key and "mine" in behind["fault"]
    assert ask(reader, "SELECT DISTINCT snapshot FROM scores.stars") == [{"snapshot": before.key}]
    with scored.engine.begin() as connection:
        connection.execute(sa.text("DROP VIEW scores.mine"))
    assert [one.fault for one in publish.publish_behind(scored)] == [None]
    assert publish.behind(reader) == []
    assert ask(reader, "SELECT DISTINCT snapshot FROM scores.stars") == [{"snapshot": now.key}]
    assert ask(scored.engine, "SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'scores_rows'") == [{"n": 1}]


def test_a_promotion_that_fails_publishes_nothing(scored, reader, monkeypatch):
    before = ask(reader, "SELECT * FROM scores.published")
    step = score_step(factor=100.0)
    planned = engine.plan(scored, step)
    for number in range(len(planned.batches)):
        engine.build(scored, step, planned, number)
    engine.commit(scored, step, planned)
    engine.gate(scored, [planned.key])

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stellar.engine.promote.publish", lambda *a: (publish.publish(*a), crash()))
    with pytest.raises(KeyboardInterrupt):
        engine.promote(scored, [planned.key], who="test", reason="crash")
    monkeypatch.undo()
    assert ask(reader, "SELECT * FROM scores.published") == before
    assert publish.behind(reader) == []
    engine.promote(scored, [planned.key], who="test", reason="again")
    assert ask(reader, "SELECT DISTINCT snapshot FROM scores.stars") == [{"snapshot": planned.key}]


def test_rows_that_somebody_lost_are_told_and_copied_again(scored, reader):
    with scored.engine.begin() as connection:
        [relation] = connection.scalars(sa.text("SELECT relation FROM scores.published"))
        connection.execute(sa.text(f'DELETE FROM scores_rows."{relation}" WHERE id % 2 = 0'))
    [behind] = publish.behind(reader)
    assert "it holds" in behind["fault"]
    publish.forget(scored, ["scores.stars"])
    assert [one.fault for one in publish.publish_behind(scored)] == [None]
    table, row = in_lake(scored)
    same(ask(reader, "SELECT * FROM scores.stars ORDER BY id"), table, row.key)


def test_a_cone_of_the_table_is_that_of_the_lake(scored, reader):
    table, _ = in_lake(scored)
    separation = separation_arcsec(220.0, -30.0, table["ra"].to_numpy(), table["dec"].to_numpy())
    expected = set(table.filter(pa.array(separation <= 3600.0))["id"].to_pylist())
    found = ask(reader, "SELECT * FROM scores.stars_cone(220.0, -30.0, 1.0)")
    assert {one["id"] for one in found} == expected and len(expected) > 100
    by_name = ask(reader, "SELECT * FROM scores.cone('stars', 220.0, -30.0, 1.0)")
    assert [int(one["id"]) for one in by_name] == [
        one["id"] for one in sorted(found, key=lambda one: (one["center_separation_arcsec"], str(one["id"])))
    ]
    with reader.connect() as connection, pytest.raises(sa.exc.ProgrammingError, match=r"there are: scores\.stars"):
        connection.execute(sa.text("SELECT * FROM scores.cone('nope', 1, 2, 3)"))
