"""Evaluation on the test part: figures with bootstrap intervals, per class and by slices, beside a baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.evaluation.bootstrap import bootstrap, paired_bootstrap
from stellar.evaluation.conformal import set_metrics
from stellar.evaluation.metrics import (
    classification_metrics,
    expected_calibration_error,
    interval_metrics,
    quantile_metrics,
    regression_metrics,
    reliability_curve,
)
from stellar.evaluation.slices import slice_metrics
from stellar.registry.bundle import Bundle, band_of
from stellar.registry.policy import Comparison, Figure
from stellar.registry.versions import MetricRow
from stellar.training.config import ModelConfig
from stellar.training.frame import numbers

RESAMPLES = 400
LOWER_IS_BETTER = {"mae", "rmse", "ece", "brier", "log_loss", "crps"}
PAIRED_METRICS = ("accuracy", "macro_f1", "mae", "rmse")

Rows = np.ndarray


@dataclass
class Evaluation:
    """Test figures of one version; `details` is JSON-ready and holds what the card and the plots show."""

    figures: dict[str, Figure]
    details: dict[str, Any]
    predictions: pa.Table
    truth: dict[str, np.ndarray] = field(default_factory=dict)

    def rows(self) -> Iterator[MetricRow]:
        """Every figure in long form."""
        n = self.predictions.num_rows
        for name, figure in self.figures.items():
            yield MetricRow(name, figure.value, _known(figure.lower), _known(figure.upper), n)
        for class_name, found in self.details.get("classes", {}).get("per_class", {}).items():
            for name in ("precision", "recall", "f1"):
                yield MetricRow(name, found[name], n=found["support"], slice=f"class={class_name}")
        for part in self.details["slices"]:
            for name, value in (part["metrics"] or {}).items():
                yield MetricRow(name, value, n=part["n"], slice=f"{part['slice']}={part['range']}")


def evaluate(config: ModelConfig, bundle: Bundle, train: pa.Table, test: pa.Table, seed: int) -> Evaluation:
    """Figures of `bundle` on the test examples; `train` gives the baseline's one answer (majority class or median)."""
    predictions = bundle.predict(test)
    figures: dict[str, Figure] = {}
    details: dict[str, Any] = {}
    truth: dict[str, np.ndarray] = {}
    per_slice: list[Callable[[Rows], dict[str, float]]] = []
    stars = np.asarray(test["object_id"].to_pylist(), dtype=str)
    sample = _Sample(test.num_rows, stars, seed)
    if config.target.kind == "quantity":
        truth["value"] = numbers(test, config.target.name)
        baseline = float(np.median(numbers(train, config.target.name)))
        per_slice.append(_quantity(bundle, test, predictions, truth["value"], baseline, sample, figures, details))
    if bundle.meaning.class_column:
        truth["class"] = true_classes(bundle, test)
        baseline_class = _majority(true_classes(bundle, train))
        per_slice.append(_classes(bundle, test, truth["class"], baseline_class, sample, figures, details))
    unlike = predictions["is_out_of_range"].to_numpy()
    figures["out_of_range_share"] = Figure(float(unlike.mean()))
    columns = {_slice_name(part): _slice_values(test, part) for part in config.slices}
    edges = {_slice_name(part): [-math.inf, *part.edges, math.inf] for part in config.slices}
    details["slices"] = slice_metrics(
        lambda rows: {name: value for one in per_slice for name, value in one(rows).items()}, columns, edges
    )
    return Evaluation(figures, details, predictions, truth)


def true_classes(bundle: Bundle, table: pa.Table) -> np.ndarray:
    """Class names of the examples as an object array."""
    if bundle.meaning.kind == "class":
        return np.asarray(table[bundle.meaning.target].to_pylist(), dtype=object)
    names = np.asarray(list(bundle.meaning.bands), dtype=object)
    return names[band_of(numbers(table, bundle.meaning.target), bundle.meaning.bands)]


