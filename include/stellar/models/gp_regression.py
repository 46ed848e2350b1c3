"""A number from a few columns by Gaussian processes, one for each set of columns that a row may have.

Catalogues lack whole bands where one survey ends and another begins. Filling them in would have the process believe
what nobody measured; here each *view*, a list of columns, has a process of its own, which learns from every example
that has them all. A row is predicted by the first view, in the order of the configuration, whose columns it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from stellar.errors import InputError, IntegrityError
from stellar.models.base import Labels, Model, Quantiles, labels_of, merge_params, numeric_matrix
from stellar.models.matern_process import Process, learn, search
from stellar.models.residual_spread import ResidualSpread

WEIGHTS_FILE = "processes.npz"
BATCH = 2000  # rows predicted at once: with `max_rows` examples about 100 MB
CLIP = 6.0  # an input is believed this many standard deviations from the examples' median
LEVELS = (0.025, 0.05, 0.1, 0.16, 0.25, 0.5, 0.75, 0.84, 0.9, 0.95, 0.975)
DEFAULTS: dict[str, Any] = {
    "views": [],  # lists of columns, the best first; empty: all of them at once
    "log_target": False,  # learn log10 of the target
    "levels": list(LEVELS),
    "freedom": 4.0,  # degrees of freedom of the noise's Student's t; null: normal noise
    "min_rows": 30,  # a view with fewer examples is not made
    "max_rows": 3000,  # work grows with the third power; beyond it examples are drawn at random
    "search_rows": 500,  # for the hyper-parameters
    "iterations": 50,
}


@dataclass(frozen=True)
class View:
    """One view's process, how its inputs are scaled, and how far its predictions miss."""

    columns: list[int]
    centre: np.ndarray
    width: np.ndarray
    limits: np.ndarray  # lowest and highest standardised label
    process: Process
    spread: ResidualSpread

    def scaled(self, matrix: np.ndarray) -> np.ndarray:
        return np.clip((matrix[:, self.columns] - self.centre) / self.width, -CLIP, CLIP)

    def quantiles(self, matrix: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Standardised quantiles, float64[n, q]."""
        mean, variance = self.process.predict(self.scaled(matrix))
        # beyond the labels a trend means little: such a row is reported at their edge
        mean = np.clip(mean, *self.limits)
        width = self.spread.width(_signs(mean, variance))
        return mean[:, None] + width[:, None] * self.spread.quantiles(levels)[None, :]


def _signs(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """What tells how far a prediction may be off: the process's own deviation, and the value."""
    return np.column_stack([0.5 * np.log(variance), mean])


class GPRegression(Model):
    """Gaussian processes of one target; parameters are `DEFAULTS`.

    Each view's intervals come from what its examples are predicted by the others (`ResidualSpread`), and are wide where
    the process is unsure. A row that has no view's columns gets the quantiles of the labels. `validation` is not used:
    nothing is stopped early.
    """

    architecture = "gp_regression"
    family = "tabular"
    kind = "tabular"
    libraries = ("numpy", "scipy")

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        self._plans = [list(view) for view in self.settings["views"]] or [list(self.features)]
        if any(not view for view in self._plans):
            raise InputError(f"{self.architecture}: a view is empty; name its columns")
        unknown = sorted({name for view in self._plans for name in view} - set(self.features))
        if unknown:
            raise InputError(f"{self.architecture}: a view reads {', '.join(unknown)}, not among the features")
        levels = np.asarray(self.settings["levels"], dtype=np.float64)
        if not len(levels) or (np.diff(levels) <= 0).any() or levels[0] <= 0 or levels[-1] >= 1:
            raise InputError(f"{self.architecture}: levels must increase within 0 and 1; they are {levels.tolist()}")
        self.levels = levels
        self.views: list[View] = []
        self.scale = (0.0, 1.0)
        self.fallback: np.ndarray | None = None

    # -- learning ----------------------------------------------------------------------------------------------------
    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        (target,) = self.targets
        matrix, values = self._matrix(X), self._forward(labels_of(y, target, self.targets, X.num_rows), target)
        weight = np.ones(X.num_rows) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        known = np.isfinite(values) & (weight > 0)
        if known.sum() < self.settings["min_rows"]:
            raise InputError(f"{target}: {known.sum()} labelled rows; it takes {self.settings['min_rows']} (min_rows)")
        self.scale = float(values[known].mean()), float(values[known].std()) or 1.0
        z = (values - self.scale[0]) / self.scale[1]
        self.fallback = np.quantile(z[known], self.levels)
        rng = np.random.default_rng(seed)
        self.views = []
        for plan in self._plans:
            columns = [self.features.index(name) for name in plan]
            rows = np.flatnonzero(known & np.isfinite(matrix[:, columns]).all(axis=1))
            if len(rows) >= self.settings["min_rows"]:
                self.views.append(
                    self._view(columns, matrix, z, weight, _drawn(rows, self.settings["max_rows"], rng), rng)
                )
        if not self.views:
            raise InputError(f"{target}: no view has {self.settings['min_rows']} examples with all its columns")
        self.seed = seed
        return self

    def _view(
        self, columns: list[int], matrix: np.ndarray, z: np.ndarray, weight: np.ndarray, rows: np.ndarray,
        rng: np.random.Generator,
    ) -> View:  # fmt: skip
        own, labels = matrix[rows][:, columns], z[rows]
        centre, width = np.median(own, axis=0), own.std(axis=0)
        width = np.where(width > 0, width, 1.0)
        inputs = np.clip((own - centre) / width, -CLIP, CLIP)
        trust = weight[rows] / weight[rows].mean()
        tried = _drawn(np.arange(len(rows)), self.settings["search_rows"], rng)
        theta = search(inputs[tried], labels[tried], trust[tried], iterations=self.settings["iterations"])
        process, left_out = learn(theta, inputs, labels, trust, self.settings["freedom"])
        limits = np.array([labels.min(), labels.max()])
        mean = np.clip(left_out.mean, *limits)
        spread = ResidualSpread.fit(labels - mean, _signs(mean, left_out.variance), trust)
        view = View(columns, centre, width, limits, process, spread)
        name = f"view_{len(self.views) + 1}"
        lengths = np.exp(theta[1 : len(columns) + 1])
        self.history[name] = {
            "examples": len(rows),
            "left_out_error": float(np.abs(labels - mean).mean() * self.scale[1]),
            "lengths": {
                self.features[column]: round(float(one), 4) for column, one in zip(columns, lengths, strict=True)
            },
        }
        return view

    def _matrix(self, X: pa.Table) -> np.ndarray:
        return numeric_matrix(X, self.features).astype(np.float64)

    def _forward(self, values: np.ndarray, target: str) -> np.ndarray:
        numbers = np.asarray(values, dtype=np.float64)
        if not self.settings["log_target"]:
            return numbers
        if (numbers <= 0).any():
            raise InputError(f"{target}: log_target needs labels above 0; the smallest is {np.nanmin(numbers):g}")
        return np.log10(numbers)

    # -- prediction --------------------------------------------------------------------------------------------------
    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        if target not in (None, self.targets[0]):
            raise InputError(f"{self.architecture}: no target {target!r}; it has {self.targets[0]}")
        if self.fallback is None:
            raise InputError(f"{self.architecture}: not fitted yet")
        matrix = self._matrix(X)
        values = np.tile(self.fallback, (X.num_rows, 1))
        left = np.ones(X.num_rows, dtype=bool)
        for view in self.views:
            rows = np.flatnonzero(left & np.isfinite(matrix[:, view.columns]).all(axis=1))
            for start in range(0, len(rows), BATCH):
                some = rows[start : start + BATCH]
                values[some] = view.quantiles(matrix[some], self.levels)
            left[rows] = False
        values = values * self.scale[1] + self.scale[0]
        return Quantiles(self.levels, 10**values if self.settings["log_target"] else values)

    # -- files -------------------------------------------------------------------------------------------------------
    def _write(self, folder: Path) -> dict[str, Any]:
        if self.fallback is None:
            raise InputError(f"{self.architecture}: cannot save, it is not fitted yet")
        arrays: dict[str, np.ndarray] = {"fallback": self.fallback}
        for number, view in enumerate(self.views):
            arrays |= {f"{number}.{name}": getattr(view, name) for name in ("centre", "width", "limits")}
            arrays |= {f"{number}.process.{name}": getattr(view.process, name) for name in _PROCESS}
            arrays |= {f"{number}.spread.{name}": part for name, part in view.spread.arrays().items()}
        with (folder / WEIGHTS_FILE).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]
        return {"views": [view.columns for view in self.views], "scale": list(self.scale)}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        path = folder / WEIGHTS_FILE
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            self.fallback = arrays["fallback"]
            self.scale = float(state["scale"][0]), float(state["scale"][1])
            self.views = [
                View(
                    list(columns), *(arrays[f"{number}.{name}"] for name in ("centre", "width", "limits")),
                    Process(**{name: arrays[f"{number}.process.{name}"] for name in _PROCESS}),
                    ResidualSpread(**{name: arrays[f"{number}.spread.{name}"] for name in ResidualSpread.NAMES}),
                )
                for number, columns in enumerate(state["views"])
            ]  # fmt: skip
        except (OSError, ValueError, KeyError) as error:
            raise IntegrityError(f"{path}: not readable ({error}); train the model again") from error


_PROCESS = ("theta", "inputs", "alpha", "trust")


def _drawn(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` of the rows, in their order."""
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
