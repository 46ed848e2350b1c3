"""What a run would do, for people, before it does it: text of plans that are noted nowhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stellar.engine.context import Context
from stellar.errors import StellarError
from stellar.flow.plans import dag_plan, told
from stellar.ledger import snapshots

#: Units that are named of each dataset.
SHOWN = 12


def sync_text(survey: str, batches: Iterable[Mapping[str, Any]]) -> str:
    """Units that a sync would fetch, by dataset, as `stellar.flow.sync_plan` names them, and the rows expected."""
    units: dict[str, list[str]] = defaultdict(list)
    rows: dict[str, int | None] = defaultdict(int)
    count = 0
    for batch in batches:
        count += 1
        for dataset, unit in batch["units"]:
            units[dataset].append(unit)
            said, sofar = batch["rows"].get(f"{dataset}/{unit}"), rows[dataset]
            rows[dataset] = None if said is None or sofar is None else sofar + said
    if not units:
        return f"{survey}: nothing to fetch."
    lines = [f"{survey}: {sum(map(len, units.values()))} units to fetch, in {count} tasks."]
    for dataset, names in units.items():
        expected = f"{rows[dataset]:,} rows expected" if rows[dataset] is not None else "the service names no rows"
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        lines.append(f"- raw.{dataset}: {len(names)} units, {expected}: {', '.join(sorted(names)[:SHOWN])}{more}")
    return "\n".join(lines)


def stages_text(ctx: Context, dag: str) -> str:
    """What the stages of a DAG would build on what is current now: partitions to compute, to carry over, and why."""
    items = dag_plan(ctx, dag)
    if not items:
        return f"{dag}: nothing to build, its inputs were never made."
    broken = sum("error" in one for one in items)
    build, carried = (sum(one.get(what, 0) for one in items) for what in ("build", "carried"))
    head = f"{dag}: {build} partitions to compute, {carried} to reuse, of {len(items)} datasets."
    if broken:
        head += f" {broken} cannot be planned before what they read is made."
    lines = [line for one in items for line in _one(ctx, one)]
    return "\n".join([head, *lines])


def _one(ctx: Context, item: dict[str, Any]) -> list[str]:
    row = snapshots.current(ctx.engine, item["dataset"])
    head, *rest = told(item)
    return [f"- {' '.join(head.split())}" + (f"; {row.rows:,} rows now" if row else ""), *(f"  {one}" for one in rest)]


def training_text(ctx: Context, models: Sequence[str]) -> str:
    """Which of some models would be trained, and which are found; frames are read, nothing is fitted."""
    from stellar.training.train import foresee

    lines, todo = [], 0
    for model in models:
        try:
            outcome, why = foresee(ctx, model)
        except StellarError as error:
            outcome, why = "cannot be trained yet", str(error)
        todo += outcome == "to train"
        lines.append(f"- {model}: {outcome}, {why}")
    return "\n".join([f"{todo} of {len(models)} models to train.", *lines])
