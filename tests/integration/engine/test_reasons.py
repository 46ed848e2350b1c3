"""Why a step's partitions would be built again, on a real lake."""

from integration.engine import small_steps as small
from stellar.engine import engine
from stellar.engine.plan import draft
from stellar.engine.reasons import plan_reasons


def reasons(ctx, step):
    return plan_reasons(ctx, step, draft(ctx, step))


def test_first_then_nothing_then_what_changed(ctx, sync):
    sync(*"abcd")
    step = small.curate_step()
    first = reasons(ctx, step)
    assert (first.current, len(first.partitions)) == (None, 5)
    assert {why.kind for whys in first.partitions.values() for why in whys} == {"first"}
    outcome = engine.run(ctx, [step, small.double_step()])
    again = reasons(ctx, step)
    assert (again.current, again.state, again.partitions) == (outcome[0].key, "current", {})
    sync("b", sign="2", seed=7)
    found = reasons(ctx, step)
    assert found.every == found.removed == []
    assert set(found.partitions) == {"Norder=0/Npix=1", "unplaced"}
    for whys in found.partitions.values():
        assert [(why.kind, why.dataset, why.what.split()[-1]) for why in whys] in (
            [("input", "raw.stars", "new"), ("input", "raw.stars", "gone")],
            [("input", "raw.stars", "gone"), ("input", "raw.stars", "new")],
        )
    assert engine.run(ctx, [step])[0].built == len(found.partitions)
    after = reasons(ctx, small.double_step())
    assert [[why.what for why in whys] for whys in after.partitions.values()] == [
        ["curated.stars: Norder=0/Npix=1 changed"]
    ]


def test_a_parameter_changes_every_partition(ctx, sync):
    sync(*"ab")
    engine.run(ctx, [small.curate_step()])
    found = reasons(ctx, small.curate_step(limit=15.0))
    assert [why.what for why in found.every] == ["parameter limit: 19.0 -> 15.0"]
    assert set(map(tuple, found.partitions.values())) == {()}


def test_a_draft_leaves_nothing(ctx, sync):
    sync("a")
    planned = draft(ctx, small.curate_step())
    with ctx.engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT DISTINCT dataset FROM lake.snapshot").scalars().all()
    assert names == ["raw.stars"]
    assert not list((ctx.settings.lake / ".staging").iterdir())
    assert planned.batches == engine.plan(ctx, small.curate_step()).batches == [[0, 1]]
