"""Training as the DAG calls it: which models, and one model at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.flow.steps import profile_of


def train_plan(ctx: Context, models: Sequence[str] | None = None) -> list[str]:
    """Names of the models to train: those asked for, or all of the profile's."""
    from stellar.training.config import list_configs

    asked = list(models or profile_of(ctx).models)
    unknown = sorted(set(asked) - set(list_configs()))
    if unknown:
        raise InputError(f"there is no model config {', '.join(unknown)}; the configs are {', '.join(list_configs())}")
    return asked


def train(ctx: Context, model: str, *, who: str) -> dict[str, Any]:
    """Train one model unless its version exists, and promote it if its policy allows.

    Returns
    -------
    dict
        ``model``, ``outcome`` (trained, found or not_trainable), ``version``, ``promoted`` and ``reasons``.
    """
    from stellar.training.train import train as run

    result = run(ctx, model, who=who)
    return {
        "model": result.model,
        "outcome": result.outcome,
        "version": result.version_key,
        "promoted": result.promoted,
        "reasons": list(result.reasons),
    }
