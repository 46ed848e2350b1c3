"""Events of a small flow: what is told, in which order, and that all of it is as the specification has it."""

import copy
import uuid

import jsonschema
import pytest
import sqlalchemy as sa

import openlineage_schemas
from integration.engine import small_steps as small
from stellar.engine import engine
from stellar.engine.step import ColumnSource
from stellar.ledger import openlineage as ol


def told(ledger, where="true", **values):
    with ledger.connect() as connection:
        sql = f"SELECT body, run_id, snapshot, CAST(ol_run AS text) AS run FROM lineage.event WHERE {where} ORDER BY id"
        return connection.execute(sa.text(sql), values).mappings().all()


def bodies(ledger, job):
    return [row["body"] for row in told(ledger, "job = :job", job=job)]


def test_a_flow_is_told_from_sync_to_promotion(ctx, sync):
    raw = sync("a", "b")
    (outcome,) = engine.run(ctx, [small.curate_step()], who="tester", reason="first")
    for row in told(ctx.engine):
        openlineage_schemas.validate(row["body"])
        assert row["run_id"] == "run-1"
    kinds = [(one["body"]["job"]["name"], one["body"]["eventType"]) for one in told(ctx.engine)]
    jobs = [f"{what}/{name}" for name in ("raw.stars", "curated.stars") for what in ("build", "gate", "promote")]
    assert kinds == [(job, kind) for job in jobs for kind in ("START", "COMPLETE")]

    start, complete = bodies(ctx.engine, "build/raw.stars")
    (source,) = complete["inputs"]
    assert (source["namespace"], source["name"]) == ("http://service", "test dr1 raw.stars")
    counted = source["inputFacets"]["inputStatistics"]
    assert (counted["fileCount"], counted["rowCount"]) == (2, 2 * small.ROWS + 4)
    assert start["run"]["runId"] == complete["run"]["runId"]

    start, complete = bodies(ctx.engine, "build/curated.stars")
    assert start["run"]["runId"] == complete["run"]["runId"]
    output, refused = complete["outputs"]
    assert output["facets"]["version"]["datasetVersion"] == outcome.key
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == outcome.rows
    assert output["outputFacets"]["outputStatistics"]["size"] > 0
    columns = [one["name"] for one in output["facets"]["schema"]["fields"]]
    assert columns == [*small.STARS.names, "_healpix_29"] or set(columns) == {*small.STARS.names, "_healpix_29"}
    assert (refused["name"], refused["outputFacets"]["outputStatistics"]["rowCount"]) == ("quarantine.stars", 2)
    assert [one["facets"]["version"]["datasetVersion"] for one in complete["inputs"]] == [raw]
    accounting = complete["run"]["facets"]["stellar"]["accounting"]
    assert (
        accounting["rows_in"]
        == accounting["rows_out"]
        + accounting["merged"]
        + sum(accounting["filtered"].values())
        + accounting["quarantined"]
    )
    parent = complete["run"]["facets"]["parent"]
    assert parent["job"]["name"] == "run-1"
    uuid.UUID(parent["run"]["runId"])


def test_what_is_found_again_is_not_told_again(ctx, sync):
    sync("a")
    engine.run(ctx, [small.curate_step()])
    before = len(told(ctx.engine))
    engine.run(ctx, [small.curate_step()])
    assert len(told(ctx.engine)) == before


def test_planned_twice_is_one_run(ctx, sync):
    sync("a")
    step = small.curate_step()
    engine.plan(ctx, step)
    engine.plan(ctx, step)
    assert [one["eventType"] for one in bodies(ctx.engine, "build/curated.stars")] == ["START"]


def fail(partition, inputs, params):
    raise ValueError("the fourth star is missing from postgresql://me:hunter22@host/sky")


def test_a_failing_step_is_told_with_its_message_and_another_attempt_is_another_run(ctx, sync):
    sync("a")
    with pytest.raises(ValueError, match="fourth star"):
        engine.run(ctx, [small.curate_step(run=fail)])
    engine.run(ctx, [small.curate_step()])
    events = bodies(ctx.engine, "build/curated.stars")
    assert [one["eventType"] for one in events] == ["START", "FAIL", "START", "COMPLETE"]
    said = events[1]["run"]["facets"]["errorMessage"]["message"]
    assert "the fourth star is missing" in said and "hunter22" not in said
    first, second, third, fourth = (one["run"]["runId"] for one in events)
    assert first == second != third == fourth
    for one in events:
        openlineage_schemas.validate(one)


