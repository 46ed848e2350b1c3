"""A stage's promotion: old object ids are kept with it, once."""

import pyarrow as pa

from integration.engine import small_steps as small
from integration.engine.conftest import ctx, gates, sync  # noqa: F401 - fixtures
from stellar import flow
from stellar.engine import engine
from stellar.engine.step import Accounting, StepResult


def associate(partition, inputs, params):
    rows = inputs["stars"].rows
    ids = rows["id"].to_pylist()
    objects = [f"sdss-{one}" if one == params["joined"] else f"gaia-{one}" for one in ids]
    table = pa.table({"association_id": ids, "object_id": objects, "ra": rows["ra"], "dec": rows["dec"]})
    return StepResult(table, Accounting(len(ids), len(ids)))


def test_old_ids_are_kept_with_the_promotion_and_not_by_a_late_attempt(ctx, sync):  # noqa: F811
    sync("a")
    engine.run(ctx, [small.curate_step(limit=99)])
    star = 1_000_000 * ord("a") + 5
    keys = []
    for joined in (-1, star):
        step = small.double_step(
            dataset="curated.associations", run=associate, params={"joined": joined}, id_column="association_id"
        )
        planned = engine.plan(ctx, step)
        engine.build(ctx, step, planned, 0)
        keys.append(engine.commit(ctx, step, planned))
    engine.gate(ctx, keys)

    def promote(number):
        return flow.promote(ctx, [keys[number]], who="airflow", reason=ctx.run_id)["curated.associations"]

    def aliases():
        with ctx.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT old_id, new_id, snapshot FROM lake.object_alias")
            return [tuple(row) for row in rows]

    assert promote(0)
    assert aliases() == []
    assert promote(1)
    kept = [(f"gaia-{star}", f"sdss-{star}", keys[1])]
    assert aliases() == kept
    assert not promote(0)  # the same run again, too late
    assert aliases() == kept
