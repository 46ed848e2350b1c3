"""Metrics of classifiers, regressors and predictive distributions, as plain JSON-ready dicts.

scikit-learn computes what it has; what it lacks (equal-mass calibration error, CRPS from quantiles) is here. A figure
that is not defined for the rows given is None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics as skm

from stellar.errors import InputError


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _probabilities(probabilities: np.ndarray, y_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(y_index, dtype=np.int64)
    if p.ndim != 2 or len(p) != len(y):
        raise InputError(f"probabilities {p.shape} and labels {y.shape} do not belong together")
    if not len(y):
        raise InputError("no rows to evaluate; the split left this part empty")
    if y.min() < 0 or y.max() >= p.shape[1]:
        raise InputError(f"class indices run from {y.min()} to {y.max()}, the model has {p.shape[1]} classes")
    return p, y


def equal_mass_bins(score: np.ndarray, n_bins: int = 10) -> np.ndarray:
    """Bin of each row, int64[n], when the sorted scores are cut into `n_bins` runs of (nearly) equal size.

    Ties are kept together, in the bin of their middle rank, so that the bins do not hang on the order of the rows.
    """
    score = np.asarray(score, dtype=np.float64)
    values, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2  # mean 0-based rank of each distinct value
    bins = np.minimum((middle * n_bins / len(score)).astype(np.int64), n_bins - 1)
    return bins[inverse] if len(values) else np.zeros(0, dtype=np.int64)


def _confidence(p: np.ndarray, y: np.ndarray, predicted: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each row's answer, and whether it is right."""
    answer = p.argmax(axis=1) if predicted is None else np.asarray(predicted)
    return p[np.arange(len(p)), answer], answer == y


def expected_calibration_error(
    y_index: np.ndarray, probabilities: np.ndarray, n_bins: int = 10, predicted: np.ndarray | None = None
) -> float:
    """Expected calibration error of the answer with equal-mass bins.

    Mean over rows of |confidence - accuracy| of the row's bin (Naeini et al. 2015, with the adaptive bins of Nixon et
    al. 2019).

    Parameters
    ----------
    y_index : int[n]
        True class as a column of `probabilities`.
    probabilities : float[n, k]
    n_bins : int
    predicted : int[n], optional
        The class that is given as the answer; the likeliest where not given.
    """
    p, y = _probabilities(probabilities, y_index)
    confidence, correct = _confidence(p, y, predicted)
    bins = equal_mass_bins(confidence, n_bins)
    gap = np.bincount(bins, weights=confidence - correct, minlength=n_bins)
    return float(np.abs(gap).sum() / len(y))


def reliability_curve(
    y_index: np.ndarray, probabilities: np.ndarray, n_bins: int = 10, predicted: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """Mean confidence, accuracy and row count per equal-mass bin, empty bins left out."""
    p, y = _probabilities(probabilities, y_index)
    confidence, correct = _confidence(p, y, predicted)
    bins = equal_mass_bins(confidence, n_bins)
    return [
        {"confidence": float(confidence[mine].mean()), "accuracy": float(correct[mine].mean()), "n": int(mine.sum())}
        for mine in (bins == number for number in range(n_bins))
        if mine.any()
    ]


def brier_score(y_index: np.ndarray, probabilities: np.ndarray) -> float:
    """Multi-class Brier score (Brier 1950): mean over rows of the squared distance to the true class, 0 to 2."""
    p, y = _probabilities(probabilities, y_index)
    return float((p**2).sum(axis=1).mean() - 2 * p[np.arange(len(y)), y].mean() + 1)


def log_loss(y_index: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative natural log of the true class's probability (floored at 1e-15)."""
    p, y = _probabilities(probabilities, y_index)
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-15)).mean())


