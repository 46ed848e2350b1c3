"""Quantile regression forests (Meinshausen 2006, J. Mach. Learn. Res. 7, 983) of extremely randomised trees.

A row's distribution is that of the labels that share its leaves, weighted as the trees do (Meinshausen's eq. 5 and 6):
it may be skewed or have two humps, and its median pays no heed to failed labels, which the mean of a forest does.
scikit-learn grows the trees; what is kept is their nodes and the examples of each leaf, as plain arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from stellar.errors import InputError, IntegrityError
from stellar.models.base import Labels, Model, Quantiles, labels_of, merge_params, numeric_matrix
from stellar.models.forest import NODE_COLUMNS, NODES_FILE, Nodes

EXAMPLES_FILE = "examples.npz"
LEVELS = (0.025, 0.05, 0.1, 0.16, 0.25, 0.5, 0.75, 0.84, 0.9, 0.95, 0.975)
WINDOW = np.linspace(-1, 1, 9)
CHUNK = 1 << 22  # (row, example) weights that are held at once: about 100 MB
DEFAULTS: dict[str, Any] = {
    "trees": 500,
    "max_features": 0.7,  # share of the features that a split chooses from
    "min_samples_leaf": 2,
    "smoothing": 0.2,  # a quantile is the mean of those around it, this far in shares of its own tail
    "log_target": False,  # learn log10 of the target
    "levels": list(LEVELS),
    "max_rows": 20000,  # examples of the forest; beyond it they are drawn at random
    "threads": 1,
}


class ForestRegression(Model):
    """A quantile regression forest of one target; parameters are `DEFAULTS`.

    Missing inputs follow the side that a tree learned for them; one that no example lacked stands for the median.
    """

    architecture = "forest_regression"
    family = "tabular"
    kind = "tabular"
    libraries = ("scikit-learn", "numpy", "scipy")

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        levels = np.asarray(self.settings["levels"], dtype=np.float64)
        if not len(levels) or (np.diff(levels) <= 0).any() or levels[0] <= 0 or levels[-1] >= 1:
            raise InputError(f"{self.architecture}: levels must increase within 0 and 1; they are {levels.tolist()}")
        if not 0 <= self.settings["smoothing"] <= 1:
            raise InputError(f"{self.architecture}: smoothing is {self.settings['smoothing']}; it lies in 0 to 1")
        self._levels = levels
        self._nodes: Nodes | None = None
        self._labels = np.zeros(0)  # increasing, as the model learned them
        self._medians = np.zeros(0)  # of the inputs that no example lacked, NaN for the others
        self._leaves = np.zeros((0, 0), dtype=np.int32)  # of each example, in the order of the labels, by tree

    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        from sklearn.ensemble import ExtraTreesRegressor

        own = self.settings
        (target,) = self.targets
        labels = np.asarray(labels_of(y, target, self.targets, X.num_rows), dtype=np.float64)
        known = np.flatnonzero(np.isfinite(labels))
        if len(known) < 2:
            raise InputError(f"{target}: {len(known)} labelled rows; a forest takes 2 or more")
        if own["log_target"]:
            if labels[known].min() <= 0:
                raise InputError(f"{target}: log_target needs labels above 0; the smallest is {labels[known].min():g}")
            labels = np.log10(labels, where=labels > 0, out=np.full(len(labels), np.nan))
        if len(known) > own["max_rows"]:
            known = np.random.default_rng(seed).choice(known, own["max_rows"], replace=False)
        known = known[np.argsort(labels[known], kind="stable")]
        matrix = numeric_matrix(X, self.features)[known]
        self._medians = np.where(np.isfinite(matrix).all(axis=0), np.median(matrix, axis=0), np.nan)
        weight = None if sample_weight is None else np.asarray(sample_weight)[known]
        forest = ExtraTreesRegressor(
            n_estimators=own["trees"],
            max_features=own["max_features"],
            min_samples_leaf=own["min_samples_leaf"],
            n_jobs=own["threads"],
            random_state=seed,
        )
        self._nodes = Nodes.of(forest.fit(matrix, labels[known], sample_weight=weight).estimators_)
        self._labels, self._leaves, self.seed = labels[known], self._nodes.leaves(matrix), seed
        self.history = {"trees": own["trees"], "nodes": len(self._nodes.left), "examples": len(known)}
        return self

    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        if target not in (None, self.targets[0]):
            raise InputError(f"{self.architecture}: no target {target!r}; it has {self.targets[0]}")
        if self._nodes is None:
            raise InputError(f"{self.architecture}: not fitted yet")
        matrix = numeric_matrix(X, self.features)
        matrix = np.where(np.isnan(matrix), self._medians.astype(np.float32), matrix)
        count = self._leaves.max() + 1
        shares = _membership(self._leaves, count)
        # an example's share of its leaf
        shares = shares.multiply(1 / np.maximum(shares.sum(axis=0), 1)[None, :]).tocsr().T.tocsr()
        values = np.empty((len(matrix), len(self._levels)))
        step = max(1, CHUNK // len(self._labels))
        for begin in range(0, len(matrix), step):
            leaves = self._nodes.leaves(matrix[begin : begin + step])
            weights = (_membership(leaves, count) @ shares).toarray() / leaves.shape[1]
            values[begin : begin + step] = self._quantiles(weights)
        return Quantiles(self._levels, 10**values if self.settings["log_target"] else values)

    def _quantiles(self, weights: np.ndarray) -> np.ndarray:
        """Quantiles of the labels under each row's weights, float64[n, q], each a mean over a window of levels.

        Few labels share a leaf, so that a single quantile jumps from one label to the next; an average of neighbouring
        ones (an L-estimator, as Harrell & Davis 1982, Biometrika 69, 635) is steadier.
        """
        cumulative = np.cumsum(weights, axis=1)
        cumulative /= cumulative[:, -1:]
        found = np.empty((len(weights), len(self._levels)))
        for number, level in enumerate(self._levels):
            window = level + WINDOW * self.settings["smoothing"] * min(level, 1 - level)
            places = [np.minimum((cumulative < one - 1e-12).sum(axis=1), len(self._labels) - 1) for one in window]
            found[:, number] = self._labels[np.array(places)].mean(axis=0)
        return np.maximum.accumulate(found, axis=1)

    def _write(self, folder: Path) -> dict[str, Any]:
        if self._nodes is None:
            raise InputError(f"{self.architecture}: cannot save, it is not fitted yet")
        columns = {name: getattr(self._nodes, name) for name in NODE_COLUMNS}
        pq.write_table(pa.table(columns), folder / NODES_FILE, compression="zstd")
        with (folder / EXAMPLES_FILE).open("wb") as file:
            parts = {"labels": self._labels, "leaves": self._leaves, "medians": self._medians}
            np.savez_compressed(file, allow_pickle=False, **parts)  # type: ignore[arg-type]
        return {"roots": self._nodes.roots.tolist()}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        try:
            nodes = pq.read_table(folder / NODES_FILE, memory_map=False)
            columns = {name: nodes[name].to_numpy() for name in NODE_COLUMNS}
            with np.load(folder / EXAMPLES_FILE, allow_pickle=False) as stored:
                self._labels, self._leaves = stored["labels"], stored["leaves"]
                self._medians = stored["medians"]
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise IntegrityError(f"{folder}: not readable ({error}); train the model again") from error
        nothing = np.zeros((0, 1), dtype=np.float32)
        self._nodes = Nodes(np.array(state["roots"], dtype=np.int32), **columns, share=nothing)


def _membership(leaves: np.ndarray, count: int) -> csr_array:
    """Which leaves each row is in, sparse [n, count], from their numbers int[n, trees]."""
    rows, trees = leaves.shape
    ends = np.arange(0, rows * trees + 1, trees)
    return csr_array((np.ones(rows * trees), leaves.ravel(), ends), shape=(rows, count))