def compare(config: ModelConfig, new: Evaluation, current: Bundle, current_key: str, test: pa.Table, keep: np.ndarray,
            seed: int) -> dict[str, Comparison]:  # fmt: skip
    """Paired figures of the new and the current version on the test examples where `keep` is true.

    Parameters
    ----------
    keep
        bool[n]: examples of stars that the current version was not fitted, tuned or calibrated on.
    """
    rows = np.flatnonzero(keep)
    wanted = [rule.metric for rule in config.policy if rule.op == "not_worse_than_current"]
    if not len(rows):
        return {}
    ours, theirs = new.predictions.take(rows), current.predict(test.take(rows))
    found = {}
    for metric in wanted:
        if metric not in PAIRED_METRICS:
            continue
        column = config.target.name if metric in ("mae", "rmse") else config.target.class_column
        if column is None or column not in theirs.column_names:
            continue
        truth = new.truth["value" if metric in ("mae", "rmse") else "class"][rows]
        stars = np.asarray(test["object_id"].take(rows).to_pylist(), dtype=str)
        higher = metric not in LOWER_IS_BETTER
        paired = paired_bootstrap(
            _answer_metric(metric, truth, ours[column]),
            _answer_metric(metric, truth, theirs[column]),
            len(rows),
            higher_is_better=higher,
            resamples=RESAMPLES,
            seed=seed,
            groups=stars,
        )
        sign = 1 if higher else -1
        low, high = sorted((sign * paired.lower, sign * paired.upper))
        difference = Figure(sign * paired.difference, low, high)
        found[metric] = Comparison(metric, current_key, len(rows), paired.candidate, paired.current, difference)
    return found


@dataclass(frozen=True)
class _Sample:
    """How the test examples are resampled: whole stars, since the examples of one star are not independent."""

    n: int
    stars: np.ndarray
    seed: int

    def figure(self, metric: Callable[[Rows], float]) -> Figure:
        found = bootstrap(metric, self.n, resamples=RESAMPLES, seed=self.seed, groups=self.stars)
        return Figure(found.value, found.lower, found.upper)

    def ece(self, y: np.ndarray, probabilities: np.ndarray) -> Figure:
        """Calibration error with its basic bootstrap interval.

        The error is a mean of absolute values, so that sampling noise only ever adds to it, and a resample adds as much
        again; the percentiles of the resamples therefore lie too high, and are reflected about the value (Davison &
        Hinkley 1997, eq. 5.6).
        """
        found = self.figure(lambda rows: expected_calibration_error(y[rows], probabilities[rows]))
        lower, upper = max(0.0, 2 * found.value - found.upper), 2 * found.value - found.lower
        return Figure(found.value, lower, max(found.value, upper))


def _quantity(bundle, test, predictions, truth, baseline, sample, figures, details):
    """Figures of a quantity; returns the metrics of a slice."""
    meaning = bundle.meaning
    predicted = predictions[meaning.target].to_numpy()
    lower, upper = (predictions[name].to_numpy() for name in meaning.interval_columns)
    quantiles = bundle.quantiles(test)
    error, inside = np.abs(predicted - truth), (truth >= lower) & (truth <= upper)
    details["quantity"] = regression_metrics(truth, predicted)
    details["interval"] = interval_metrics(truth, lower, upper, meaning.alpha)
    details["distribution"] = quantile_metrics(truth, quantiles.levels, quantiles.values)
    details["baseline_quantity"] = {"rule": f"always the training median, {baseline:.6g}",
                                    **regression_metrics(truth, np.full(len(truth), baseline))}  # fmt: skip
    figures["mae"] = sample.figure(lambda rows: float(error[rows].mean()))
    figures["rmse"] = sample.figure(lambda rows: float(np.sqrt((error[rows] ** 2).mean())))
    figures["within_10_percent"] = sample.figure(lambda rows: float((error[rows] <= 0.1 * np.abs(truth[rows])).mean()))
    figures["interval_coverage"] = sample.figure(lambda rows: float(inside[rows].mean()))
    for name in ("r2", "bias", "median_ae"):
        figures[name] = Figure(_or_nan(details["quantity"][name]))
    figures["interval_median_width"] = Figure(details["interval"]["median_width"])
    for name in ("crps", "pit_mean", "pit_std"):
        figures[name] = Figure(details["distribution"][name])
    figures["baseline_mae"] = Figure(details["baseline_quantity"]["mae"])
    return lambda rows: {"mae": float(error[rows].mean()), "bias": float((predicted - truth)[rows].mean()),
                         "interval_coverage": float(inside[rows].mean())}  # fmt: skip


