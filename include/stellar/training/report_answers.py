"""Parts of a report about the answers: quantities, classes, and both by slices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.evaluation import plots_class, plots_quantity
from stellar.pages import Gallery, Part, Picture, Table, Text
from stellar.registry.bundle import interval_columns
from stellar.training.card import Subject, coverage
from stellar.training.frame import numbers

if TYPE_CHECKING:
    from stellar.training.report_inputs import Seen


def answers(subject: Subject, seen: Seen) -> Iterator[tuple[str, list[Part]]]:
    """Title and parts of the section of each quantity, and of the classes."""
    for target in subject.fitted.bundle.meaning.quantities:
        yield f"Answers: {target}", _quantity(subject, target, seen)
    if subject.evaluation.details.get("classes"):
        yield "Classes", _classes(subject)


def _quantity(subject: Subject, target: str, seen: Seen) -> list[Part]:
    evaluation = subject.evaluation
    truth = evaluation.truth[target]
    known = np.flatnonzero(np.isfinite(truth))
    if not len(known):
        return [Text(f"No test example's {target} is known.")]
    said = evaluation.predictions[target].to_numpy()
    quantiles = evaluation.quantiles[target]
    residual = said - truth
    pictures = [
        plots_quantity.predicted_against_true(truth[known], said[known], target),
        plots_quantity.residuals_along(
            truth, residual, target, f"true {target}",
            "Along the truth the best of answers is drawn to the middle: high at the left, low at the right.",
        ),
        plots_quantity.residuals_along(
            np.where(np.isfinite(truth), said, np.nan), residual, target, f"predicted {target}",
            "Along the answer a model without bias has its median at none.",
        ),
    ]  # fmt: skip
    columns = seen.columns
    for along in (columns.temperature, columns.magnitude, columns.colour, columns.extinction):
        if along and along != target and np.isfinite(numbers(seen.test, along)[known]).any():
            pictures.append(plots_quantity.residuals_along(numbers(seen.test, along), residual, target, along))
    pictures += [
        plots_quantity.pit_histogram(truth[known], quantiles.levels, quantiles.values[known], target),
        plots_quantity.coverage_of_intervals(*coverage(subject, target, known), len(known), target),
    ]
    return [Gallery(pictures)]


def _classes(subject: Subject) -> list[Part]:
    details = subject.evaluation.details
    found = details["classes"]
    happen = {name: one for name, one in found["per_class"].items() if one["support"] or one["precision"]}
    pictures = [
        plots_class.confusion(found["confusion"], found["classes"]),
        plots_class.reliability(details["reliability"]),
        plots_class.per_class(happen),
    ]
    metrics = ("precision", "recall", "f1", "roc_auc", "average_precision", "support")
    rows = [(name, *(one[metric] for metric in metrics)) for name, one in found["per_class"].items()]
    header = ("class", "precision", "recall", "F1", "ROC AUC", "average precision", "test examples")
    return [Gallery(pictures), Table(header, rows, "Each class against the others.")]


def by_slices(subject: Subject, seen: Seen) -> list[Part]:
    """Coverage of intervals and sets, and accuracy, along magnitude, temperature, extinction and the slices."""
    evaluation, nominal = subject.evaluation, 1 - subject.config.conformal.alpha
    pictures: list[Picture | None] = []
    for target in subject.fitted.bundle.meaning.quantities:
        truth = evaluation.truth[target]
        low, high = (evaluation.predictions[name].to_numpy() for name in interval_columns(target))
        hit = (truth >= low) & (truth <= high)
        pictures += _shares(seen, np.isfinite(truth), hit, f"coverage of {target}", nominal)
    if "class" in evaluation.truth:
        truth = evaluation.truth["class"]
        known = np.array([name is not None for name in truth])
        said = np.asarray(evaluation.predictions[str(subject.fitted.bundle.meaning.class_column)].to_pylist(), object)
        pictures += _shares(seen, known, said == truth, "accuracy", None)
        if "prediction_set" in evaluation.predictions.column_names:
            hit = _in_set(evaluation.predictions["prediction_set"], truth)
            pictures += _shares(seen, known, hit, "coverage of sets", nominal)
    shown = [one for one in pictures if one]
    made: list[Part] = [Gallery(shown)] if shown else []
    parts = evaluation.details["slices"]
    if parts:
        names = list(dict.fromkeys(name for part in parts for name in part["metrics"] or {}))
        rows = [(p["slice"], p["range"], p["n"], *((p["metrics"] or {}).get(name) for name in names)) for p in parts]
        made.append(Table(("column", "range", "test examples", *names), rows, "Figures of the config's slices."))
    return made


def _shares(seen: Seen, known: np.ndarray, hit: np.ndarray, what: str, nominal: float | None) -> list[Picture | None]:
    return [
        plots_quantity.shares_by_slice(
            np.where(known, values, np.nan), hit, along, what, nominal=nominal, edges=edges
        )
        for along, (values, edges) in seen.slices.items()
    ]  # fmt: skip


def _in_set(sets: pa.ChunkedArray, truth: np.ndarray) -> np.ndarray:
    """Whether each row's true class is in its set, bool[n]."""
    whole = sets.combine_chunks()
    row = pc.list_parent_indices(whole).to_numpy()
    names = whole.flatten().to_numpy(zero_copy_only=False)
    hit = np.zeros(len(truth), dtype=bool)
    hit[row[names == truth[row]]] = True
    return hit
