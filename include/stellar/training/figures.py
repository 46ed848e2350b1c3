"""Figures of a model on its test examples: values with bootstrap intervals, per class and by slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.evaluation.bootstrap import bootstrap
from stellar.evaluation.calibration import ece_of_calibrated
from stellar.evaluation.conformal import set_metrics
from stellar.evaluation.metrics import (
    classification_metrics,
    expected_calibration_error,
    interval_metrics,
    quantile_metrics,
    regression_metrics,
    reliability_curve,
    subtype_errors,
)
from stellar.models.base import Quantiles
from stellar.models.mk_types import subtype_numbers
from stellar.registry.bundle import Bundle, interval_columns
from stellar.registry.policy import Figure
from stellar.registry.versions import MetricRow
from stellar.training.answers import Shown
from stellar.training.config import ModelConfig

RESAMPLES = 400
FEWEST_RESAMPLES, RESAMPLED_ROWS = 100, 20_000_000  # of a large test part fewer say the same
LOWER_IS_BETTER = {"mae", "rmse", "ece", "brier", "log_loss", "crps", "subtype_mae"}

Rows = np.ndarray
SliceMetrics = Callable[[Rows], dict[str, float]]


@dataclass
class Evaluation:
    """Test figures of one version; `details` is JSON-ready and holds what the card and the plots show."""

    figures: dict[str, Figure]
    details: dict[str, Any]
    predictions: pa.Table
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    quantiles: dict[str, Quantiles] = field(default_factory=dict)

    def rows(self) -> Iterator[MetricRow]:
        """Every figure in long form."""
        n = self.predictions.num_rows
        for name, figure in self.figures.items():
            yield MetricRow(name, figure.value, _known(figure.lower), _known(figure.upper), n)
        for class_name, found in self.details.get("classes", {}).get("per_class", {}).items():
            for name in ("precision", "recall", "f1"):
                yield MetricRow(name, found[name], n=found["support"], slice=f"class={class_name}")
        for baseline, found in self.details.get("baselines", {}).items():
            for name, (value, lower, upper) in found["figures"].items():
                if value is not None:
                    yield MetricRow(name, value, lower, upper, n, slice=f"baseline={baseline}")
        for part in self.details["slices"]:
            for name, value in (part["metrics"] or {}).items():
                yield MetricRow(name, value, n=part["n"], slice=f"{part['slice']}={part['range']}")


@dataclass(frozen=True)
class Sample:
    """How the test examples are resampled: whole stars, since the examples of one star are not independent."""

    n: int
    stars: np.ndarray
    seed: int

    def of(self, rows: Rows) -> Sample:
        """The sample of some of the examples."""
        return Sample(len(rows), self.stars[rows], self.seed)

    @property
    def resamples(self) -> int:
        """How often it is resampled."""
        return min(RESAMPLES, max(FEWEST_RESAMPLES, RESAMPLED_ROWS // max(self.n, 1)))

    def figure(self, metric: Callable[[Rows], float]) -> Figure:
        found = bootstrap(metric, self.n, resamples=self.resamples, seed=self.seed, groups=self.stars)
        return Figure(found.value, found.lower, found.upper)

    def ece(self, y: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray) -> Figure:
        """Calibration error with its basic bootstrap interval.

        The error is a mean of absolute values, so that sampling noise only ever adds to it, and a resample adds as much
        again; the percentiles of the resamples therefore lie too high, and are reflected about the value (Davison &
        Hinkley 1997, eq. 5.6).
        """
        found = self.figure(
            lambda rows: expected_calibration_error(y[rows], probabilities[rows], predicted=predicted[rows])
        )
        lower, upper = max(0.0, 2 * found.value - found.upper), 2 * found.value - found.lower
        return Figure(found.value, lower, max(found.value, upper))


def quantity_figures(
    config: ModelConfig,
    name: str,
    shown: Shown,
    truth: np.ndarray,
    baseline: np.ndarray,
    sample: Sample,
    found: Evaluation,
    prefix: str = "",
) -> SliceMetrics:
    """Put the figures of one quantity into `found`; returns the metrics of a slice.

    Parameters
    ----------
    truth, baseline : float64[n]
        NaN where the truth is not known: such rows take no part.
    prefix : str
        Of the figures' names, for a further target.
    """
    known = np.flatnonzero(np.isfinite(truth))
    if not len(known):
        return lambda rows: {}
    sample, y = sample.of(known), truth[known]
    value, lower, upper = (shown.table[column].to_numpy()[known] for column in (name, *interval_columns(name)))
    quantiles, alpha = shown.answers.quantiles[name], config.conformal.alpha
    error, inside = np.abs(value - y), (y >= lower) & (y <= upper)
    about = regression_metrics(y, value)
    interval = interval_metrics(y, lower, upper, alpha)
    distribution = quantile_metrics(y, quantiles.levels, quantiles.values[known])
    plain = {"rule": f"always the training median, {baseline[0]:.6g}", **regression_metrics(y, baseline[known])}
    found.details.setdefault("quantities", {})[name] = {
        "quantity": about, "interval": interval, "distribution": distribution, "baseline": plain}  # fmt: skip
    figures = {
        "mae": sample.figure(lambda rows: float(error[rows].mean())),
        "rmse": sample.figure(lambda rows: float(np.sqrt((error[rows] ** 2).mean()))),
        "within_10_percent": sample.figure(lambda rows: float((error[rows] <= 0.1 * np.abs(y[rows])).mean())),
        "interval_coverage": sample.figure(lambda rows: float(inside[rows].mean())),
        **{one: Figure(_or_nan(about[one])) for one in ("r2", "bias", "median_ae", "outlier_rate")},
        "interval_median_width": Figure(_or_nan(interval["median_width"])),
        **{one: Figure(distribution[one]) for one in ("crps", "pit_mean", "pit_std")},
        "baseline_mae": Figure(plain["mae"]),
    }
    found.figures |= {f"{prefix}{one}": figure for one, figure in figures.items()}
    every = np.full(len(truth), np.nan)
    every[known] = value - y

    def of_slice(rows: Rows) -> dict[str, float]:
        rows = rows[np.isfinite(every[rows])]
        if not len(rows):
            return {}
        at = np.searchsorted(known, rows)
        return {
            f"{prefix}mae": float(error[at].mean()),
            f"{prefix}bias": float(every[rows].mean()),
            f"{prefix}interval_coverage": float(inside[at].mean()),
        }

    return of_slice


def class_figures(
    config: ModelConfig,
    bundle: Bundle,
    shown: Shown,
    truth: np.ndarray,
    baseline: np.ndarray,
    sample: Sample,
    found: Evaluation,
) -> SliceMetrics:
    """Put the figures of the classes into `found`; returns the metrics of a slice.

    Parameters
    ----------
    truth, baseline : object[n]
        Names of classes; None where the truth is not known: such rows take no part.
    """
    known = np.flatnonzero([name is not None for name in truth])
    sample, names_true, best = sample.of(known), truth[known], shown.answers.best[known]
    tables = (shown.answers.raw[known], shown.answers.probabilities[known])
    names, (raw, calibrated) = _with_unseen(shown.answers.classes, [*names_true, *best], *tables)
    index = {name: k for k, name in enumerate(names)}
    y, predicted = (np.array([index[name] for name in given]) for given in (names_true, best))
    correct = predicted == y
    details, figures = found.details, found.figures
    details["classes"] = classification_metrics(y, calibrated, names, predicted=predicted)
    details["reliability"] = {
        "raw": reliability_curve(y, raw, predicted=predicted),
        "calibrated": reliability_curve(y, calibrated, predicted=predicted),
    }
    details["ece_raw"] = expected_calibration_error(y, raw, predicted=predicted)
    details["baseline_classes"] = {
        "rule": f"always {baseline[0]}", "accuracy": float((names_true == baseline[known]).mean())}  # fmt: skip
    figures["accuracy"] = sample.figure(lambda rows: float(correct[rows].mean()))
    figures["macro_f1"] = sample.figure(lambda rows: macro_f1(y[rows], predicted[rows], len(names)))
    figures["ece"] = sample.ece(y, calibrated, predicted)
    figures["ece_if_calibrated"] = Figure(*ece_of_calibrated(calibrated, predicted=predicted, seed=sample.seed))
    for name in ("balanced_accuracy", "mcc", "brier", "log_loss", "top_3_accuracy", "roc_auc", "average_precision"):
        figures[name] = Figure(_or_nan(details["classes"][name]))
    figures["baseline_accuracy"] = Figure(details["baseline_classes"]["accuracy"])
    if shown.answers.inside is not None:
        inside = np.pad(shown.answers.inside[known], ((0, 0), (0, len(names) - len(shown.answers.classes))))
        details["sets"] = set_metrics(inside, y, config.conformal.alpha, names)
        hit = inside[np.arange(len(y)), y]
        figures["set_coverage"] = sample.figure(lambda rows: float(hit[rows].mean()))
        figures["set_mean_size"] = Figure(details["sets"]["mean_size"])
    if config.target.scale == "mk":
        _subtype_figures(names_true, best, sample, figures)
    right = np.full(len(truth), np.nan)
    right[known] = correct

    def of_slice(rows: Rows) -> dict[str, float]:
        rows = rows[np.isfinite(right[rows])]
        return {"accuracy": float(right[rows].mean())} if len(rows) else {}

    return of_slice


def _subtype_figures(truth: np.ndarray, best: np.ndarray, sample: Sample, figures: dict[str, Figure]) -> None:
    """Figures on the scale of MK subtypes, of the rows where both types are on it."""
    true, said = subtype_numbers(truth), subtype_numbers(best)
    known = np.flatnonzero(np.isfinite(true) & np.isfinite(said))
    if not len(known):
        return
    sample, difference = sample.of(known), (said - true)[known]
    offset = float(np.median(difference))
    figures["subtype_offset"] = Figure(offset)
    for suffix, shift in (("", 0.0), ("_without_offset", offset)):
        for name in subtype_errors(difference - shift, true[known]):
            figures[f"{name}{suffix}"] = sample.figure(
                lambda rows, name=name, shift=shift: subtype_errors(difference[rows] - shift, true[known][rows])[name]
            )


def _with_unseen(
    classes: Sequence[str], named: Sequence[str], *tables: np.ndarray
) -> tuple[list[str], tuple[np.ndarray, ...]]:
    """Classes that only the truth or the answer has, with probability 0: the model gets each such example wrong."""
    unseen = sorted(set(named) - set(classes))
    return [*classes, *unseen], tuple(np.pad(table, ((0, 0), (0, len(unseen)))) for table in tables)


def macro_f1(y: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Mean F1 over the classes that occur in truth or prediction; counts only, since the bootstrap calls it often."""
    hit = np.bincount(y[y == predicted], minlength=classes)
    total = np.bincount(y, minlength=classes) + np.bincount(predicted, minlength=classes)
    occurs = total > 0
    return float((2 * hit[occurs] / total[occurs]).mean())


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