def _classes(bundle, test, truth, baseline, sample, figures, details):
    """Figures of the classes; returns the metrics of a slice."""
    raw = bundle.raw_probabilities(test)
    calibrated = bundle.calibrator.apply(raw) if bundle.calibrator else raw
    names, (raw, calibrated) = _with_unseen(bundle.classes, truth, raw, calibrated)
    index = {name: k for k, name in enumerate(names)}
    y = np.array([index[name] for name in truth])
    correct = calibrated.argmax(axis=1) == y
    details["classes"] = classification_metrics(y, calibrated, names)
    details["reliability"] = {"raw": reliability_curve(y, raw), "calibrated": reliability_curve(y, calibrated)}
    details["ece_raw"] = expected_calibration_error(y, raw)
    details["baseline_classes"] = {"rule": f"always {baseline}", "accuracy": float((truth == baseline).mean())}
    figures["accuracy"] = sample.figure(lambda rows: float(correct[rows].mean()))
    figures["ece"] = sample.ece(y, calibrated)
    predicted = calibrated.argmax(axis=1)
    figures["macro_f1"] = sample.figure(lambda rows: _macro_f1(y[rows], predicted[rows], len(names)))
    for name in ("balanced_accuracy", "mcc", "brier", "log_loss"):
        figures[name] = Figure(details["classes"][name])
    figures["baseline_accuracy"] = Figure(details["baseline_classes"]["accuracy"])
    if bundle.sets:
        inside = bundle.sets.sets(bundle.probabilities(test))
        inside = np.pad(inside, ((0, 0), (0, len(names) - inside.shape[1])))
        details["sets"] = set_metrics(inside, y, bundle.sets.alpha)
        hit = inside[np.arange(len(y)), y]
        figures["set_coverage"] = sample.figure(lambda rows: float(hit[rows].mean()))
        figures["set_mean_size"] = Figure(details["sets"]["mean_size"])
    return lambda rows: {"accuracy": float(correct[rows].mean())}


def _with_unseen(
    classes: tuple[str, ...], truth: np.ndarray, *tables: np.ndarray
) -> tuple[list[str], tuple[np.ndarray, ...]]:
    """Classes that only the test part has, with probability 0: the model gets each of those examples wrong."""
    unseen = sorted(set(truth) - set(classes))
    return [*classes, *unseen], tuple(np.pad(table, ((0, 0), (0, len(unseen)))) for table in tables)


def _macro_f1(y: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Mean F1 over the classes that occur in truth or prediction; counts only, since the bootstrap calls it often."""
    hit = np.bincount(y[y == predicted], minlength=classes)
    total = np.bincount(y, minlength=classes) + np.bincount(predicted, minlength=classes)
    occurs = total > 0
    return float((2 * hit[occurs] / total[occurs]).mean())


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
    return lambda rows: _macro_f1(y[rows], predicted[rows], len(names))


def _majority(classes: np.ndarray) -> str:
    names, counts = np.unique(classes.astype(str), return_counts=True)
    return str(names[counts.argmax()])


def _slice_name(part: Any) -> str:
    return f"|{part.column}|" if part.absolute else part.column


def _slice_values(table: pa.Table, part: Any) -> np.ndarray:
    values = numbers(table, part.column)
    return np.abs(values) if part.absolute else values


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
