"""Plan, build, commit, gate and promote one stage; each function is the body of one Airflow task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from stellar.engine import engine
from stellar.engine.context import Context
from stellar.engine.step import Step
from stellar.errors import GateFailed, InputError
from stellar.flow.choices import write_choices
from stellar.flow.steps import stage_steps
from stellar.ledger import snapshots

ASSOCIATIONS = "curated.associations"
RELEASED = "released"  # `stellar.catalog.released`, which is not imported for its name


def pins(ctx: Context, keys: Iterable[str]) -> dict[str, str]:
    """Dataset -> key of snapshots that an earlier stage committed and this one is to read before they are current."""
    return {snapshots.dataset_of(ctx.engine, key): key for key in keys}


def stage_plan(
    ctx: Context, stage: str, params: Mapping[str, Any] | None = None, upstream: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Plan every step of a stage and name the batches of partitions to build.

    Returns
    -------
    list of dict
        One item a step (``batch`` None: nothing to build, only to commit or found) and one a batch:
        ``{"dataset", "key", "batch", "partitions", "models"}``.
    """
    pinned = pins(ctx, upstream)
    items: list[dict[str, Any]] = []
    for step in stage_steps(ctx, stage, pinned):
        plan = engine.plan(ctx, step, pinned)
        base = {"stage": stage, "dataset": step.dataset, "key": plan.key, "models": dict(step.models)}
        carried = sum(one.carried for one in plan.partitions)
        items.append(
            {**base, "batch": None, "found": plan.found, "partitions": len(plan.partitions), "carried": carried}
        )
        if not plan.found:
            items += [{**base, "batch": n, "partitions": len(batch)} for n, batch in enumerate(plan.batches)]
    return items


def stage_build(ctx: Context, item: Mapping[str, Any]) -> None:
    """Build one batch of partitions that `stage_plan` named."""
    engine.build(ctx, _step(ctx, item), engine.load_plan(ctx, item["key"]), int(item["batch"]))


def stage_commit(ctx: Context, items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Commit the snapshots of a planned stage; returns their keys, found ones included."""
    keys = []
    for item in items:
        if item["batch"] is not None:
            continue
        if not item["found"]:
            engine.commit(ctx, _step(ctx, item), engine.load_plan(ctx, item["key"]))
        keys.append(item["key"])
    return keys


def gate(ctx: Context, keys: Sequence[str], upstream: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Gate snapshots; what passes may be promoted.

    Raises
    ------
    GateFailed
        Naming each dataset and expectation that failed; those snapshots are rejected, the others stay candidates.
    """
    results = engine.gate(ctx, keys, pins(ctx, [*upstream, *keys]))
    failed = [result for result in results if not result.passed]
    if failed:
        raise GateFailed("\n".join(f"{one.dataset}: {reason}" for one in failed for reason in one.reasons()))
    return [
        {"dataset": result.dataset, "passed": result.passed, "expectations": len(result.expectations)}
        for result in results
    ]


def promote(ctx: Context, keys: Sequence[str], *, who: str, reason: str) -> dict[str, bool]:
    """Make gated snapshots current, all in one transaction; dataset -> whether its content changed."""
    changed = engine.promote(ctx, keys, who=who, reason=reason, also=partial(_keep_old_ids, ctx))
    write_choices(ctx)
    return changed


def _keep_old_ids(ctx: Context, connection: sa.Connection, keys: Sequence[str]) -> None:
    """Note, in the promotion's transaction, the objects whose id changes with it as a better survey joined them."""
    key = pins(ctx, keys).get(ASSOCIATIONS)
    now = snapshots.current(ctx.engine, ASSOCIATIONS)
    if key is None or now is None or now.key == key or not now.rows:
        return
    from stellar.catalog.associations import renamed
    from stellar.lake.read import Catalog

    columns = ["association_id", "object_id"]
    old, new = (
        Catalog(ctx.settings.lake / str(snapshots.get(ctx.engine, one).path)).read_all(columns)
        for one in (now.key, key)
    )
    snapshots.record_aliases(connection, key, renamed(old, new))


def _as_planned(ctx: Context, step: Step, key: str) -> Step:
    """The step with the rows that were released when it was planned: decisions made since are for the next run."""
    planned = snapshots.get(ctx.engine, key).params.get(RELEASED)
    params = {name: value for name, value in step.params.items() if name != RELEASED}
    return replace(step, params={**params, RELEASED: planned} if planned else params)


def _step(ctx: Context, item: Mapping[str, Any]) -> Step:
    """The step of a planned item, with the model versions that it was planned with, whatever is current by now."""
    plan_inputs = engine.plan_inputs(ctx, item["key"])
    for step in stage_steps(ctx, item["stage"], plan_inputs):
        if step.dataset == item["dataset"] and dict(step.models) == dict(item["models"]):
            return _as_planned(ctx, step, item["key"])
    raise InputError(
        f"{item['dataset']}: its step is not what was planned ({item['key'][:16]}): a model or the profile changed "
        "since; plan again"
    )
