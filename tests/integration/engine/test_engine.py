"""Steps run end to end on small data: found, carried, accounted, promoted, rolled back."""

import dataclasses
import functools
import json
import os
import shutil

import pyarrow.parquet as pq
import pytest

from integration.engine import small_steps as small
from stellar.engine import batches, engine, ingest
from stellar.engine import plan as planning
from stellar.engine.maintain import verify
from stellar.engine.plan import staging
from stellar.errors import GateFailed, InputError, IntegrityError, LedgerError
from stellar.lake.layout import layout
from stellar.lake.read import Catalog
from stellar.ledger import snapshots
from stellar.ledger.partitions import partitions_of
from stellar.quality import suites


def catalog(ctx, dataset):
    return Catalog(ctx.settings.lake / snapshots.current(ctx.engine, dataset).path)


def table(ctx, dataset):
    return catalog(ctx, dataset).read_all()


def build(ctx, step, pinned=None):
    planned = engine.plan(ctx, step, pinned)
    for number in range(len(planned.batches)):
        engine.build(ctx, step, planned, number)
    return planned


def test_raw_to_features_and_nothing_the_second_time(ctx, sync):
    sync(*"abcd")
    steps = [small.curate_step(), small.double_step()]
    first = engine.run(ctx, steps)
    assert [one.found for one in first] == [False, False]
    assert [one.built for one in first] == [5, 4]  # four cells, and the rows without a position
    again = engine.run(ctx, steps)
    assert [(one.found, one.changed, one.built) for one in again] == [(True, False, 0)] * 2
    assert [one.key for one in again] == [one.key for one in first]
    count = snapshots.accounting_of(ctx.engine, first[0].key)
    raw = snapshots.current(ctx.engine, "raw.stars").rows
    assert (count["rows_in"], count["quarantined"]) == (raw, 4) == (4 * 2002, 4)
    assert count["merged"] > 0
    assert count["filtered_by"] == {"faint": count["filtered"]}
    assert table(ctx, "features.double").num_rows == count["rows_out"]
    refused = table(ctx, "quarantine.stars")
    assert refused.num_rows == 4
    assert set(refused["reason"].to_pylist()) == {"no position"}
    assert {"id", "ra", "dec", "mag", "batch_id"} <= set(refused.column_names)
    assert verify(ctx, rows=True) == []
    assert not list(staging(ctx.settings, first[0].key).parent.iterdir())


def test_a_changed_field_recomputes_its_cell_and_carries_the_others(ctx, sync):
    sync(*"abcd")
    steps = [small.curate_step(), small.double_step()]
    engine.run(ctx, steps)
    before = {cell: catalog(ctx, "features.double").file(cell) for cell in catalog(ctx, "features.double").cells}
    sync("b", sign="2", seed=7, bad=0)
    assert [(one.built, one.carried) for one in engine.run(ctx, steps)] == [(2, 3), (1, 3)]
    after = {cell: catalog(ctx, "features.double").file(cell) for cell in catalog(ctx, "features.double").cells}
    shared = [cell for cell in before if before[cell].samefile(after[cell])]
    assert len(shared) == 3
    assert table(ctx, "quarantine.stars").num_rows == 3
    assert verify(ctx, rows=True) == []


def test_data_that_comes_back_is_found(ctx, sync):
    sync(*"abcd")
    first = engine.run(ctx, [small.curate_step()])[0]
    sync("b", sign="2", seed=7)
    second = engine.run(ctx, [small.curate_step()])[0]
    sync("b", sign="3")
    third = engine.run(ctx, [small.curate_step()])[0]
    assert (third.key, third.found, third.changed) == (first.key, True, True)
    assert second.key != first.key


def test_the_same_fetched_twice_changes_nothing(ctx, sync):
    key = sync(*"ab")
    assert sync("a", sign="2") == key
    rows = table(ctx, "raw.stars").num_rows
    assert rows == 2 * 2002


