"""What a model makes of its inputs: SHAP values of boosted trees, permutation importance of other tabular models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stellar.evaluation.pictures import thinned
from stellar.models.base import Model, numeric_matrix
from stellar.models.xgb import XgbClassifier, XgbMultiTask, XgbQuantile, xgb
from stellar.models.xgb_distribution import XgbDistribution
from stellar.registry.bundle import Bundle
from stellar.training.frame import numbers, true_classes

MOST_ROWS = 1000
MOST_PERMUTED, REPEATS = 400, 3  # every repeat predicts all these rows once for each feature
# (row, tree) pairs that SHAP is computed of: each costs the square of the depth of a tree; some seconds for all
MOST_WORK = 2_000_000
Boosted = XgbClassifier | XgbQuantile | XgbMultiTask
SURE = 1e-6  # the least probability that a loss is taken of: one example is not to outweigh all others


@dataclass(frozen=True)
class Importance:
    """How much each feature matters to the answers for some rows that the model did not learn from.

    Attributes
    ----------
    method : str
        `shap` or `permutation`.
    values : float64[f] or float64[f, k]
        Mean |SHAP|, with one column for each class of `classes`; or the rise of the error.
    unit : str
    contributions : float64[n, f] or None
        SHAP values of each row: of its answer, or of the class that is its answer.
    inputs : float32[n, f] or None
    spread : float64[f] or None
        Standard deviation over repeats.
    """

    method: str
    names: tuple[str, ...]
    values: np.ndarray
    unit: str
    rows: int
    classes: tuple[str, ...] = ()
    contributions: np.ndarray | None = None
    inputs: np.ndarray | None = None
    spread: np.ndarray | None = None


def importance(bundle: Bundle, table: pa.Table, target: str, seed: int, truth: str | None = None) -> Importance | None:
    """Importance of each feature for one target; None for models of sequences and where nothing can be said.

    Parameters
    ----------
    table
        Rows that the bundle's model did not learn from; a fixed sample of them is taken.
    truth
        Column of what is true of a quantity, where it is not the target's own.
    """
    model = bundle.model
    if not table.num_rows or model.kind != "tabular":
        return None
    rows = table.take(pa.array(thinned(table.num_rows, MOST_ROWS, seed)))
    if isinstance(model, Boosted):
        return _shap_of_head(model, bundle.preparation.apply(rows), target)
    if isinstance(model, XgbDistribution):
        return _shap_of_location(model, bundle.preparation.apply(rows), target)
    return _permutation(bundle, rows, target, truth or target, seed)


def _shap_of_head(model: Boosted, rows: pa.Table, target: str) -> Importance:
    head = model.heads[target]
    assert head.booster is not None
    inputs = numeric_matrix(rows, model.features)
    groups = len(head.classes) if head.kind == "class" else len(head.params["levels"])
    found, inputs = _shap(head.booster, inputs, groups)
    if head.kind == "class":
        answer = found.sum(axis=2).argmax(axis=1)
        return Importance(
            "shap",
            model.features,
            np.abs(found[:, :, :-1]).mean(axis=0).T,
            "mean |SHAP value|, log odds",
            len(inputs),
            head.classes,
            found[np.arange(len(found)), answer, :-1],
            inputs,
        )
    middle = int(np.abs(np.asarray(head.params["levels"]) - 0.5).argmin())
    scale = head.scale  # type: ignore[union-attr]
    return _of_number(model, found[:, middle, :-1] * scale, inputs, target, bool(head.params["log_target"]))


def _shap_of_location(model: XgbDistribution, rows: pa.Table, target: str) -> Importance:
    found, inputs = _shap(model.boosters["location"], numeric_matrix(rows, model.features), 1)
    return _of_number(model, found[:, 0, :-1] * model.scale, inputs, target, bool(model.settings["log_target"]))


def _of_number(model: Model, found: np.ndarray, inputs: np.ndarray, target: str, is_log: bool) -> Importance:
    unit = f"dex of {target}" if is_log else target
    values = np.abs(found).mean(axis=0)
    return Importance("shap", model.features, values, f"mean |SHAP value|, {unit}", len(inputs), (), found, inputs)


def _shap(booster: xgb.Booster, inputs: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """SHAP values float64[n, groups, f + 1] (the last is the mean answer) of as many rows as can be afforded.

    They are TreeSHAP's (Lundberg et al. 2020, Nature Machine Intelligence 2, 56), as XGBoost computes them.
    """
    trees = booster.num_boosted_rounds() * groups
    inputs = inputs[thinned(len(inputs), max(100, MOST_WORK // max(trees, 1)))]
    found = booster.predict(xgb.DMatrix(inputs), pred_contribs=True)
    return found.reshape(len(inputs), groups, inputs.shape[1] + 1).astype(np.float64), inputs


def _permutation(bundle: Bundle, rows: pa.Table, target: str, truth: str, seed: int) -> Importance | None:
    """Rise of the error when a feature's values are dealt anew among the rows (Breiman 2001, section 10)."""
    rows = rows.filter(pa.array(_told(bundle, rows, target, truth)))
    rows = rows.take(pa.array(thinned(rows.num_rows, MOST_PERMUTED, seed)))
    if rows.num_rows < 2:
        return None
    names, rng = bundle.meaning.columns, np.random.default_rng(seed)
    before = _error(bundle, rows, target, truth)
    rise = np.zeros((REPEATS, len(names)))
    for repeat in range(REPEATS):
        for k, name in enumerate(names):
            at = rows.schema.get_field_index(name)
            dealt = rows[name].take(pa.array(rng.permutation(rows.num_rows)))
            rise[repeat, k] = _error(bundle, rows.set_column(at, rows.schema.field(at), dealt), target, truth) - before
    unit = "rise of the mean absolute error" if target in bundle.meaning.quantities else "rise of the log loss"
    return Importance("permutation", names, rise.mean(axis=0), unit, rows.num_rows, spread=rise.std(axis=0, ddof=1))


def _told(bundle: Bundle, rows: pa.Table, target: str, truth: str) -> np.ndarray:
    if target in bundle.meaning.quantities:
        return np.isfinite(numbers(rows, truth))
    return np.isin(true_classes(bundle.meaning, rows), np.array(bundle.classes, dtype=object))


def _error(bundle: Bundle, rows: pa.Table, target: str, truth: str) -> float:
    answers = bundle.answers(rows)
    if target in bundle.meaning.quantities:
        return float(np.abs(answers.quantiles[target].median - numbers(rows, truth)).mean())
    p = answers.probabilities
    index = {name: k for k, name in enumerate(bundle.classes)}
    y = np.array([index[name] for name in true_classes(bundle.meaning, rows)])
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], SURE)).mean())
