"""Examples as a model takes them: prepared rows, labels on the scale that is learned, weights."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.expressions import row_values
from stellar.models.base import Labels
from stellar.models.preparation import Preparation
from stellar.registry.ranges import InputRanges
from stellar.training.config import ModelConfig, Target
from stellar.training.frame import NotTrainableError, numbers


def prepared(config: ModelConfig, raw: pa.Table, seed: int) -> tuple[Preparation, pa.Table, InputRanges]:
    """What the training rows teach the preparation, the rows as the model sees them, and what their inputs looked like.

    What fills missing values is no input that was seen, so the ranges are of the rows before.
    """
    try:
        preparation = config.preparation.fit(raw, seed)
    except InputError as fault:
        raise NotTrainableError(f"{config.name}: cannot train: {fault}") from None
    ranges = InputRanges.of(preparation.with_derived(raw), [*config.columns, *config.watch])
    return preparation, preparation.apply(raw), ranges


def example_weights(config: ModelConfig, table: pa.Table) -> np.ndarray | None:
    """Weight of each example, float64[n], mean 1; None where the config asks for none.

    Raises
    ------
    InputError
        When an expression gives a weight that is missing or negative.
    """
    about = config.weights
    if about is None:
        return None
    if isinstance(about, str):
        given = row_values(table, {"weight": about}, f"{config.file or config.name}: weights")["weight"]
        weight = numbers(pa.table({"weight": given}), "weight")
        if not (weight >= 0).all() or not weight.any():  # a NaN is not at least 0
            wrong = int((~(weight >= 0)).sum())
            raise config.fault(
                f"`{about}` is missing or negative for {wrong} examples; use coalesce, greatest", "weights"
            )
        return weight / weight.mean()
    from stellar.models.xgb import balanced_weights  # its library takes seconds to import

    if config.target.kind == "class":
        codes = np.unique(np.asarray(table[config.target.name].to_pylist(), dtype=str), return_inverse=True)[1]
    else:
        values = _on_scale(numbers(table, config.target.truth), config.target)
        low, high = np.nanmin(values), np.nanmax(values)
        place = (values - low) / max(high - low, 1e-300) * about.bins
        codes = np.where(np.isfinite(place), np.clip(np.nan_to_num(place), 0, about.bins - 1), about.bins).astype(
            np.int64
        )
    return balanced_weights(codes, about.power)


def labels(config: ModelConfig, table: pa.Table) -> Labels:
    """Truth as a model takes it, on the scale that it learns on: an array of one target, a mapping of several."""
    found = {
        target.name: _on_scale(numbers(table, target.truth), target)
        if target.kind == "quantity"
        else np.asarray(table[target.name].to_pylist(), dtype=object)
        for target in config.targets
    }
    return found if config.further_targets else found[config.target.name]


def _on_scale(values: np.ndarray, target: Target) -> np.ndarray:
    if target.transform != "log10":
        return values
    with np.errstate(invalid="ignore"):
        if (values <= 0).any():
            raise InputError(f"target.transform: {target.name} has values that are not positive; filter them out")
    return np.log10(values)