def test_the_same_rows_in_other_files_and_order_are_the_same_content(ctx, sync, gates):
    sync(*"ab")
    first = engine.run(ctx, [small.curate_step()])[0]
    unit, answer = small.fetched("a")
    turned = answer.table.take(list(range(answer.table.num_rows - 1, -1, -1)))
    before = ingest.raw_key(ctx, "raw.stars")
    ingest.record_batch(ctx, unit, type(answer)(turned, "http://elsewhere", "q", {}, "1" * 64))
    assert ingest.raw_key(ctx, "raw.stars") == before
    assert engine.plan(ctx, small.curate_step()).key == first.key


def test_params_version_and_models_make_another_snapshot(ctx, sync):
    sync("a")
    keys = [
        engine.snapshot_key(ctx, step)
        for step in (
            small.curate_step(),
            small.curate_step(limit=18),
            small.curate_step(version=2),
            small.curate_step(name="other"),
            small.curate_step(models={"m": "0" * 64}),
        )
    ]
    assert len(set(keys)) == 5


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (small.lose_a_row, "rows in are not"),
        (small.lie_about_input, "accounting says .* rows in"),
        (small.move_away, "outside the cell"),
    ],
)
def test_rows_that_do_not_add_up_or_stray_are_refused(ctx, sync, run, said):
    sync("a")
    engine.run(ctx, [small.curate_step()])
    with pytest.raises(LedgerError, match=f"features.double, step double v1, partition Norder=.*{said}"):
        build(ctx, small.double_step(run=run))
    assert snapshots.current(ctx.engine, "features.double") is None


def test_quarantine_needs_its_dataset(ctx, sync):
    sync("a")
    with pytest.raises(LedgerError, match="declares no quarantine"):
        build(ctx, small.curate_step(quarantine=None))


def test_a_tampered_note_does_not_pass_the_commit(ctx, sync):
    sync("a")
    planned = build(ctx, small.curate_step())
    note = next(staging(ctx.settings, planned.key).glob("Norder*.json"))
    told = json.loads(note.read_text())
    told["accounting"]["rows_in"] += 1
    told["accounting"]["merged"] += 1
    note.write_text(json.dumps(told))
    with pytest.raises(LedgerError, match="do not add up"):
        engine.commit(ctx, small.curate_step(), planned)
    assert snapshots.get(ctx.engine, planned.key).state == "building"


def test_a_commit_needs_every_partition(ctx, sync):
    sync(*"ab")
    planned = engine.plan(ctx, small.curate_step())
    with pytest.raises(LedgerError, match="is not built"):
        engine.commit(ctx, small.curate_step(), planned)


def test_another_step_than_planned_is_refused(ctx, sync):
    sync("a")
    planned = engine.plan(ctx, small.curate_step())
    for act in (lambda step: engine.build(ctx, step, planned, 0), lambda step: engine.commit(ctx, step, planned)):
        with pytest.raises(LedgerError, match="not the step"):
            act(small.curate_step(limit=11))


def lose_files(ctx, key):
    shutil.rmtree(ctx.settings.lake / snapshots.get(ctx.engine, key).path)


def test_lost_files_are_made_again(ctx, sync):
    sync(*"ab")
    first = engine.run(ctx, [small.curate_step()])[0]
    before = snapshots.get(ctx.engine, first.key)
    lose_files(ctx, first.key)
    assert [fault["what"] for fault in verify(ctx, ["curated.stars"])] == ["the folder is missing"]
    again = engine.run(ctx, [small.curate_step()])[0]
    assert (again.key, again.found, again.built, again.changed) == (first.key, False, 3, False)
    assert snapshots.get(ctx.engine, first.key) == before
    assert verify(ctx, rows=True) == []