def test_rows_that_do_not_add_up_fail_with_what_they_are(ctx, sync):
    sync("a")
    engine.run(ctx, [small.curate_step()])
    with pytest.raises(Exception, match="rows"):
        engine.run(ctx, [small.double_step(run=small.lose_a_row)])
    *_, last = bodies(ctx.engine, "build/features.double")
    assert last["eventType"] == "FAIL"
    assert "rows" in last["run"]["facets"]["errorMessage"]["message"]
    openlineage_schemas.validate(last)


def test_a_gate_tells_each_expectation_and_why_it_refused(ctx, sync, gates):
    sync("a")
    (gates / "curated.stars.yaml").write_text(
        "unique_id: false\ncolumns:\n  mag: {between: [15, null]}\n  ra: {between: [0, 360]}\n"
    )
    with pytest.raises(Exception, match="did not pass"):
        engine.run(ctx, [small.curate_step()])
    start, end = bodies(ctx.engine, "gate/curated.stars")
    assert (start["eventType"], end["eventType"]) == ("START", "FAIL")
    assertions = end["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {(one.get("column"), one["success"]) for one in assertions} >= {("mag", False), ("ra", True)}
    assert "mag" in end["run"]["facets"]["errorMessage"]["message"]
    openlineage_schemas.validate(end)


def test_columns_are_told_and_kept(ctx, sync):
    sync("a")
    engine.run(ctx, [small.curate_step()])
    step = small.double_step(
        columns={"id": [ColumnSource("stars", "id")], "tw*": [ColumnSource("stars", "mag", "2 * mag")]}
    )
    (outcome,) = engine.run(ctx, [step])
    found = bodies(ctx.engine, "build/features.double")[-1]["outputs"][0]["facets"]["columnLineage"]["fields"]
    assert set(found) == {"id", "twice"}
    (source,) = found["twice"]["inputFields"]
    assert (source["name"], source["field"], source["transformations"][0]["description"]) == (
        "curated.stars", "mag", "2 * mag",
    )  # fmt: skip
    with ctx.engine.connect() as connection:
        rows = connection.execute(sa.text(
            "SELECT column_name, input_dataset, input_column, transformation FROM ledger.column_lineage"
            " WHERE dataset = 'features.double' ORDER BY 1"
        )).all()  # fmt: skip
    expected = [("id", "curated.stars", "id", ""), ("twice", "curated.stars", "mag", "2 * mag")]
    assert [tuple(row) for row in rows] == expected
    assert outcome.key == engine.snapshot_key(ctx, small.double_step()), "what is told does not enter the key"


def test_an_event_that_cannot_be_kept_does_not_undo_the_work(ctx, sync, monkeypatch):
    sync("a")
    monkeypatch.setattr(ol, "event", lambda *_, **__: {"eventType": "NOTHING"})
    (outcome,) = engine.run(ctx, [small.curate_step()])
    assert outcome.rows > 0
    assert not bodies(ctx.engine, "build/curated.stars")


def test_events_are_append_only(ctx, sync):
    sync("a")
    for sql in ("UPDATE lineage.event SET job = 'x'", "DELETE FROM lineage.event"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), ctx.engine.begin() as connection:
            connection.execute(sa.text(sql))


def test_the_check_of_events_finds_what_is_wrong(ctx, sync):
    sync("a")
    good = bodies(ctx.engine, "build/raw.stars")[-1]
    openlineage_schemas.validate(good)
    for spoil in (
        lambda e: e.pop("eventTime"),
        lambda e: e["run"].update(runId="7"),
        lambda e: e.update(eventType="DONE"),
        lambda e: e["outputs"][0]["facets"]["schema"].update(fields=[{"type": "int64"}]),
        lambda e: e["outputs"][0]["outputFacets"]["outputStatistics"].update(rowCount="many"),
        lambda e: e["outputs"][0]["facets"]["version"].pop("_producer"),
        lambda e: e["job"]["facets"]["jobType"].update(color="red"),
        lambda e: e["run"]["facets"]["parent"].update(_schemaURL="https://openlineage.io/spec/facets/9/X.json"),
    ):
        event = copy.deepcopy(good)
        spoil(event)
        with pytest.raises(jsonschema.ValidationError):
            openlineage_schemas.validate(event)


def test_runs_have_ids_that_sort_by_time():
    made = [uuid.UUID(ol.new_run()) for _ in range(50)]
    assert {one.version for one in made} == {7}
    assert len({*made}) == 50
    assert sorted(one.int >> 80 for one in made) == [one.int >> 80 for one in made]
