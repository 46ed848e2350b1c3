"""Units to batches to raw snapshots: once, whole, and superseded as a whole."""

import dataclasses

import pyarrow as pa
import pytest
import sqlalchemy as sa

from integration.engine import small_steps as small
from stellar.engine import engine, ingest
from stellar.errors import InputError, LedgerError, ServiceError
from stellar.lake.read import Catalog
from stellar.ledger import snapshots
from stellar.surveys.base import Fetched


def units(ctx):
    sql = "SELECT unit, state, attempts, error FROM ingest.work_unit ORDER BY unit"
    with ctx.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


def active(ctx):
    with ctx.engine.connect() as connection:
        return connection.execute(sa.text("SELECT unit FROM ingest.batch WHERE superseded_by IS NULL")).scalars().all()


def test_a_sync_that_breaks_off_resumes_with_what_is_missing(ctx):
    asked = [small.fetched(name) for name in "abc"]
    assert ingest.plan_units(ctx, "test", [unit for unit, _ in asked]) == [unit for unit, _ in asked]
    ingest.record_batch(ctx, *asked[0])
    ingest.fail_unit(ctx, asked[1][0], "503")
    assert units(ctx) == [("a", "done", 1, None), ("b", "failed", 1, "503"), ("c", "planned", 0, None)]
    assert ingest.pending_units(ctx, "test") == [asked[1][0], asked[2][0]]
    assert ingest.done_signs(ctx, "test") == {("stars", "a"): "1"}
    assert ingest.plan_units(ctx, "test", [unit for unit, _ in asked]) == [asked[1][0], asked[2][0]]
    for one in asked[1:]:
        ingest.record_batch(ctx, *one)
    assert ingest.pending_units(ctx, "test") == []
    assert sorted(active(ctx)) == ["a", "b", "c"]


def test_a_late_failure_of_another_attempt_does_not_undo_a_done_unit(ctx):
    unit, answer = small.fetched("a")
    ingest.plan_units(ctx, "test", [unit])
    ingest.record_batch(ctx, unit, answer)
    ingest.fail_unit(ctx, unit, "timeout")
    assert units(ctx) == [("a", "done", 1, None)]


def test_a_late_answer_does_not_take_the_place_of_a_newer_one(ctx, sync):
    old, late = small.fetched("a")
    ingest.plan_units(ctx, "test", [old])
    new, answer = small.fetched("a", sign="2", seed=9)
    ingest.plan_units(ctx, "test", [new])
    ingest.record_batch(ctx, old, late)
    assert active(ctx) == []
    brought = ingest.record_batch(ctx, new, answer)
    ingest.record_batch(ctx, old, late)
    ingest.fail_unit(ctx, old, "timeout")
    assert units(ctx) == [("a", "done", 1, None)]
    with ctx.engine.connect() as connection:
        assert [one.batch_id for one in ingest.batches.active(connection, "raw.stars")] == [brought]


def test_the_same_content_is_the_same_batch_whatever_its_order_and_types_of_strings(ctx):
    unit, answer = small.fetched("a")
    ingest.plan_units(ctx, "test", [unit])
    table = answer.table.append_column("name", pa.array(["x"] * answer.table.num_rows))
    first = ingest.record_batch(ctx, unit, dataclasses.replace(answer, table=table))
    turned = table.take(list(range(table.num_rows - 1, -1, -1)))
    coded = turned.set_column(4, "name", turned["name"].dictionary_encode())
    assert ingest.record_batch(ctx, unit, dataclasses.replace(answer, table=coded)) == first
    other = table.set_column(3, "mag", pa.array([5.0] * table.num_rows))
    assert ingest.record_batch(ctx, unit, dataclasses.replace(answer, table=other)) != first


def test_a_changed_unit_supersedes_its_former_batch(ctx, sync):
    first_key = sync(*"ab")
    second_key = sync("a", sign="2", seed=9)
    assert first_key != second_key
    assert sorted(active(ctx)) == ["a", "b"]
    with ctx.engine.connect() as connection:
        row = connection.execute(
            sa.text("SELECT o.unit, n.sign FROM ingest.batch o JOIN ingest.batch n ON n.batch_id = o.superseded_by")
        ).one()
    assert tuple(row) == ("a", "2")
    old = Catalog(ctx.settings.lake / snapshots.get(ctx.engine, first_key).path)
    assert old.rows == 2 * 2002  # it stays for queries as of a date