def test_a_file_of_another_size_is_made_again_and_not_carried(ctx, sync):
    sync(*"ab")
    first = engine.run(ctx, [small.curate_step()])[0]
    victim = next((ctx.settings.lake / snapshots.get(ctx.engine, first.key).path).rglob("Npix=*.parquet"))
    os.truncate(victim, victim.stat().st_size - 1)
    again = engine.run(ctx, [small.curate_step()])[0]
    assert (again.key, again.found, again.built, again.carried) == (first.key, False, 1, 2)
    assert verify(ctx, rows=True) == []
    refused = snapshots.current(ctx.engine, "quarantine.stars")
    shutil.rmtree(ctx.settings.lake / refused.path)
    assert not engine.run(ctx, [small.curate_step()])[0].found
    assert verify(ctx, rows=True) == []


def test_a_step_that_is_no_pure_function_is_found_out(ctx, sync):
    sync("a")
    step = small.double_step(run=small.random_numbers)
    outcome = engine.run(ctx, [small.curate_step(), step])[1]
    lose_files(ctx, outcome.key)
    planned = build(ctx, step)
    with pytest.raises(IntegrityError, match="not a pure function"):
        engine.commit(ctx, step, planned)


def test_double_commit_and_repeated_calls_are_harmless(ctx, sync):
    sync("a")
    step = small.curate_step()
    planned = build(ctx, step)
    engine.build(ctx, step, planned, 0)
    assert engine.commit(ctx, step, planned) == engine.commit(ctx, step, planned) == planned.key
    engine.build(ctx, step, engine.load_plan(ctx, planned.key), 0)
    for _ in range(2):
        assert [result.passed for result in engine.gate(ctx, [planned.key])] == [True]
    assert engine.promote(ctx, [planned.key], who="t", reason="r") == {"curated.stars": True, "quarantine.stars": True}
    assert engine.promote(ctx, [planned.key], who="t", reason="r") == {
        "curated.stars": False,
        "quarantine.stars": False,
    }
    with ctx.engine.connect() as connection:
        history = connection.exec_driver_sql("SELECT count(*) FROM lake.promotion WHERE dataset = 'curated.stars'")
        assert history.scalar() == 1


def test_a_late_attempt_of_a_run_does_not_bring_back_what_was_replaced(ctx, sync):
    def promote(key, run):
        changed = engine.promote(dataclasses.replace(ctx, run_id=run), [key], who="airflow", reason=run)
        return changed, snapshots.current(ctx.engine, "curated.stars").key

    sync("a")
    keys = []
    for step in (small.curate_step(), small.curate_step(limit=15.0)):
        planned = build(ctx, step)
        keys.append(engine.commit(ctx, step, planned))
    engine.gate(ctx, keys)
    assert promote(keys[0], "first") == ({"curated.stars": True, "quarantine.stars": True}, keys[0])
    assert promote(keys[1], "second")[1] == keys[1]
    assert promote(keys[0], "first") == ({"curated.stars": False, "quarantine.stars": False}, keys[1])
    assert promote(keys[0], "third")[1] == keys[0]


def test_what_goes_with_a_promotion_is_in_its_transaction(ctx, sync):
    sync("a")
    step = small.curate_step()
    key = engine.commit(ctx, step, build(ctx, step))
    engine.gate(ctx, [key])
    told = []

    def also(connection, keys, old="o1", new="o2"):
        told.append(keys[0])
        snapshots.record_aliases(connection, keys[0], [(old, new)])

    def broken(connection, keys):
        also(connection, keys)
        raise LedgerError("gone")

    def aliases():
        with ctx.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT old_id, new_id, snapshot FROM lake.object_alias")
            return [tuple(row) for row in rows]

    with pytest.raises(LedgerError, match="gone"):
        engine.promote(ctx, [key], who="t", reason="r", also=broken)
    assert (aliases(), snapshots.current(ctx.engine, "curated.stars")) == ([], None)
    for _ in range(2):
        engine.promote(ctx, [key], who="t", reason="r", also=also)
    assert aliases() == [("o1", "o2", key)]
    assert told == [key, key]  # not when it was current already


