"""The flow in one process, without Airflow: what the command's `sync`, `build`, `train` and `score` run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stellar.engine.context import Context
from stellar.flow.again import sync_again
from stellar.flow.stages import gate, promote, stage_build, stage_commit, stage_plan
from stellar.flow.steps import STAGES
from stellar.flow.sync import sync_commit, sync_fetch, sync_plan

Progress = Callable[[str], None]


def run_sync(
    ctx: Context,
    survey: str,
    params: Mapping[str, Any] | None = None,
    *,
    units: Sequence[str] = (),
    who: str,
    say: Progress = print,
) -> dict[str, bool]:
    """Plan, fetch, commit, gate and promote one survey; raw dataset -> whether it changed.

    With `units`, these are fetched again and nothing else (`stellar.flow.again.sync_again`).
    """
    batches = sync_again(ctx, survey, units) if units else sync_plan(ctx, survey, params)
    for number, batch in enumerate(batches, 1):
        counts = sync_fetch(ctx, batch)
        say(f"{survey}: batch {number}/{len(batches)}: {counts['units']} units, {counts['rows']} rows")
    keys = [one["key"] for one in sync_commit(ctx, survey)]
    gate(ctx, keys)
    return promote(ctx, keys, who=who, reason=f"sync of {survey}")


def run_stages(ctx: Context, dag: str, *, who: str, say: Progress = print) -> dict[str, bool]:
    """Build, gate and promote the stages of one DAG; dataset -> whether it changed. One failure promotes nothing."""
    keys: list[str] = []
    for stage in (name for name, owner in STAGES.items() if owner == dag):
        items = stage_plan(ctx, stage, upstream=keys)
        todo = [item for item in items if item["batch"] is not None]
        for number, item in enumerate(todo, 1):
            say(f"{stage}: {item['dataset']}: batch {number}/{len(todo)}, {item['partitions']} partitions")
            stage_build(ctx, item)
        made = stage_commit(ctx, items)
        gate(ctx, made, keys)
        keys += made
    return promote(ctx, keys, who=who, reason=dag)
