"""What no longer follows from its inputs: what a crash, a lost event or an edited config left behind."""

from __future__ import annotations

from stellar.engine import engine, ingest
from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.flow.models import train_plan
from stellar.flow.steps import STAGES, profile_of, stage_steps
from stellar.ledger import batches, snapshots

# In the order in which they run; the syncs come before them.
DAGS = ("build_catalog", "extract_features", "train_models", "score_catalog")


def stale(ctx: Context, only: str | None = None) -> list[str]:
    """DAGs whose outputs are out of date, in the order in which to run them.

    Only the first is certain: what follows it is judged on inputs that it will change.

    Parameters
    ----------
    only
        Judge this DAG alone; nothing that the others need has to be there.
    """
    syncs = [f"sync_{survey}" for survey in profile_of(ctx).surveys]
    return [dag for dag in (*syncs, *DAGS) if only in (None, dag) and _is_stale(ctx, dag)]


def _is_stale(ctx: Context, dag: str) -> bool:
    if dag.startswith("sync_"):
        return _sync_is_stale(ctx, dag.removeprefix("sync_"))
    if dag == "train_models":
        return _training_is_stale(ctx)
    current = snapshots.current_keys(ctx.engine)
    steps = (step for stage, owner in STAGES.items() if owner == dag for step in stage_steps(ctx, stage))
    return any(engine.snapshot_key(ctx, step) != current.get(step.dataset) for step in steps)


def _sync_is_stale(ctx: Context, survey: str) -> bool:
    """Whether rows that were fetched are in no snapshot. What was not fetched is for the next sync to ask for."""
    results = (ingest.raw_key(ctx, dataset) for dataset in batches.datasets_of(ctx.engine, survey))
    return any(result is not None and result.changed for result in results)


def _training_is_stale(ctx: Context) -> bool:
    from stellar.training.train import is_trained

    try:
        return not all(is_trained(ctx, model) for model in train_plan(ctx))
    except InputError:
        return True  # training says what is wrong with its frame, by name
