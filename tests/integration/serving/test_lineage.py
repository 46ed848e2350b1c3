"""The graph from query to score, the facts of its nodes, the search, and what a change would rebuild."""

import json

import pytest
import sqlalchemy as sa

from benchmarks import lineage as made
from brought import bring
from integration.engine import small_steps as small
from integration.engine.conftest import ctx, gates, sync  # noqa: F401
from stellar.engine import engine
from stellar.errors import InputError
from stellar.flow import plans
from stellar.ledger import lineage as walks
from stellar.ledger.connect import open_ledger
from stellar.serving import lineage, lineage_impact

STEPS = (small.curate_step(), small.double_step(margin=0.0))


@pytest.fixture
def flow(ctx, sync):  # noqa: F811
    """Two fields of stars, curated and doubled; a third field came later and is curated only."""
    sync("a", "b")
    engine.run(ctx, STEPS, who="tester", reason="made")
    return ctx


def ids(answer, kind):
    return {one["id"] for one in answer["nodes"] if one["kind"] == kind}


def named(answer):
    return {one["dataset"] for one in answer["nodes"] if one["kind"] == "snapshot"}


def test_the_graph_goes_both_ways_and_has_each_node_once(flow):
    up = lineage.graph(flow.engine, flow.settings, ref="features.double", direction="up")
    assert named(up) == {"raw.stars", "curated.stars", "features.double"}
    assert len(ids(up, "batch")) == 2
    assert len({one["id"] for one in up["nodes"]}) == len(up["nodes"])
    batch = next(iter(ids(up, "batch")))
    down = lineage.graph(flow.engine, flow.settings, ref=batch, direction="down")
    assert named(down) == {"raw.stars", "curated.stars", "quarantine.stars", "features.double"}
    both = lineage.graph(flow.engine, flow.settings, ref="curated.stars")
    assert named(both) == named(up)
    assert ids(both, "batch") == ids(up, "batch")
    json.dumps(both)


def test_edges_lead_from_child_to_parent(flow):
    answer = lineage.graph(flow.engine, flow.settings, ref="features.double", direction="up")
    names = [one.get("dataset", one["kind"]) if one["kind"] == "snapshot" else one["kind"] for one in answer["nodes"]]
    links = {(names[child], names[parent]) for child, parent, _ in answer["edges"]}
    assert links == {("features.double", "curated.stars"), ("curated.stars", "raw.stars"), ("raw.stars", "batch")}


def test_the_graph_holds_what_the_tree_holds(flow):
    answer = lineage.graph(flow.engine, flow.settings, ref="features.double", direction="up")

    def tree_ids(node):
        return {node["id"]}.union(*(tree_ids(one) for one in node.get("parents", [])), set())

    assert {one["id"] for one in answer["nodes"]} == tree_ids(walks.upstream(flow.engine, "features.double"))


def test_a_run_is_a_node_with_what_it_made(flow):
    answer = lineage.graph(flow.engine, flow.settings, run="run-1")
    assert ids(answer, "run") == {"run-1"}
    place = next(n for n, one in enumerate(answer["nodes"]) if one["kind"] == "run")
    made_by = [answer["nodes"][child]["kind"] for child, parent, _ in answer["edges"] if parent == place]
    assert sorted({*made_by}) == ["batch", "snapshot"]
    assert lineage.node(flow.engine, "run", "run-1")["facts"]["batches"] == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [({}, "name one of"), ({"ref": "a", "run": "b"}, "name one of"), ({"ref": "no.such"}, "is no dataset"),
     ({"run": "nobody/7"}, "made nothing")],
)  # fmt: skip
def test_a_question_that_means_nothing_is_refused(flow, asked, said):
    with pytest.raises(InputError, match=said):
        lineage.graph(flow.engine, flow.settings, **asked)


def test_facts_hold_gate_partitions_columns_and_the_query(flow):
    key = plans.snapshots.current_keys(flow.engine)["curated.stars"]
    found = lineage.node(flow.engine, "snapshot", key)
    assert found["facts"]["rows"] == found["facts"]["rows_out"] > 0
    assert found["gates"][0]["passed"] is True
    assert sum(one["rows"] for one in found["partitions"]) == found["facts"]["rows"]
    assert found["promotions"][0]["who"] == "tester"
    batch = next(iter(ids(lineage.graph(flow.engine, flow.settings, ref="raw.stars"), "batch")))
    assert lineage.node(flow.engine, "batch", batch)["facts"]["query"].startswith("field ")
    json.dumps(found)
    for kind, wrong in (("snapshot", "0" * 64), ("planet", key)):
        with pytest.raises(InputError):
            lineage.node(flow.engine, kind, wrong)


@pytest.mark.parametrize(
    ("text", "kind"), [("field a", "batch"), ("curated", "snapshot"), ("http://service", "batch"), ("run-1", "run")]
)
def test_nodes_are_found_by_name_query_service_and_run(flow, text, kind):
    assert kind in {one["kind"] for one in lineage.search(flow.engine, text)}


