"""Boosted trees on tabular features: a classifier, a quantile regressor, and both behind one model of several targets.

Missing values stay missing (a tree learns which way they go); measurement errors are features beside the values.
Weights are stored in XGBoost's own UBJ format.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.models.base import Labels, Model, Quantiles, encode_labels, labels_of, merge_params, numeric_matrix

# Read when the library's OpenMP loads. Threads that spin while they wait made training seven times slower on two cores
# that other processes were using too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import xgboost as xgb

DEFAULTS: dict[str, Any] = {
    "rounds": 400,
    "learning_rate": 0.05,
    "max_depth": 6,
    "min_child_weight": 1.0,
    "subsample": 0.8,
    "colsample": 0.8,
    "reg_lambda": 1.0,
    "max_bin": 256,
    "early_stopping_rounds": 40,
    "threads": 2,  # fixed, not the machine's: histogram sums, and so the trees, can differ with it
}
DEFAULT_LEVELS = (0.025, 0.05, 0.1, 0.16, 0.25, 0.5, 0.75, 0.84, 0.9, 0.95, 0.975)


def balanced_weights(codes: np.ndarray, power: float) -> np.ndarray:
    """Weight of each row, mean 1: (1 / size of its class) ** power; 0 is no weighting, 1 full balance."""
    counts = np.bincount(codes)
    weight = counts[codes].astype(np.float64) ** -power
    return weight / weight.mean()


def train_booster(
    params: Mapping[str, Any],
    objective: Mapping[str, Any],
    train: xgb.DMatrix,
    validation: xgb.DMatrix | None,
    seed: int,
) -> tuple[xgb.Booster, dict[str, Any]]:
    """Booster cut back to its best round, and its history."""
    settings = {
        "booster": "gbtree",
        "tree_method": "hist",
        "learning_rate": params["learning_rate"],
        "max_depth": params["max_depth"],
        "min_child_weight": params["min_child_weight"],
        "subsample": params["subsample"],
        "colsample_bytree": params["colsample"],
        "lambda": params["reg_lambda"],
        "max_bin": params["max_bin"],
        "nthread": params["threads"],
        "seed": seed,
        "verbosity": 0,
        **objective,
    }
    log: dict[str, dict[str, list[float]]] = {}
    booster = xgb.train(
        settings,
        train,
        num_boost_round=params["rounds"],
        evals=[(validation, "validation")] if validation is not None else [],
        early_stopping_rounds=params["early_stopping_rounds"] if validation is not None else None,
        evals_result=log,
        verbose_eval=False,
    )
    losses = next(iter(log.get("validation", {}).values()), [])
    if not losses:
        return booster, {"rounds": params["rounds"], "validation_loss": None}
    best = int(booster.best_iteration)
    return booster[: best + 1], {"rounds": best + 1, "validation_loss": float(losses[best])}


class _ClassHead:
    """Softmax classifier of one target."""

    kind = "class"

    def __init__(self, params: Mapping[str, Any], booster: xgb.Booster | None = None) -> None:
        self.params, self.booster = params, booster
        self.classes: tuple[str, ...] = ()

    def fit(
        self,
        matrix: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray | None,
        validation: tuple[np.ndarray, np.ndarray] | None,
        seed: int,
    ) -> dict[str, Any]:
        codes, self.classes = encode_labels(y)
        if len(self.classes) < 2:
            raise InputError(f"a classifier needs two classes or more; the labels have {self.classes}")
        known = codes >= 0
        weights = balanced_weights(codes[known], self.params["class_weight_power"])
        if weight is not None:
            weights = weights * np.asarray(weight)[known]
        train = xgb.DMatrix(matrix[known], label=codes[known], weight=weights)
        held = None
        if validation is not None:
            held_codes, _ = encode_labels(validation[1], self.classes)
            if (held_codes >= 0).any():
                held = xgb.DMatrix(validation[0][held_codes >= 0], label=held_codes[held_codes >= 0])
        objective = {"objective": "multi:softprob", "num_class": len(self.classes), "eval_metric": "mlogloss"}
        self.booster, history = train_booster(self.params, objective, train, held, seed)
        return history

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        assert self.booster is not None
        p = self.booster.inplace_predict(matrix).reshape(len(matrix), len(self.classes)).astype(np.float64)
        return p / p.sum(axis=1, keepdims=True)


class _QuantileHead:
    """Several quantiles of one number at once (pinball loss)."""

    kind = "quantile"

    def __init__(self, params: Mapping[str, Any], booster: xgb.Booster | None = None) -> None:
        self.params, self.booster = params, booster
        self.centre, self.scale = 0.0, 1.0
        self.classes: tuple[str, ...] = ()

    @property
    def log(self) -> bool:
        return bool(self.params["log_target"])

    def _forward(self, y: np.ndarray) -> np.ndarray:
        return ((np.log10(y) if self.log else y) - self.centre) / self.scale

    def fit(
        self,
        matrix: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray | None,
        validation: tuple[np.ndarray, np.ndarray] | None,
        seed: int,
    ) -> dict[str, Any]:
        values = np.asarray(y, dtype=np.float64)
        known = np.isfinite(values)
        if known.sum() < 2:
            raise InputError("a regressor needs two labelled rows or more")
        if self.log and (values[known] <= 0).any():
            raise InputError("log_target: the target has values that are not positive")
        # unit scale and zero centre: single precision inside XGBoost is then no limit
        plain = np.log10(values[known]) if self.log else values[known]
        self.centre = float(np.median(plain))
        self.scale = float(np.std(plain)) or 1.0
        train = xgb.DMatrix(
            matrix[known], label=self._forward(values[known]), weight=None if weight is None else weight[known]
        )
        held = None
        if validation is not None:
            target = np.asarray(validation[1], dtype=np.float64)
            usable = np.isfinite(target) & ((target > 0) | (not self.log))
            if usable.any():
                held = xgb.DMatrix(validation[0][usable], label=self._forward(target[usable]))
        objective = {"objective": "reg:quantileerror", "quantile_alpha": list(self.params["levels"])}
        self.booster, history = train_booster(self.params, objective, train, held, seed)
        return history

    def predict(self, matrix: np.ndarray) -> Quantiles:
        assert self.booster is not None
        levels = np.asarray(self.params["levels"], dtype=np.float64)
        raw = self.booster.inplace_predict(matrix).reshape(len(matrix), len(levels)).astype(np.float64)
        # each level has its own trees, so they may cross; sorting is the rearrangement of Chernozhukov et al. (2010)
        values = np.sort(raw, axis=1) * self.scale + self.centre
        return Quantiles(levels, 10**values if self.log else values)


class _Boosted(Model):
    """What the boosted models share: heads by target."""

    family = "tabular"
    kind = "tabular"
    libraries = ("xgboost-cpu", "numpy")

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self._heads = self._make_heads()

    @abstractmethod
    def _make_heads(self) -> dict[str, _ClassHead | _QuantileHead]:
        """Unfitted head per target."""

    @property
    def heads(self) -> Mapping[str, _ClassHead | _QuantileHead]:
        """Booster of each target, with what its answers are scaled by."""
        return self._heads

    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        matrix = numeric_matrix(X, self.features)
        held = None if validation is None else numeric_matrix(validation[0], self.features)
        self.seed, self.history = seed, {}
        for target, head in self._heads.items():
            labels = labels_of(y, target, self.targets, len(matrix))
            kept = None
            if held is not None and validation is not None:
                kept = held, labels_of(validation[1], target, self.targets, len(held))
            self.history[target] = head.fit(matrix, labels, sample_weight, kept, seed)
            if head.kind == "class":
                self.classes[target] = head.classes
        return self

    def _head(self, target: str | None, kind: str) -> _ClassHead | _QuantileHead:
        fitting = [name for name, head in self._heads.items() if head.kind == kind]
        name = fitting[0] if target is None and len(fitting) == 1 else target
        if name not in fitting:
            raise InputError(f"{self.architecture}: no {kind} target {target!r}; it has {fitting or 'none'}")
        head = self._heads[name]
        if head.booster is None:
            raise InputError(f"{self.architecture}: not fitted yet")
        return head

    def predict_proba(self, X: pa.Table, target: str | None = None) -> np.ndarray:
        return self._head(target, "class").predict(numeric_matrix(X, self.features))  # type: ignore[return-value]

    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        return self._head(target, "quantile").predict(numeric_matrix(X, self.features))  # type: ignore[return-value]

    def use_threads(self, threads: int) -> None:
        for head in self._heads.values():
            if head.booster is not None:
                head.booster.set_param({"nthread": threads})

    def _write(self, folder: Path) -> dict[str, Any]:
        state: dict[str, Any] = {"heads": {}}
        for number, (target, head) in enumerate(self._heads.items()):
            if head.booster is None:
                raise InputError(f"{self.architecture}: cannot save, it is not fitted yet")
            name = f"head{number}.ubj"
            head.booster.save_model(folder / name)
            state["heads"][target] = {"file": name, "kind": head.kind}
            if isinstance(head, _QuantileHead):
                state["heads"][target] |= {"centre": head.centre, "scale": head.scale}
        return state

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        for target, about in state["heads"].items():
            head = self._heads[target]
            head.booster = xgb.Booster({"nthread": head.params["threads"]})
            head.booster.load_model(folder / about["file"])
            if isinstance(head, _QuantileHead):
                head.centre, head.scale = about["centre"], about["scale"]
            else:
                head.classes = self.classes[target]


class XgbClassifier(_Boosted):
    """Boosted classifier of one target.

    Parameters beside `DEFAULTS`: `class_weight_power`, 0 (off) to 1 (classes weigh the same).
    """

    architecture = "xgb_classifier"

    def _make_heads(self) -> dict[str, _ClassHead | _QuantileHead]:
        (target,) = self.targets
        return {
            target: _ClassHead(merge_params(self.architecture, {**DEFAULTS, "class_weight_power": 0.0}, self.params))
        }


class XgbQuantile(_Boosted):
    """Boosted quantile regressor of one target.

    Parameters beside `DEFAULTS`: `levels` (probabilities of the quantiles), `log_target` (fit log10 of the target).
    """

    architecture = "xgb_quantile"

    def _make_heads(self) -> dict[str, _ClassHead | _QuantileHead]:
        (target,) = self.targets
        extra = {"levels": list(DEFAULT_LEVELS), "log_target": False}
        return {target: _QuantileHead(merge_params(self.architecture, {**DEFAULTS, **extra}, self.params))}


class XgbMultiTask(_Boosted):
    """Several targets from the same features; a row counts for the targets that it has labels for.

    Parameters
    ----------
    heads : dict
        Target to `{"kind": "class" | "quantile", **parameters of that kind}`.
    **shared
        `DEFAULTS` for all heads.
    """

    architecture = "xgb_multitask"

    def _make_heads(self) -> dict[str, _ClassHead | _QuantileHead]:
        shared = {name: value for name, value in self.params.items() if name != "heads"}
        wanted = self.params.get("heads") or {}
        if set(wanted) != set(self.targets):
            raise InputError(f"{self.architecture}: heads {sorted(wanted)} are not the targets {sorted(self.targets)}")
        heads: dict[str, _ClassHead | _QuantileHead] = {}
        for target in self.targets:
            own = dict(wanted[target])
            kind = own.pop("kind", None)
            if kind == "class":
                defaults = {**DEFAULTS, "class_weight_power": 0.0}
                heads[target] = _ClassHead(merge_params(self.architecture, defaults, {**shared, **own}))
            elif kind == "quantile":
                defaults = {**DEFAULTS, "levels": list(DEFAULT_LEVELS), "log_target": False}
                heads[target] = _QuantileHead(merge_params(self.architecture, defaults, {**shared, **own}))
            else:
                raise InputError(f"{self.architecture}: head {target}: kind {kind!r} is not class or quantile")
        return heads
