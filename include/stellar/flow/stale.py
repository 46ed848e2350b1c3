"""What no longer follows from its inputs: what a crash, a lost event or an edited config left behind."""

from __future__ import annotations

from stellar.engine import engine, ingest
from stellar.engine.context import Context
from stellar.flow.models import train_plan
from stellar.flow.steps import STAGES, profile_of, stage_steps
from stellar.flow.sync import survey_of
from stellar.ledger import snapshots


def stale(ctx: Context) -> list[str]:
    """DAGs whose outputs are out of date, in the order in which to run them.

    Only the first is certain: what follows it is judged on inputs that it will change.
    """
    found = [f"sync_{survey}" for survey in profile_of(ctx).surveys if _sync_is_stale(ctx, survey)]
    current = snapshots.current_keys(ctx.engine)
    for stage, dag in STAGES.items():
        if dag == "score_catalog" and _training_is_stale(ctx):
            found.append("train_models")
        steps = stage_steps(ctx, stage)
        if any(engine.snapshot_key(ctx, step) != current.get(step.dataset) for step in steps):
            found.append(dag)
    return list(dict.fromkeys(found))


def _sync_is_stale(ctx: Context, survey: str) -> bool:
    if ingest.pending_units(ctx, survey):
        return True
    results = (ingest.raw_key(ctx, f"raw.{dataset}") for dataset in survey_of(ctx, survey).datasets)
    return any(result is not None and result.changed for result in results)


def _training_is_stale(ctx: Context) -> bool:
    from stellar.training.train import is_trained

    return not all(is_trained(ctx, model) for model in train_plan(ctx))
