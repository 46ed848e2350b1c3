"""Two models on the same test examples: paired figures with bootstrap intervals over stars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from stellar.evaluation.bootstrap import paired_bootstrap
from stellar.registry.policy import PAIRED, Comparison, Figure
from stellar.training.config import ModelConfig
from stellar.training.evaluate import evaluate
from stellar.training.figures import LOWER_IS_BETTER, RESAMPLES, Evaluation, Rows, macro_f1
from stellar.training.fit import fit

PAIRED_METRICS = ("accuracy", "macro_f1", "mae", "rmse")


def compare(config: ModelConfig, new: Evaluation, theirs: pa.Table, rows: Rows, name: str, test: pa.Table,
            seed: int) -> dict[str, Comparison]:  # fmt: skip
    """Paired figures of the new version and another model on the same test examples.

    Parameters
    ----------
    theirs
        The other's prediction columns for `rows`, of which it learned none.
    rows
        int[m], rows of `test`.
    """
    wanted = {rule.metric for rule in config.policy if rule.op in PAIRED}
    found: dict[str, Comparison] = {}
    if not len(rows):
        return found
    ours = new.predictions.take(rows)
    for metric in sorted(wanted & set(PAIRED_METRICS)):
        column = config.target.name if metric in ("mae", "rmse") else config.target.class_column
        if column is None or column not in theirs.column_names:
            continue
        truth = new.truth[config.target.name if metric in ("mae", "rmse") else "class"][rows]
        known = np.flatnonzero([value is not None and value == value for value in truth])
        if not len(known):
            continue
        stars = np.asarray(test["object_id"].take(rows[known]).to_pylist(), dtype=str)
        higher = metric not in LOWER_IS_BETTER
        paired = paired_bootstrap(
            _answer_metric(metric, truth[known], ours[column].take(known)),
            _answer_metric(metric, truth[known], theirs[column].take(known)),
            len(known),
            higher_is_better=higher,
            resamples=RESAMPLES,
            seed=seed,
            groups=stars,
        )
        sign = 1 if higher else -1
        low, high = sorted((sign * paired.lower, sign * paired.upper))
        difference = Figure(sign * paired.difference, low, high)
        found[metric] = Comparison(metric, name, len(known), paired.candidate, paired.current, difference)
    return found


def against_baselines(
    config: ModelConfig, table: pa.Table, test: pa.Table, new: Evaluation, seed: int
) -> dict[str, dict[str, Comparison]]:
    """Fit each of the config's baselines on the same parts; paired figures by baseline, and their own in `new`."""
    found = {}
    for name, baseline in config.baselines.items():
        fitted = fit(config, table, seed, baseline)
        theirs = evaluate(config, fitted, table, seed)
        rows = np.arange(test.num_rows)
        found[name] = compare(config, new, theirs.predictions, rows, name, test, seed)
        shown = {metric: [one.value, one.lower, one.upper] for metric, one in theirs.figures.items()}
        new.details.setdefault("baselines", {})[name] = {
            "architecture": baseline.architecture,
            "figures": {metric: [_known(value) for value in values] for metric, values in shown.items()},
            "paired": {metric: asdict(one) for metric, one in found[name].items()},
        }
    return found


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _answer_metric(metric: str, truth: np.ndarray, answer: pa.ChunkedArray) -> Callable[[Rows], float]:
    """A metric that needs the answers alone, so that versions with different class lists can be compared."""
    if metric in ("mae", "rmse"):
        error = np.abs(answer.to_numpy() - truth)
        power = 1 if metric == "mae" else 2
        return lambda rows: float((error[rows] ** power).mean() ** (1 / power))
    answers = np.asarray(answer.to_pylist(), dtype=object)
    if metric == "accuracy":
        correct = answers == truth
        return lambda rows: float(correct[rows].mean())
    names = {name: k for k, name in enumerate(sorted({*answers, *truth}))}
    y, predicted = (np.array([names[name] for name in values]) for values in (truth, answers))
    return lambda rows: macro_f1(y[rows], predicted[rows], len(names))