def test_another_release_of_a_unit_takes_the_place_of_the_former_and_gives_it_back(ctx, sync):
    def releases():
        sql = "SELECT unit, release FROM ingest.batch WHERE superseded_by IS NULL ORDER BY unit"
        with ctx.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(sql))]

    first = sync(*"ab")
    unit, answer = small.fetched("a", sign="dr2", seed=5)
    unit = dataclasses.replace(unit, release="dr2")
    assert ingest.plan_units(ctx, "test", [unit]) == [unit]
    ingest.record_batch(ctx, unit, answer)
    assert releases() == [("a", "dr2"), ("b", "dr1")]
    assert ingest.done_signs(ctx, "test") == {("stars", "a"): "dr2", ("stars", "b"): "1"}
    made = ingest.commit_raw(ctx, "raw.stars")
    assert snapshots.get(ctx.engine, made.key).rows == 2 * 2002
    former, _ = small.fetched("a")
    assert ingest.plan_units(ctx, "test", [former]) == [former]
    assert sync("a") == first
    assert releases() == [("a", "dr1"), ("b", "dr1")]


def test_of_two_releases_that_are_open_only_the_one_planned_last_is_pending(ctx):
    unit, _ = small.fetched("a")
    other = dataclasses.replace(unit, release="dr0")
    ingest.plan_units(ctx, "test", [unit])
    assert ingest.plan_units(ctx, "test", [other]) == [other]
    assert ingest.pending_units(ctx, "test") == [other]
    ingest.plan_units(ctx, "test", [unit])
    assert ingest.pending_units(ctx, "test") == [unit]


def test_no_rows_where_rows_were_expected_is_a_failure(ctx):
    unit, answer = small.fetched("a")
    ingest.plan_units(ctx, "test", [unit])
    with pytest.raises(ServiceError, match="unit a: 0 rows where 2002 were expected"):
        ingest.record_batch(ctx, unit, dataclasses.replace(answer, table=answer.table.slice(0, 0)))
    assert active(ctx) == []


def test_a_unit_may_become_empty(ctx, sync):
    sync(*"ab")
    unit, answer = small.fetched("a", sign="2")
    unit = dataclasses.replace(unit, expected_rows=0)
    ingest.plan_units(ctx, "test", [unit])
    ingest.record_batch(ctx, unit, dataclasses.replace(answer, table=answer.table.slice(0, 0)))
    made = ingest.commit_raw(ctx, "raw.stars")
    row = snapshots.get(ctx.engine, made.key)
    assert (row.rows, row.partitions, made.changed) == (2002, 2, True)


def test_nothing_fetched_is_no_snapshot(ctx):
    assert ingest.commit_raw(ctx, "raw.stars") is None
    assert ingest.raw_key(ctx, "raw.stars") is None


def test_commit_of_the_same_batches_is_the_same_snapshot(ctx, sync):
    key = sync("a")
    again = ingest.commit_raw(ctx, "raw.stars")
    assert (again.key, again.changed) == (key, False)


def test_batches_of_different_columns_go_together_and_of_different_kinds_do_not(ctx, sync):
    sync("a")
    unit, answer = small.fetched("b")
    ingest.plan_units(ctx, "test", [unit])
    more = answer.table.append_column("parallax", pa.array([1.0] * answer.table.num_rows))
    ingest.record_batch(ctx, unit, dataclasses.replace(answer, table=more))
    key = ingest.commit_raw(ctx, "raw.stars").key
    engine.gate(ctx, [key])
    engine.promote(ctx, [key], who="t", reason="r")
    assert "parallax" in Catalog(ctx.settings.lake / snapshots.get(ctx.engine, key).path).schema.names
    assert engine.run(ctx, [small.curate_step()])[0].rows > 0
    unit, answer = small.fetched("c")
    texts = answer.table.set_column(3, "mag", pa.array(["bright"] * answer.table.num_rows))
    batch = ingest.record_batch(ctx, unit, dataclasses.replace(answer, table=texts))
    with pytest.raises(InputError, match=f"batch ({batch[:16]}|[0-9a-f]{{16}}) .*do not go with"):
        ingest.commit_raw(ctx, "raw.stars")


def test_units_of_another_survey_are_refused(ctx):
    unit, _ = small.fetched("a")
    with pytest.raises(InputError, match="is of survey test, not of gaia"):
        ingest.plan_units(ctx, "gaia", [unit])


def test_raw_batches_are_append_only(ctx, sync):
    sync("a")
    for statement in ("UPDATE ingest.batch SET row_count = 1", "DELETE FROM ingest.batch"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), ctx.engine.begin() as connection:
            connection.execute(sa.text(statement))


def test_a_file_of_a_crashed_attempt_is_used(ctx):
    unit, answer = small.fetched("a")
    ingest.plan_units(ctx, "test", [unit])
    real = ingest.batches.record
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest.batches, "record", lambda *_: (_ for _ in ()).throw(LedgerError("gone")))
        with pytest.raises(LedgerError):
            ingest.record_batch(ctx, unit, answer)
    assert ingest.batches.record is real
    (left,) = (ctx.settings.lake / "raw/stars/batches").glob("*.parquet")
    assert ingest.record_batch(ctx, unit, answer) == left.stem
    assert isinstance(answer, Fetched)