def test_search_takes_signs_of_patterns_as_they_are(flow):
    assert lineage.search(flow.engine, "%%") == []
    assert lineage.search(flow.engine, "r_n-1") == []
    with pytest.raises(InputError, match="at least"):
        lineage.search(flow.engine, " x ")


def test_a_key_is_found_by_its_beginning(flow):
    key = plans.snapshots.current_keys(flow.engine)["features.double"]
    assert [one["id"] for one in lineage.search(flow.engine, key[:12])] == [key]


@pytest.fixture
def planned(flow, monkeypatch):
    """The flow's steps are those of the test, not of the profile."""
    monkeypatch.setattr(lineage_impact, "planned_steps", lambda _: [("made", step) for step in STEPS])
    return flow


def test_a_change_of_one_batch_rebuilds_its_own_cells_and_no_others(planned):
    batches = lineage.graph(planned.engine, planned.settings, ref="raw.stars", direction="up")["nodes"]
    batch = next(one["id"] for one in batches if one.get("unit") == "a")
    plan = lineage_impact.rebuilt(planned.engine, planned.settings, "batch", batch)
    assert [one["dataset"] for one in plan["steps"]] == ["curated.stars", "features.double"]
    for one in plan["steps"]:
        assert 0 < one["anew"] < one["partitions"]
        assert len(one["named"]) == one["anew"]
    foretold = {one["dataset"]: {part["name"] for part in one["named"]} for one in plan["steps"]}

    # and so it is: the field comes again with other rows, and what is built is what was foretold
    bring(planned, "test", small.fetched("a", sign="2", seed=7), reason="again")
    for step in STEPS:
        built = engine.plan(planned, step)
        anew = {one.partition.name for one in built.partitions if not one.carried}
        assert anew <= foretold[step.dataset] | {one.partition.name for one in built.partitions} - kept(planned, step)
        engine.run(planned, [step])


def kept(ctx, step):  # noqa: F811
    """Partitions of the current snapshot: what was there before cannot be new."""
    key = plans.snapshots.current_keys(ctx.engine)[step.dataset]
    with ctx.engine.connect() as connection:
        names = connection.execute(sa.text("SELECT name FROM lake.snapshot_partition WHERE snapshot = :k"), {"k": key})
        return {row.name for row in names}


def test_a_change_of_a_snapshot_rebuilds_all_that_reads_it(planned):
    key = plans.snapshots.current_keys(planned.engine)["curated.stars"]
    plan = lineage_impact.rebuilt(planned.engine, planned.settings, "snapshot", key)
    assert [(one["dataset"], one["anew"] == one["partitions"]) for one in plan["steps"]] == [("features.double", True)]
    assert plan["nodes"] == [plans.snapshots.current_keys(planned.engine)["features.double"]]


def test_what_is_not_current_rebuilds_nothing_and_says_so(planned, sync):  # noqa: F811
    old = plans.snapshots.current_keys(planned.engine)["raw.stars"]
    sync("c")
    plan = lineage_impact.rebuilt(planned.engine, planned.settings, "snapshot", old)
    assert (plan["steps"], plan["models"]) == ([], [])
    assert "retired" in plan["note"]
    with pytest.raises(InputError):
        lineage_impact.rebuilt(planned.engine, planned.settings, "batch", "0" * 64)


def test_rows_of_a_batch_are_counted_to_its_curated_dataset(flow):
    batches = lineage.graph(flow.engine, flow.settings, ref="raw.stars", direction="up")["nodes"]
    batch = next(one for one in batches if one.get("unit") == "a")
    found = lineage_impact.tainted(flow.engine, flow.settings, batch["id"])
    assert found["rows"] == batch["rows"]
    assert found["objects"] == 0 and found["scores"] == []
    assert [one["dataset"] for one in found["curated"]] == ["curated.stars"]
    assert 0 < found["curated"][0]["rows"] < batch["rows"]


def test_thousands_of_ancestors_are_found_as_by_another_way(settings, ledger):
    owner = open_ledger(settings, "owner")
    made.make(owner, batches=3000, noise=5000)
    owner.dispose()
    answer = lineage.graph(ledger, settings, ref="scores.catalog", direction="up")
    (root,) = answer["roots"]
    expected, _ = made.by_networkx(ledger, root)
    assert {one["id"] for one in answer["nodes"]} == expected | {root}
    assert len(expected) > 3000
    without = lineage.graph(ledger, settings, ref="scores.catalog", direction="up", training=False)
    trained = {one["id"] for one in without["nodes"] if one["kind"] == "version"}
    assert len(trained) == made.VERSIONS
    place = [one["id"] in trained for one in without["nodes"]]
    assert not any(place[child] for child, _, _ in without["edges"]), "the walk ends at the models"
    assert "features.labels" not in named(without)


def test_the_walk_asks_the_database_no_more_often_for_more_nodes(settings, ledger):
    owner = open_ledger(settings, "owner")
    made.make(owner, batches=600)
    owner.dispose()
    asked = []
    sa.event.listen(ledger, "before_cursor_execute", lambda *args: asked.append(args[2]))
    lineage.graph(ledger, settings, ref="scores.catalog", direction="up")
    assert len(asked) <= 6
