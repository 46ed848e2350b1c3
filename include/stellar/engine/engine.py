"""The engine's functions in one place: ``from stellar.engine import engine``."""

from stellar.engine.build import build
from stellar.engine.commit import commit
from stellar.engine.context import Context
from stellar.engine.plan import PartitionPlan, Plan, load_plan, plan, plan_inputs, snapshot_key
from stellar.engine.promote import gate, promote, reject, rollback
from stellar.engine.run import Outcome, run

__all__ = [
    "Context",
    "Outcome",
    "PartitionPlan",
    "Plan",
    "build",
    "commit",
    "gate",
    "load_plan",
    "plan",
    "plan_inputs",
    "promote",
    "reject",
    "rollback",
    "run",
    "snapshot_key",
]
