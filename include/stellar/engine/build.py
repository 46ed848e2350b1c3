"""Building: run a step on one batch of planned partitions and stage the files."""

from __future__ import annotations

from stellar.engine.context import Context
from stellar.engine.plan import Plan
from stellar.engine.step import Step


def build(ctx: Context, step: Step, plan: Plan, batch_no: int) -> None:
    """Make the partitions of ``plan.batches[batch_no]``. Any number of attempts, also at once, come to the same."""
    raise NotImplementedError
