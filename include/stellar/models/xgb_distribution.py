"""Boosted trees for the whole predictive distribution of one number, at the cost of a few hundred trees.

Three boosters in a row: where the target lies; how wide its residuals are; and the shape of the residuals in units of
that width, as the probability to lie below each of a few cuts, all cuts in one leaf (distribution regression, Foresi &
Peracchi 1995, J. Am. Stat. Assoc. 90, 451). The last two learn from rows that the first one did not see: of a large
table a part that is held back, of a small one each fold in its turn. Quantile by quantile boosting takes as many trees
for every level as this takes for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.kernels import kernel
from stellar.models.base import Labels, Model, Quantiles, labels_of, merge_params, numeric_matrix
from stellar.models.xgb import DEFAULTS, train_booster, xgb

#: `width_*` and `shape_*` are of the second and third booster. For `folds` and `held_share` see `few_rows`.
OWN_DEFAULTS: dict[str, Any] = {
    "loss": "squared",
    "log_target": False,
    "levels": [0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995],
    "width_rounds": 60,
    "width_learning_rate": 0.1,
    "width_max_depth": 5,
    "width_min_child_weight": 50.0,
    "shape_rounds": 60,
    "shape_learning_rate": 0.1,
    "shape_max_depth": 4,
    "shape_min_child_weight": 100.0,
    "few_rows": 50_000,  # up to so many the residuals come from `folds`, beyond from a `held_share` of the rows
    "folds": 5,
    "held_share": 0.25,
}
LOSSES = {"squared": "reg:squarederror", "absolute": "reg:absoluteerror", "huber": "reg:pseudohubererror"}
STAGES = ("location", "width", "shape")
#: Probabilities at which the standardised residuals are cut for the third booster.
CUTS = (0.002, 0.01, 0.025, 0.05, 0.1, 0.18, 0.28, 0.39, 0.5, 0.61, 0.72, 0.82, 0.9, 0.95, 0.975, 0.99, 0.998)
FEWEST_BEYOND = 1e-4  # probability that a tail has at least
FLOOR = 1e-3  # of the residuals' mean size: what is smaller has no logarithm to learn from
FEWEST = 20


class XgbDistribution(Model):
    """Location and quantiles of its residuals; parameters are `DEFAULTS` and `OWN_DEFAULTS`.

    With `log_target` both are of the logarithm (base 10) of the target.
    """

    architecture = "xgb_distribution"
    family = "tabular"
    kind = "tabular"
    libraries = ("xgboost-cpu", "numpy")

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self.settings = merge_params(self.architecture, {**DEFAULTS, **OWN_DEFAULTS}, self.params)
        if len(self.targets) != 1:
            raise InputError(f"{self.architecture}: it predicts one target, not {len(self.targets)}")
        if self.settings["loss"] not in LOSSES:
            raise InputError(f"{self.architecture}: loss {self.settings['loss']!r}; known are {', '.join(LOSSES)}")
        self.levels = np.asarray(self.settings["levels"], dtype=np.float64)
        if len(self.levels) < 3 or (np.diff(self.levels) <= 0).any() or not 0 < self.levels[0] < self.levels[-1] < 1:
            raise InputError(f"{self.architecture}: `levels` are three or more rising numbers between 0 and 1")
        self.centre, self.scale = 0.0, 1.0
        self.cuts = np.zeros(0)
        self.boosters: dict[str, xgb.Booster] = {}

    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        matrix, target = self._known(X, y)
        if len(target) < FEWEST:
            raise InputError(f"{self.targets[0]}: {len(target)} labelled rows are too few; it needs {FEWEST}")
        weight = None if sample_weight is None else sample_weight[self._rows]
        # unit scale and zero centre: single precision inside XGBoost is then no limit
        self.centre, self.scale = float(np.median(target)), float(np.std(target)) or 1.0
        target = (target - self.centre) / self.scale
        held = None
        if validation is not None:
            held_matrix, held_target = self._known(*validation)
            held = (held_matrix, (held_target - self.centre) / self.scale) if len(held_target) else None
        rows, place, history = self._fit_location(matrix, target, weight, held, seed)
        self.history = {"location": history}
        self._fit_residuals(_with(matrix[rows], place), target[rows] - place,
                            None if weight is None else weight[rows], seed)  # fmt: skip
        self.seed = seed
        return self

    def _fit_residuals(self, inputs: np.ndarray, residual: np.ndarray, weight: np.ndarray | None, seed: int) -> None:
        """Learn width and shape of the residuals; `inputs` have the location as their last column."""
        size = np.abs(residual)
        label = np.log(np.maximum(size, max(FLOOR * size.mean(), 1e-12)))
        data = _data(inputs, label, weight, self.settings)
        self._boost("width", data, {"objective": LOSSES["squared"]}, seed + 1)
        z = residual / self._width(inputs)
        self.cuts = np.unique(np.quantile(z, CUTS))
        if len(self.cuts) < 2:  # residuals that are all one number
            self.cuts = self.cuts[0] + np.array([-0.5, 0.5]) * FLOOR
        data = _data(inputs, (z[:, None] <= self.cuts).astype(np.float32), weight, self.settings)
        self._boost("shape", data, {"objective": LOSSES["squared"], "multi_strategy": "multi_output_tree"}, seed + 2)

    def _boost(self, stage: str, data: xgb.DMatrix, objective: Mapping[str, Any], seed: int) -> None:
        settings = {name: self.settings.get(f"{stage}_{name}", value) for name, value in self.settings.items()}
        self.boosters[stage], self.history[stage] = train_booster(settings, objective, data, None, seed)

    def _known(self, X: pa.Table, y: Labels) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and (logarithmic) target of the rows whose target is known; `_rows` says which these are."""
        values = np.asarray(labels_of(y, self.targets[0], self.targets, X.num_rows), dtype=np.float64)
        usable = np.isfinite(values)
        if self.settings["log_target"]:
            if (values[usable] <= 0).any():
                raise InputError(f"log_target: {self.targets[0]} has values that are not positive")
            values = np.log10(values, where=usable, out=np.full(len(values), np.nan))
        self._rows = np.flatnonzero(usable)
        matrix = numeric_matrix(X, self.features)
        return (matrix, values) if usable.all() else (matrix[usable], values[usable])

    def _fit_location(
        self,
        matrix: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None,
        held: tuple[np.ndarray, np.ndarray] | None,
        seed: int,
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Fit where the target lies; rows with a prediction of a model that had not seen them, and these."""
        objective = {"objective": LOSSES[self.settings["loss"]]}
        stop = None if held is None else xgb.DMatrix(held[0], label=held[1])

        def booster(rows: np.ndarray) -> tuple[xgb.Booster, dict[str, Any]]:
            own = None if weight is None else weight[rows]
            data = _data(matrix[rows], target[rows], own, self.settings)
            return train_booster(self.settings, objective, data, stop, seed)

        dealt = np.random.default_rng(seed).permutation(len(target))
        if len(target) > self.settings["few_rows"]:
            out = np.sort(dealt[: int(len(target) * self.settings["held_share"])])
            seen = np.ones(len(target), dtype=bool)
            seen[out] = False
            self.boosters["location"], history = booster(np.flatnonzero(seen))
            return out, self._location(matrix[out]), history
        place = np.empty(len(target), dtype=np.float32)
        folds = self.settings["folds"]
        for fold in range(folds):
            out = dealt[fold::folds]
            self.boosters["location"], _ = booster(np.setdiff1d(dealt, out))
            place[out] = self._location(matrix[out])
        self.boosters["location"], history = booster(np.arange(len(target)))
        return np.arange(len(target)), place, history

    def _location(self, matrix: np.ndarray) -> np.ndarray:
        """Standardised location of each row, float32[n]."""
        if "location" not in self.boosters:
            raise InputError(f"{self.architecture}: not fitted yet")
        return self.boosters["location"].inplace_predict(matrix)

    def _width(self, inputs: np.ndarray) -> np.ndarray:
        """Width of the residuals, float32[n], in units of the standardised target."""
        return np.exp(self.boosters["width"].inplace_predict(inputs))

    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        return self.predict_matrix(numeric_matrix(X, self.features))

    def predict_matrix(self, matrix: np.ndarray) -> Quantiles:
        """Distributions of rows that are an array already.

        Parameters
        ----------
        matrix : float32[n, f]
            Columns as `features`, NaN where missing.
        """
        place = self._location(matrix)
        inputs = _with(matrix, place)
        below = self.boosters["shape"].inplace_predict(inputs)
        values = np.empty((len(matrix), len(self.levels)))
        quantiles_of_steps(below, self.cuts, self.levels, values)
        values *= self._width(inputs)[:, None]
        values += place[:, None]
        values *= self.scale
        values += self.centre
        return Quantiles(self.levels, np.power(10.0, values, out=values) if self.settings["log_target"] else values)

    def use_threads(self, threads: int) -> None:
        for booster in self.boosters.values():
            booster.set_param({"nthread": threads})

    def _write(self, folder: Path) -> dict[str, Any]:
        if set(self.boosters) != set(STAGES):
            raise InputError(f"{self.architecture}: cannot save, it is not fitted yet")
        for stage, booster in self.boosters.items():
            booster.save_model(folder / f"{stage}.ubj")
        return {"centre": self.centre, "scale": self.scale, "cuts": self.cuts.tolist()}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        for stage in STAGES:
            self.boosters[stage] = xgb.Booster({"nthread": self.settings["threads"]})
            self.boosters[stage].load_model(folder / f"{stage}.ubj")
        self.centre, self.scale, self.cuts = state["centre"], state["scale"], np.array(state["cuts"])


@kernel
def quantiles_of_steps(below: np.ndarray, cuts: np.ndarray, levels: np.ndarray, values: np.ndarray) -> None:
    """Quantiles of distributions that are known at some cuts, linear between them.

    Probabilities that fall from one cut to the next are raised to the largest before (Chernozhukov et al. 2010 take
    the sorted ones; of steps this keeps those that are right). Beyond the outermost cuts the tail falls off
    exponentially, with the scale that the outermost step gives.

    Parameters
    ----------
    below : float[n, k]
        Probability to lie at or below each cut.
    cuts : float64[k]
        Rising.
    levels : float64[q]
        Rising.
    values : float64[n, q]
        What is found is written here.
    """
    n, k = below.shape
    p = np.empty(k)
    for row in range(n):
        largest = 0.0
        for j in range(k):
            largest = min(max(largest, below[row, j]), 1.0)
            p[j] = largest
        j = 0
        for i in range(len(levels)):
            level = levels[i]
            while j < k and p[j] < level:
                j += 1
            if j == 0:
                tail = max(p[0], FEWEST_BEYOND)
                values[row, i] = cuts[0] + np.log(min(level / tail, 1.0)) * (cuts[1] - cuts[0])
            elif j == k:
                tail = max(1.0 - p[k - 1], FEWEST_BEYOND)
                values[row, i] = cuts[k - 1] - np.log(min((1.0 - level) / tail, 1.0)) * (cuts[k - 1] - cuts[k - 2])
            else:
                share = (level - p[j - 1]) / (p[j] - p[j - 1])
                values[row, i] = cuts[j - 1] + share * (cuts[j] - cuts[j - 1])


def _with(matrix: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.column_stack([matrix, place.astype(np.float32, copy=False)])


def _data(
    matrix: np.ndarray, label: np.ndarray, weight: np.ndarray | None, settings: Mapping[str, Any]
) -> xgb.QuantileDMatrix:
    return xgb.QuantileDMatrix(
        matrix, label=label, weight=weight, max_bin=settings["max_bin"], nthread=settings["threads"]
    )