def classification_metrics(
    y_index: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    predicted: np.ndarray | None = None,
    n_bins: int = 10,
) -> dict[str, Any]:
    """Everything about a classifier on one set of rows.

    Parameters
    ----------
    y_index : int[n]
        True class as a column of `probabilities`.
    probabilities : float[n, k]
    classes : sequence of str
        Names of the columns.
    predicted : int[n], optional
        The class that is given as the answer; the likeliest where not given.
    n_bins : int
        Equal-mass bins of the calibration error.

    Returns
    -------
    dict
        `n`, `accuracy`, `balanced_accuracy`, `macro_f1` (over the classes that occur in the truth or the prediction),
        `mcc`, `top_3_accuracy`, `roc_auc` and `average_precision` (means of each class against the rest, over the
        classes that occur in the truth), `ece`, `brier`, `log_loss`, `per_class` {class: precision, recall, f1,
        support, roc_auc, average_precision}, `confusion` (rows true, columns predicted), `classes`.
    """
    p, y = _probabilities(probabilities, y_index)
    if len(classes) != p.shape[1]:
        raise InputError(f"{len(classes)} class names for {p.shape[1]} columns of probabilities")
    predicted = p.argmax(axis=1) if predicted is None else predicted
    labels = np.arange(len(classes))
    precision, recall, f1, support = skm.precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0)
    occurs = np.isin(labels, y) | np.isin(labels, predicted)
    ranking = {k: _ranking(y == k, p[:, k]) for k in labels}
    best = np.argsort(-p, axis=1, kind="stable")[:, :3]
    return {
        "n": len(y),
        "accuracy": float(skm.accuracy_score(y, predicted)),
        "balanced_accuracy": float(recall[support > 0].mean()),
        "macro_f1": float(f1[occurs].mean()),
        "mcc": float(skm.matthews_corrcoef(y, predicted)),
        "top_3_accuracy": float((best == y[:, None]).any(axis=1).mean()),
        **{name: _mean([one[name] for one in ranking.values()]) for name in ("roc_auc", "average_precision")},
        "ece": expected_calibration_error(y, p, n_bins, predicted),
        "brier": brier_score(y, p),
        "log_loss": log_loss(y, p),
        "per_class": {
            str(name): {
                "precision": float(precision[k]),
                "recall": float(recall[k]),
                "f1": float(f1[k]),
                "support": int(support[k]),
                **ranking[k],
            }
            for k, name in enumerate(classes)
        },
        "confusion": skm.confusion_matrix(y, predicted, labels=labels).tolist(),
        "classes": [str(name) for name in classes],
    }


