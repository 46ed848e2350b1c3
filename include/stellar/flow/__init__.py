"""What a profile builds, as the calls that the command, the DAGs and the run driver share.

Everything passed in or out is small and JSON-able: names, keys, counts. Rows stay in the lake. A call's module is
imported when the call is first named, since a command needs a few of them only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stellar.flow.accounts import account, account_text, fetched_text, maintained_text, trained_text
    from stellar.flow.again import rebuild, rebuild_text, sync_again
    from stellar.flow.choices import write_choices
    from stellar.flow.context import open_context
    from stellar.flow.lateness import late
    from stellar.flow.local import run_stages, run_sync
    from stellar.flow.matching import crossmatch
    from stellar.flow.models import train, train_model, train_plan
    from stellar.flow.prediction import predict
    from stellar.flow.previews import stages_text, sync_text, training_text
    from stellar.flow.publishing import export_model, import_model
    from stellar.flow.stages import gate, promote, stage_build, stage_commit, stage_plan
    from stellar.flow.staleness import stale
    from stellar.flow.steps import STAGES, stage_steps
    from stellar.flow.sync import sync_commit, sync_fetch, sync_plan
    from stellar.flow.tables import import_table
    from stellar.flow.upkeep import maintain

_CALLS = {
    "accounts": ["account", "account_text", "fetched_text", "maintained_text", "trained_text"],
    "again": ["rebuild", "rebuild_text", "sync_again"],
    "choices": ["write_choices"],
    "previews": ["stages_text", "sync_text", "training_text"],
    "context": ["open_context"],
    "lateness": ["late"],
    "local": ["run_stages", "run_sync"],
    "matching": ["crossmatch"],
    "models": ["train", "train_model", "train_plan"],
    "prediction": ["predict"],
    "publishing": ["export_model", "import_model"],
    "stages": ["gate", "promote", "stage_build", "stage_commit", "stage_plan"],
    "staleness": ["stale"],
    "steps": ["STAGES", "stage_steps"],
    "sync": ["sync_commit", "sync_fetch", "sync_plan"],
    "tables": ["import_table"],
    "upkeep": ["maintain"],
}
_MODULE_OF = {call: module for module, calls in _CALLS.items() for call in calls}

__all__ = [
    "STAGES",
    "account",
    "account_text",
    "crossmatch",
    "export_model",
    "fetched_text",
    "gate",
    "import_model",
    "import_table",
    "late",
    "maintain",
    "maintained_text",
    "open_context",
    "predict",
    "promote",
    "rebuild",
    "rebuild_text",
    "run_stages",
    "run_sync",
    "stage_build",
    "stage_commit",
    "stage_plan",
    "stage_steps",
    "stages_text",
    "stale",
    "sync_again",
    "sync_commit",
    "sync_fetch",
    "sync_plan",
    "sync_text",
    "train",
    "train_model",
    "train_plan",
    "trained_text",
    "training_text",
    "write_choices",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
