"""How good a candidate of a search is, on examples that it did not learn from and that no figure is of."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.evaluation.metrics import crps_from_quantiles, log_loss
from stellar.registry.bundle import Answers, Bundle
from stellar.training.config import ModelConfig
from stellar.training.figures import macro_f1
from stellar.training.frame import numbers, true_classes


def score(config: ModelConfig, bundle: Bundle, answers: Answers, table: pa.Table, metric: str) -> float:
    """A metric of the main target, in its unit; examples without a truth are left out.

    Parameters
    ----------
    answers : Answers
        Of the bundle, for the rows of `table`.
    metric : str
        `mae`, `rmse` or `crps` of a quantity; `accuracy`, `macro_f1` or `log_loss` of classes.

    Raises
    ------
    InputError
        When no example has a truth.
    """
    if metric in ("mae", "rmse", "crps"):
        truth = numbers(table, config.target.truth)
        known = np.flatnonzero(np.isfinite(truth))
        _refuse_none(known)
        found = answers.quantiles[config.target.name]
        if metric == "crps":
            return float(crps_from_quantiles(truth[known], found.levels, found.values[known]))
        error = np.abs(found.median[known] - truth[known])
        return float(error.mean() if metric == "mae" else np.sqrt((error**2).mean()))
    truths = true_classes(bundle.meaning, table, config.target.truth)
    known = np.flatnonzero([one is not None for one in truths])
    _refuse_none(known)
    if metric == "log_loss":
        index = {name: k for k, name in enumerate(answers.classes)}
        y = np.array([index.get(name, -1) for name in truths[known]])
        return float(log_loss(y[y >= 0], answers.probabilities[known][y >= 0]))
    said = answers.best[known]
    if metric == "accuracy":
        return float((said == truths[known]).mean())
    names = {name: k for k, name in enumerate(sorted({*said, *truths[known]}))}
    y, best = (np.array([names[name] for name in values]) for values in (truths[known], said))
    return macro_f1(y, best, len(names))


def _refuse_none(known: np.ndarray) -> None:
    if not len(known):
        raise InputError("search: none of the examples that trials are judged on has a truth; more data")
