"""Evaluation on the examples that a model did not learn from, beside the plainest baseline."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.evaluation.slices import slice_metrics
from stellar.registry.policy import Figure
from stellar.training.answers import Shown, joined
from stellar.training.config import Baseline, ModelConfig, Slice
from stellar.training.figures import Evaluation, Sample, SliceMetrics, class_figures, quantity_figures
from stellar.training.fit import Fitted, fit_further_deals
from stellar.training.frame import numbers, true_classes


def evaluate(config: ModelConfig, fitted: Fitted, table: pa.Table, seed: int) -> Evaluation:
    """Figures on the examples that the bundles were tested on, in the order of `fitted.test_rows`.

    The plain baseline is one answer for all (majority class or median) of the examples that a bundle learned from.
    """
    test = table.take(fitted.test_rows)
    shown = predicted(fitted, table)
    found = Evaluation({}, {}, shown.table, quantiles=shown.answers.quantiles)
    per_slice: list[SliceMetrics] = []
    _, stars = np.unique(np.asarray(test["object_id"].to_pylist(), dtype=str), return_inverse=True)
    sample = Sample(test.num_rows, stars, seed)
    for target in config.targets:
        if target.kind == "quantity":
            truth = numbers(test, target.truth)
            median = _per_row(fitted, lambda rows, name=target.truth: np.nanmedian(numbers(table, name)[rows]))
            prefix = "" if target is config.target else f"{target.name}_"
            found.truth[target.name] = truth
            per_slice.append(quantity_figures(config, target.name, shown, truth, median, sample, found, prefix))
    meaning = fitted.bundle.meaning
    if meaning.class_column:
        classes = true_classes(meaning, table, config.target.truth)
        majority = _per_row(fitted, lambda rows: _majority(classes[rows]))
        found.truth["class"] = classes[fitted.test_rows]
        per_slice.append(class_figures(config, fitted.bundle, shown, found.truth["class"], majority, sample, found))
    found.figures["out_of_range_share"] = Figure(float(shown.table["is_out_of_range"].to_numpy().mean()))
    columns = {part.name: slice_values(shown.table if part.predicted else test, part) for part in config.slices}
    edges = {part.name: [-math.inf, *part.edges, math.inf] for part in config.slices}
    found.details["slices"] = slice_metrics(
        lambda rows: {name: value for one in per_slice for name, value in one(rows).items()}, columns, edges
    )
    return found


def figures_by_cell(config: ModelConfig, fitted: Fitted, table: pa.Table, seed: int) -> dict[str, Figure]:
    """The figures of models that were tested on whole sky cells, as `mae_by_cell` and so on.

    Where random folds leave every star its neighbours, with their dust and their survey's calibration, these tell how
    the model does in a field that it has not seen.
    """
    alone = config.model_copy(update={"slices": []})
    found = evaluate(alone, fitted, table, seed).figures
    return {f"{name}_by_cell": figure for name, figure in found.items() if not name.startswith(("baseline_", "out_of"))}


def evaluate_deals(
    config: ModelConfig, fitted: Fitted, table: pa.Table, seed: int, baseline: Baseline | None = None
) -> Evaluation:
    """As `evaluate`, with figures that are the means over `split.deals` deals of the folds.

    What each deal told is in the details, as `deals`; all else is of the first, `fitted`. The ends of the intervals are
    means too: they tell of the choice of stars, which is the same in every deal, and are no narrower for a star's being
    tested several times.
    """
    found = evaluate(config, fitted, table, seed)
    further = [evaluate(config, one, table, seed).figures
               for one in fit_further_deals(config, table, fitted, seed, baseline)]  # fmt: skip
    every = [dict(found.figures), *further]
    for name in sorted(set.intersection(*map(set, every))) if further else ():
        told = [figures[name] for figures in every]
        found.details.setdefault("deals", {})[name] = [_or_none(one.value) for one in told]
        ends = [float(np.mean([getattr(one, part) for one in told])) for part in ("value", "lower", "upper")]
        found.figures[name] = Figure(*ends)
    return found


def predicted(fitted: Fitted, table: pa.Table) -> Shown:
    """Each bundle's answers for its own test rows, one after another."""
    answers, columns = [], []
    for one in fitted.tested:
        rows = table.take(one.rows)
        answers.append(one.bundle.answers(rows))
        columns.append(one.bundle.columns(answers[-1], rows))
    whole = pa.concat_tables(columns, promote_options="default")
    for at, name in enumerate(whole.column_names):
        if whole[name].null_count and name.startswith("probability_"):  # a class that one fold did not know
            whole = whole.set_column(at, name, whole[name].fill_null(0.0))
    return Shown(joined(answers), whole)


def _per_row(fitted: Fitted, rule: Callable[[np.ndarray], Any]) -> np.ndarray:
    """What a rule says of the rows that each bundle learned from, for each of the rows that it was tested on."""
    said = [np.full(len(one.rows), rule(np.flatnonzero(one.learnt))) for one in fitted.tested]
    return np.concatenate(said)


def _majority(classes: np.ndarray) -> str:
    names, counts = np.unique(classes[classes != None].astype(str), return_counts=True)  # noqa: E711
    return str(names[counts.argmax()])


def slice_values(table: pa.Table, part: Slice) -> np.ndarray:
    """What a slice is along, float64[n]."""
    values = numbers(table, part.column)
    return np.abs(values) if part.absolute else values


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