def _ranking(is_class: np.ndarray, probability: np.ndarray) -> dict[str, float | None]:
    """How well a class's probability ranks its members before the others; None where one side is empty."""
    if is_class.all() or not is_class.any():
        return {"roc_auc": None, "average_precision": None}
    return {
        "roc_auc": float(skm.roc_auc_score(is_class, probability)),
        "average_precision": float(skm.average_precision_score(is_class, probability)),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def regression_metrics(y_true: np.ndarray, prediction: np.ndarray) -> dict[str, Any]:
    """`n`, `mae`, `rmse`, `r2`, `bias` (mean of prediction - truth), `median_ae`, `within_10_percent` (share).

    `outlier_rate` is the share further from the median residual than three robust standard deviations (1.4826 MAD).
    """
    y, p = np.asarray(y_true, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if not len(y) or y.shape != p.shape:
        raise InputError(f"truth {y.shape} and prediction {p.shape} must be of one length, and not empty")
    residual = p - y
    centred = np.abs(residual - np.median(residual))
    return {
        "n": len(y),
        "outlier_rate": float((centred > 3 * 1.4826 * np.median(centred)).mean()),
        "mae": float(skm.mean_absolute_error(y, p)),
        "rmse": float(skm.root_mean_squared_error(y, p)),
        "r2": _number(skm.r2_score(y, p)) if len(y) > 1 else None,
        "bias": float(residual.mean()),
        "median_ae": float(np.median(np.abs(residual))),
        "within_10_percent": float((np.abs(residual) <= 0.1 * np.abs(y)).mean()),
    }


def interval_metrics(y_true: np.ndarray, lower: np.ndarray, upper: np.ndarray, alpha: float) -> dict[str, Any]:
    """Of intervals meant to hold 1 - alpha: `coverage`, `nominal`, `mean_width`, `median_width`, `winkler`.

    `winkler` is the interval score of Gneiting & Raftery (2007), eq. 43: smaller is better.
    """
    y, low, high = (np.asarray(values, dtype=np.float64) for values in (y_true, lower, upper))
    below, above = np.maximum(low - y, 0), np.maximum(y - high, 0)
    width = high - low
    return {
        "n": len(y),
        "nominal": 1 - alpha,
        "coverage": float(((y >= low) & (y <= high)).mean()),
        # endless where too few calibration examples were known to promise a finite one
        "mean_width": _number(width.mean()),
        "median_width": _number(np.median(width)),
        "winkler": _number((width + 2 / alpha * (below + above)).mean()),
    }


def pinball_loss(y_true: np.ndarray, levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean pinball loss at each level, float[q]; `values` is float[n, q]."""
    residual = np.asarray(y_true, dtype=np.float64)[:, None] - np.asarray(values, dtype=np.float64)
    tau = np.asarray(levels, dtype=np.float64)[None, :]
    return np.maximum(tau * residual, (tau - 1) * residual).mean(axis=0)


def crps_from_quantiles(y_true: np.ndarray, levels: np.ndarray, values: np.ndarray) -> float:
    """Continuous ranked probability score: twice the integral of the pinball loss over the level.

    The integral runs over (0, 1) by the trapezoid rule, the outermost losses standing for the tails (Gneiting & Ranjan
    2011, eq. 8); exact in the limit of many levels.
    """
    tau = np.asarray(levels, dtype=np.float64)
    loss = pinball_loss(y_true, tau, values)
    tails = loss[0] * tau[0] + loss[-1] * (1 - tau[-1])
    return float(2 * (np.trapezoid(loss, tau) + tails))


def pit_from_quantiles(y_true: np.ndarray, levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Probability integral transform of each truth, float[n]: the level at which its distribution passes it.

    Linear between quantiles. A truth outside the outermost quantiles lies somewhere in that tail; it gets the tail's
    middle, which keeps mean and spread right for a calibrated model.
    """
    y, tau, q = np.asarray(y_true), np.asarray(levels, dtype=np.float64), np.asarray(values, dtype=np.float64)
    above = (q <= y[:, None]).sum(axis=1)  # number of quantiles at or below the truth
    inside = (above > 0) & (above < len(tau))
    pit = np.where(above == 0, tau[0] / 2, (1 + tau[-1]) / 2)
    rows, k = np.flatnonzero(inside), above[inside]
    left, right = q[rows, k - 1], q[rows, k]
    share = np.divide(y[rows] - left, right - left, out=np.full(len(rows), 0.5), where=right > left)
    pit[rows] = tau[k - 1] + share * (tau[k] - tau[k - 1])
    return pit


def quantile_metrics(y_true: np.ndarray, levels: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """`crps`, `pinball` (mean over levels), `pit_mean` (0.5 is right), `pit_std` (0.289 is right)."""
    pit = pit_from_quantiles(y_true, levels, values)
    return {
        "n": len(pit),
        "crps": crps_from_quantiles(y_true, levels, values),
        "pinball": float(pinball_loss(y_true, levels, values).mean()),
        "pit_mean": float(pit.mean()),
        "pit_std": float(pit.std()),
    }


def subtype_errors(difference: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """`subtype_mae`, `subtype_within_2` (share) and `letter_accuracy` (share).

    Parameters
    ----------
    difference, truth : float64[n]
        Predicted minus true number of the type, and the true one: ten subtypes to a letter (`models.mk_types`).
    """
    said = np.floor((truth + difference + 0.5) / 10)
    return {
        "subtype_mae": float(np.abs(difference).mean()),
        "subtype_within_2": float((np.abs(difference) <= 2).mean()),
        "letter_accuracy": float((said == np.floor(truth / 10)).mean()),
    }
