"""What a profile builds, as the calls that the command, the DAGs and the run driver share.

Everything passed in or out is small and JSON-able: names, keys, counts. Rows stay in the lake.
"""

from stellar.flow.context import open_context
from stellar.flow.crossmatch import crossmatch
from stellar.flow.local import run_stages, run_sync
from stellar.flow.models import train, train_plan
from stellar.flow.stages import gate, promote, stage_build, stage_commit, stage_plan
from stellar.flow.stale import stale
from stellar.flow.steps import STAGES, stage_steps
from stellar.flow.sync import sync_commit, sync_fetch, sync_plan
from stellar.flow.tables import import_table
from stellar.flow.upkeep import maintain

__all__ = [
    "STAGES",
    "crossmatch",
    "gate",
    "import_table",
    "maintain",
    "open_context",
    "promote",
    "run_stages",
    "run_sync",
    "stage_build",
    "stage_commit",
    "stage_plan",
    "stage_steps",
    "stale",
    "sync_commit",
    "sync_fetch",
    "sync_plan",
    "train",
    "train_plan",
]
