"""Targets of a network: how labels go in, which loss they make, and how outputs become distributions.

A class is a softmax over logits. A quantity is a Gaussian whose mean and log variance the network gives (Nix & Weigend
1994), of the value or of its log10. A row without a label for a target has weight 0 in that target's loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.models.base import Quantiles, encode_labels, merge_params, numeric_matrix
from stellar.models.xgb import DEFAULT_LEVELS, balanced_weights

CLASS_DEFAULTS: dict[str, Any] = {
    "weight": 1.0,  # of this target's loss among the others
    "class_weight_power": 0.5,  # 0: rows weigh the same, 1: classes weigh the same
    "focal_gamma": 0.0,  # Lin et al. (2017): rows that are right already count (1 - p)^gamma
    "label_smoothing": 0.0,
}
QUANTITY_DEFAULTS: dict[str, Any] = {
    "weight": 1.0,
    "log": False,  # fit log10 of the target: its quantiles are then log-normal
    "beta": 0.5,  # Seitzer et al. (2022): 0 is the plain likelihood, 1 fits the mean as least squares would
    "error_column": None,  # column of the training frame with each label's known error, added to the variance
    "levels": list(DEFAULT_LEVELS),
}
LOG_VARIANCE = (-9.0, 5.0)  # of a standardised target: from 1% of its spread to twelve times it
LN_10 = float(np.log(10.0))


class Head(ABC):
    """One target of a network; `kind` is class or quantity."""

    kind: str

    def __init__(self, target: str, params: Mapping[str, Any]) -> None:
        self.target, self.params = target, dict(params)
        self.classes: tuple[str, ...] = ()
        self.outputs = 0

    @abstractmethod
    def learn(self, labels: np.ndarray) -> None:
        """Classes, or centre and scale, of the training labels."""

    @abstractmethod
    def encode(self, labels: np.ndarray, X: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Float32[n, 2] that the loss reads, and bool[n] of rows that have a label."""

    def balance(self, codes: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Weight of each row in the loss, mean 1 over the rows with a label."""
        return known.astype(np.float64)

    @abstractmethod
    def loss(self, keras: Any) -> Any:
        """Function of (encoded labels, outputs) that gives one loss per row."""

    @abstractmethod
    def score(self, encoded: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Plain negative log likelihood per row, float64[n]: what early stopping watches."""

    def state(self) -> dict[str, Any]:
        return {"kind": self.kind}

    @abstractmethod
    def restore(self, state: Mapping[str, Any], classes: Sequence[str]) -> None:
        """Undo `state`."""


class ClassHead(Head):
    """Softmax over the classes of the training labels."""

    kind = "class"

    def learn(self, labels: np.ndarray) -> None:
        _, self.classes = encode_labels(labels)
        if len(self.classes) < 2:
            raise InputError(f"{self.target}: a classifier needs two classes or more; the labels have {self.classes}")
        self.outputs = len(self.classes)

    def encode(self, labels: np.ndarray, X: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        codes, _ = encode_labels(labels, self.classes)
        known = codes >= 0
        return np.stack([np.where(known, codes, 0), np.zeros(len(codes))], axis=1).astype(np.float32), known

    def balance(self, codes: np.ndarray, known: np.ndarray) -> np.ndarray:
        weight = np.zeros(len(known))
        weight[known] = balanced_weights(codes[known, 0].astype(np.int64), self.params["class_weight_power"])
        return weight

    def loss(self, keras: Any) -> Any:
        ops, k = keras.ops, self.outputs
        gamma, smoothing = self.params["focal_gamma"], self.params["label_smoothing"]

        def class_loss(encoded: Any, logits: Any) -> Any:
            log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
            truth = ops.one_hot(ops.cast(encoded[:, 0], "int32"), k) * (1 - smoothing) + smoothing / k
            if gamma:
                log_p = log_p * (1 - ops.exp(log_p)) ** gamma
            return -ops.sum(truth * log_p, axis=-1)

        return class_loss

    def score(self, encoded: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        log_p = log_softmax(outputs)
        return -log_p[np.arange(len(outputs)), encoded[:, 0].astype(np.int64)]

    def restore(self, state: Mapping[str, Any], classes: Sequence[str]) -> None:
        self.classes, self.outputs = tuple(classes), len(classes)


class QuantityHead(Head):
    """Gaussian of the standardised target, or of its log10."""

    kind = "quantity"

    def __init__(self, target: str, params: Mapping[str, Any]) -> None:
        super().__init__(target, params)
        self.outputs, self.centre, self.scale = 2, 0.0, 1.0

    def learn(self, labels: np.ndarray) -> None:
        values = self._values(labels)
        known = np.isfinite(values)
        if known.sum() < 2:
            raise InputError(f"{self.target}: a quantity needs two labelled rows or more")
        self.centre, self.scale = float(np.median(values[known])), float(np.std(values[known])) or 1.0

    def _values(self, labels: np.ndarray) -> np.ndarray:
        try:
            values = np.asarray(labels, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.target}: a quantity's labels are numbers ({error})") from error
        if not self.params["log"]:
            return values
        if (values <= 0).any():
            raise InputError(f"{self.target}: log: row {int(np.flatnonzero(values <= 0)[0])} is not above 0")
        return np.log10(values)

    def encode(self, labels: np.ndarray, X: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        values = self._values(labels)
        known = np.isfinite(values)
        noise = np.zeros(len(values))
        if (column := self.params["error_column"]) is not None and column in X.column_names:
            error = numeric_matrix(X, [column])[:, 0].astype(np.float64)
            if self.params["log"]:  # first order: sigma(log10 y) = sigma(y) / (y ln 10)
                error = error / (10.0**values * LN_10)
            noise = np.nan_to_num(error / self.scale) ** 2
        standard = np.where(known, (values - self.centre) / self.scale, 0.0)
        return np.stack([standard, np.where(known, noise, 0.0)], axis=1).astype(np.float32), known

    def loss(self, keras: Any) -> Any:
        ops, beta = keras.ops, self.params["beta"]

        def gaussian_loss(encoded: Any, outputs: Any) -> Any:
            outputs = ops.cast(outputs, "float32")
            variance = ops.exp(ops.clip(outputs[:, 1], *LOG_VARIANCE)) + encoded[:, 1]
            loss = 0.5 * (ops.log(variance) + (encoded[:, 0] - outputs[:, 0]) ** 2 / variance)
            return loss * ops.stop_gradient(variance) ** beta if beta else loss

        return gaussian_loss

    def score(self, encoded: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        mean, variance = outputs[:, 0].astype(np.float64), self._variance(outputs) + encoded[:, 1]
        return 0.5 * (np.log(variance) + (encoded[:, 0] - mean) ** 2 / variance)

    @staticmethod
    def _variance(outputs: np.ndarray) -> np.ndarray:
        return np.exp(np.clip(outputs[..., 1].astype(np.float64), *LOG_VARIANCE))

    def moments(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the target (its log10 if `log`) from outputs [..., 2]."""
        return outputs[..., 0].astype(np.float64) * self.scale + self.centre, self._variance(outputs) * self.scale**2

    def quantiles(self, samples: np.ndarray) -> Quantiles:
        """Of samples [s, n, 2] of the network: a Gaussian with the mixture's mean and variance."""
        mean, variance = self.moments(samples)
        total = variance.mean(axis=0) + mean.var(axis=0)
        levels = np.asarray(self.params["levels"], dtype=np.float64)
        z = np.array([NormalDist().inv_cdf(level) for level in levels])
        values = mean.mean(axis=0)[:, None] + np.sqrt(total)[:, None] * z
        return Quantiles(levels, 10.0**values if self.params["log"] else values)

    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "centre": self.centre, "scale": self.scale}

    def restore(self, state: Mapping[str, Any], classes: Sequence[str]) -> None:
        self.centre, self.scale = float(state["centre"]), float(state["scale"])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log of the softmax over the last axis, float64."""
    z = np.asarray(logits, dtype=np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def probabilities(samples: np.ndarray) -> np.ndarray:
    """Mean of the softmax of logits [s, n, k] over the samples; rows sum to 1."""
    p = np.exp(log_softmax(samples)).mean(axis=0)
    return p / p.sum(axis=1, keepdims=True)


def decompose(head: Head, samples: np.ndarray) -> dict[str, np.ndarray]:
    """Epistemic and aleatoric uncertainty of samples [s, n, outputs] of a network.

    Classes: the entropy of the mean is the mean entropy (aleatoric) and the mutual information of class and network
    (epistemic), in nats (Depeweg et al. 2018, eq. 8). Quantities: the mean of the variances and the variance of the
    means (ibid., eq. 9), in squares of the target's unit; dex^2 for a head with `log`.
    """
    if isinstance(head, QuantityHead):
        mean, variance = head.moments(samples)
        return {"epistemic": mean.var(axis=0), "aleatoric": variance.mean(axis=0)}
    log_p = log_softmax(samples)
    mean = np.exp(log_p).mean(axis=0)
    total = -(mean * np.log(np.maximum(mean, 1e-300))).sum(axis=1)
    aleatoric = -(np.exp(log_p) * log_p).sum(axis=2).mean(axis=0)
    return {"epistemic": np.maximum(total - aleatoric, 0.0), "aleatoric": aleatoric}


def make_heads(architecture: str, targets: Sequence[str], wanted: Mapping[str, Any] | None) -> dict[str, Head | None]:
    """Head per target; None where nothing is said of a target, and its labels will tell (see `head_for`)."""
    wanted = dict(wanted or {})
    if strange := sorted(set(wanted) - set(targets)):
        raise InputError(f"{architecture}: heads {', '.join(strange)} are not among the targets {', '.join(targets)}")
    heads: dict[str, Head | None] = {}
    for target in targets:
        own = dict(wanted.get(target) or {})
        kind = own.pop("kind", None)
        if kind is None and not own:
            heads[target] = None
        elif kind == "class":
            heads[target] = ClassHead(target, merge_params(f"{architecture}: head {target}", CLASS_DEFAULTS, own))
        elif kind == "quantity":
            heads[target] = QuantityHead(target, merge_params(f"{architecture}: head {target}", QUANTITY_DEFAULTS, own))
        else:
            raise InputError(f"{architecture}: head {target}: kind {kind!r} is not class or quantity")
    return heads


def head_for(target: str, labels: np.ndarray, shared: Mapping[str, Any]) -> Head:
    """Head of a target by its labels: numbers are a quantity (temperatures in log), all else is a class."""
    known = [label for label in np.asarray(labels, dtype=object) if label is not None and label == label]
    if known and all(isinstance(label, int | float | np.number) for label in known):
        return QuantityHead(target, {**QUANTITY_DEFAULTS, "log": target.startswith("teff")})
    return ClassHead(target, {**CLASS_DEFAULTS, **shared})