def test_a_repeated_plan_keeps_its_batches(ctx, sync):
    sync(*"abcd")
    step = small.curate_step()
    first = engine.plan(ctx, step)
    engine.build(ctx, step, first, 0)
    again = engine.plan(ctx, step)
    assert again == first == engine.load_plan(ctx, first.key)
    assert engine.plan_inputs(ctx, first.key) == {"raw.stars": snapshots.current(ctx.engine, "raw.stars").key}


def test_pinned_inputs_are_read_before_they_are_current(ctx, sync):
    sync("a")
    curated = build(ctx, small.curate_step())
    engine.commit(ctx, small.curate_step(), curated)
    pinned = {"curated.stars": curated.key}
    features = build(ctx, small.double_step(), pinned)
    engine.commit(ctx, small.double_step(), features)
    assert snapshots.current_keys(ctx.engine).keys() == {"raw.stars"}
    engine.gate(ctx, [curated.key, features.key])
    changed = engine.promote(ctx, [curated.key, features.key], who="t", reason="r")
    assert changed == {"curated.stars": True, "quarantine.stars": True, "features.double": True}


def test_promotion_is_all_or_nothing(ctx, sync):
    sync("a")
    first = build(ctx, small.curate_step())
    engine.commit(ctx, small.curate_step(), first)
    engine.gate(ctx, [first.key])
    second = build(ctx, small.double_step(), {"curated.stars": first.key})
    engine.commit(ctx, small.double_step(), second)
    with pytest.raises(LedgerError, match="has not passed its gate"):
        engine.promote(ctx, [first.key, second.key], who="t", reason="r")
    assert snapshots.current_keys(ctx.engine).keys() == {"raw.stars"}


def test_a_failing_gate_rejects_and_keeps_what_was_current(ctx, sync, gates):
    sync("a")
    good = engine.run(ctx, [small.curate_step()])[0]
    (gates / "curated.stars.yaml").write_text("columns:\n  mag: {between: [null, 15]}\n")
    suites.load_suite.cache_clear()
    sync("b")
    with pytest.raises(GateFailed, match=r"curated\.stars.*mag.*between"):
        engine.run(ctx, [small.curate_step()])
    assert snapshots.current(ctx.engine, "curated.stars").key == good.key
    key = engine.snapshot_key(ctx, small.curate_step())
    assert snapshots.get(ctx.engine, key).state == "rejected"
    with pytest.raises(LedgerError, match="rejected -> current"):
        engine.promote(ctx, [key], who="t", reason="r")
    (gates / "curated.stars.yaml").write_text("columns:\n  mag: {between: [null, 25]}\n")
    suites.load_suite.cache_clear()
    mended = engine.run(ctx, [small.curate_step()])[0]
    assert (mended.key, mended.found, mended.changed) == (key, True, True)


def test_rollback_and_forward_again(ctx, sync):
    sync("a")
    first = engine.run(ctx, [small.curate_step()])[0]
    with pytest.raises(LedgerError, match="no earlier snapshot"):
        engine.rollback(ctx, "curated.stars", who="t", reason="r")
    sync("b")
    second = engine.run(ctx, [small.curate_step()])[0]
    assert engine.rollback(ctx, "curated.stars", who="t", reason="bad field") == first.key
    assert snapshots.current(ctx.engine, "curated.stars").key == first.key
    assert table(ctx, "quarantine.stars").num_rows == 1
    assert engine.rollback(ctx, "curated.stars", who="t", reason="was fine", to=second.key) == second.key
    assert table(ctx, "quarantine.stars").num_rows == 2


def test_reject_by_hand(ctx, sync):
    sync("a")
    planned = build(ctx, small.curate_step())
    engine.commit(ctx, small.curate_step(), planned)
    engine.gate(ctx, [planned.key])
    engine.reject(ctx, planned.key, who="me", reason="looks odd")
    row = snapshots.get(ctx.engine, planned.key)
    assert (row.state, row.state_reason) == ("rejected", "me: looks odd")


