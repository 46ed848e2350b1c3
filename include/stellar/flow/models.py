"""Training as the command and the DAG call it: which models, and one model at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.flow.steps import profile_of

if TYPE_CHECKING:
    from stellar.training.config import ModelConfig
    from stellar.training.train import TrainingResult


def train_plan(ctx: Context, models: Sequence[str] | None = None) -> list[str]:
    """Names or files of the models to train: those asked for, or all of the profile's.

    Parameters
    ----------
    models : sequence of str, optional
        Names of the platform's configs, and YAML files; a relative path is from the project's root.

    Raises
    ------
    InputError
        When there is no such config, or a file is wrong; with what to do.
    """
    from stellar.training.config import list_configs, load_config

    asked = list(models or profile_of(ctx).models)
    files = {one: ctx.settings.root / one for one in asked if one.endswith((".yaml", ".yml"))}
    for path in files.values():
        load_config(path, profile=ctx.settings.profile)
    unknown = sorted(set(asked) - set(list_configs()) - set(files))
    if unknown:
        raise InputError(f"there is no model config {', '.join(unknown)}; the configs are {', '.join(list_configs())}")
    return [str(files.get(one, one)) for one in asked]


def train_model(ctx: Context, model: str | Path, *, seed: int | None = None, who: str) -> TrainingResult:
    """Import a model's file where it names one, and train the model unless its version exists.

    Parameters
    ----------
    model : str or Path
        A config's name, or its file.
    seed : int, optional
        `settings.seed` where not given.
    """
    from stellar.training.checks import check_parameters
    from stellar.training.config import load_config
    from stellar.training.train import train as run

    config = load_config(model, profile=ctx.settings.profile)
    check_parameters(config)
    import_source(ctx, config)
    return run(ctx, config, seed=seed, who=who)


def import_source(ctx: Context, config: ModelConfig) -> dict[str, Any] | None:
    """Make a model's `source` the dataset that it learns from, as `stellar import` would; None where it has none.

    A file that was imported before, and did not change, is found and not imported again.

    Raises
    ------
    InputError
        When the file cannot be read or lacks a column; with the line of the config.
    GateFailed
        When its rows did not pass the gate of own tables.
    """
    source = config.source
    if source is None:
        return None
    from stellar.flow.tables import import_table

    path = source.path(ctx.settings.root, ctx.settings.data, config.file)
    if not path.exists():
        raise config.fault(
            f"there is no {path}; a relative path is from the project's root {ctx.settings.root}, one that begins with "
            "./ from the folder of the YAML file",
            "source",
            "file",
        )
    try:
        return import_table(ctx, [path], config.features, id_column=source.id, ra=source.ra, dec=source.dec)
    except InputError as fault:
        said = re.sub(r"--(id|ra|dec)\b", r"`\1`", str(fault))
        # what a message complains of comes before the list of what there is
        complaint = said.partition(" has ")[0]
        named = [
            role for role in ("id", "ra", "dec") if re.search(rf"\b{re.escape(getattr(source, role))}\b", complaint)
        ]
        raise config.fault(said, "source", named[0] if len(named) == 1 else "file") from None


def train(ctx: Context, model: str, *, who: str) -> dict[str, Any]:
    """Train one model unless its version exists, and promote it if its policy allows.

    Returns
    -------
    dict
        ``model``, ``outcome`` (trained, found or not_trainable), ``version``, ``promoted`` and ``reasons``.
    """
    result = train_model(ctx, model, who=who)
    return {
        "model": result.model,
        "outcome": result.outcome,
        "version": result.version_key,
        "promoted": result.promoted,
        "reasons": list(result.reasons),
    }