def test_a_survey_never_synced_is_empty(ctx):
    outcome = engine.run(ctx, [small.curate_step(), small.double_step()])
    assert [one.rows for one in outcome] == [0, 0]
    assert catalog(ctx, "curated.stars").schema.names == ["_healpix_29", *small.STARS.names]
    assert table(ctx, "features.double").column_names == ["_healpix_29", "id", "ra", "dec", "twice"]
    assert verify(ctx) == []


def test_an_input_that_must_be_there_is_named(ctx):
    with pytest.raises(InputError, match=r"curated\.stars has no current snapshot"):
        engine.plan(ctx, small.double_step())


def test_no_rows_survive_and_the_columns_stay(ctx, sync):
    sync("a")
    outcome = engine.run(ctx, [small.curate_step(limit=0)])[0]
    assert outcome.rows == 0
    assert not catalog(ctx, "curated.stars").is_hats
    sync("b")
    assert engine.run(ctx, [small.curate_step(limit=0)])[0].carried >= 1
    assert catalog(ctx, "curated.stars").schema.names == ["_healpix_29", *small.STARS.names]


def test_plain_datasets_are_cut_by_id(ctx, sync, monkeypatch):
    monkeypatch.setattr(planning, "THRESHOLD_BYTES", 40_000)
    sync(*"ab")
    outcome = engine.run(ctx, [small.curate_step(), small.plain_step()])[1]
    found = catalog(ctx, "features.plain")
    assert len(found.buckets) == outcome.built > 2
    assert sorted(table(ctx, "features.plain")["id"].to_pylist()) == sorted(
        table(ctx, "curated.stars")["id"].to_pylist()
    )
    for name in found.buckets:
        assert set(found.read(name)["bucket"].to_pylist()) == {int(name.removeprefix("bucket="))}
    assert verify(ctx) == []


def test_margins_reach_over_the_edge(ctx, sync, monkeypatch):
    monkeypatch.setattr(planning, "layout", functools.partial(layout, threshold_bytes=20_000))
    sync("a", bad=0)
    engine.run(ctx, [small.curate_step(limit=99)])
    engine.run(ctx, [small.double_step(margin=600.0, run=small.margins)])
    near = table(ctx, "features.double")
    assert len(catalog(ctx, "features.double").cells) > 4
    counts = set(near["near"].to_pylist())
    assert max(counts) > 0
    assert max(counts) < near.num_rows


def test_partitions_are_built_by_several_processes(ctx, sync, monkeypatch):
    sync(*"abcd")
    alone = engine.run(ctx, [small.curate_step()])[0]
    hashes = snapshots.get(ctx.engine, alone.key).content_hash
    monkeypatch.setattr(batches, "_BATCH_BYTES", 10_000)
    ctx.settings.workers = 2
    step = small.curate_step(version=2)
    assert len(engine.plan(ctx, step).batches) == 2
    seen = []
    engine.run(ctx, [step], progress=lambda *told: seen.append(told))
    assert seen[-1] == ("curated.stars", 2, 2)
    other = snapshots.current(ctx.engine, "curated.stars")
    assert other.content_hash == hashes


def test_the_manifest_tells_what_the_ledger_tells(ctx, sync):
    sync("a")
    outcome = engine.run(ctx, [small.curate_step()])[0]
    row = snapshots.get(ctx.engine, outcome.key)
    told = json.loads((ctx.settings.lake / row.path / "manifest.json").read_text())
    assert (told["key"], told["content_hash"], told["rows"]) == (row.key, row.content_hash, row.rows)
    assert told["inputs"]["raw"]["snapshot"] == snapshots.current(ctx.engine, "raw.stars").key
    stored = {one["name"]: one["sha256"] for one in partitions_of(ctx.engine, row.key)}
    assert {one["name"]: one["sha256"] for one in told["partitions"]} == stored
    for one in told["partitions"]:
        if one["file"]:
            assert pq.read_metadata(ctx.settings.lake / row.path / one["file"]).num_rows == one["rows"]
    text = json.dumps(told)
    assert str(ctx.settings.home) not in text
    assert "run-1" not in text
