"""A forest of regression trees (Breiman 2001) whose leaves give a predictive distribution (Meinshausen 2006).

The distribution of a row is the mean, over the trees, of the distribution of the training targets in the leaf that the
row ends in (Meinshausen 2006, JMLR 7, 983, equations 4 to 6: each training row weighs the mean over the trees of 1 /
size of the leaf that it shares with the row). Of each leaf a few of its own values are kept, at evenly spaced
probabilities, so that a forest is plain arrays of a size that does not grow with the rows of a leaf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.models.base import Labels, Model, Quantiles, labels_of, merge_params, numeric_matrix
from stellar.models.forest import Nodes
from stellar.models.xgb import DEFAULT_LEVELS

DEFAULTS: dict[str, Any] = {
    "trees": 200,
    "max_features": 0.33,  # share of the features that a split chooses from: a third is Breiman's for regression
    "min_samples_leaf": 5,  # Meinshausen's choice too: a leaf has to hold a distribution
    "leaf_values": 7,  # of each leaf that are kept; all of them where a leaf has as many
    "extra_trees": False,  # thresholds drawn at random (Geurts et al. 2006)
    "max_samples": None,  # share of the rows that a tree is grown on; all, drawn with replacement, where not given
    "smoothing": 0.0,  # a quantile is the mean of those around it, this far in shares of its own tail
    "levels": list(DEFAULT_LEVELS),
    "threads": 2,
}


WINDOW = np.linspace(-1, 1, 9)


class RandomForestRegressor(Model):
    """Forest of one quantity; parameters are `DEFAULTS`."""

    architecture = "random_forest_regressor"
    family = "tabular"
    kind = "tabular"
    libraries = ("scikit-learn", "numpy")

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        for name in ("trees", "min_samples_leaf", "leaf_values", "threads"):
            if self.settings[name] < 1:
                raise InputError(f"{self.architecture}: {name} is {self.settings[name]}; it is 1 or more")
        if not 0 <= self.settings["smoothing"] <= 1:
            raise InputError(f"{self.architecture}: smoothing is {self.settings['smoothing']}; it lies in 0 to 1")
        levels = self.settings["levels"]
        if list(levels) != sorted(set(levels)) or not levels or levels[0] <= 0 or levels[-1] >= 1:
            raise InputError(f"{self.architecture}: levels must ascend between 0 and 1; they are {levels}")
        self.levels = np.asarray(levels, dtype=np.float64)
        self._nodes: Nodes | None = None

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
        from sklearn.ensemble import RandomForestRegressor as Grower

        own = self.settings
        (target,) = self.targets
        values = np.asarray(labels_of(y, target, self.targets, X.num_rows), dtype=np.float64)
        known = np.flatnonzero(np.isfinite(values))
        if len(known) < 2:
            raise InputError(f"{target}: a regressor needs two labelled rows or more")
        matrix, values = numeric_matrix(X, self.features)[known], values[known]
        weight = np.ones(len(known)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)[known]
        forest = (ExtraTreesRegressor if own["extra_trees"] else Grower)(
            n_estimators=own["trees"],
            max_features=own["max_features"],
            min_samples_leaf=own["min_samples_leaf"],
            bootstrap=not own["extra_trees"] or own["max_samples"] is not None,
            max_samples=own["max_samples"],
            n_jobs=own["threads"],
            random_state=seed,
        )
        trees = list(forest.fit(matrix, values, sample_weight=weight).estimators_)
        nodes = Nodes.of(trees)
        leaves = np.concatenate([found for _, found in nodes.walks(matrix)])
        mean = np.concatenate([tree.tree_.value[tree.tree_.children_left < 0, 0, 0] for tree in trees])
        self._nodes = replace(nodes, share=leaf_values(leaves, values, weight, mean, own["leaf_values"]))
        self.seed = seed
        self.history = {"trees": len(trees), "nodes": len(nodes.left)}
        return self

    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        if target not in (None, *self.targets):
            raise InputError(f"{self.architecture}: no target {target!r}; it has {', '.join(self.targets)}")
        nodes, around = self.nodes, self._around()
        matrix = numeric_matrix(X, self.features)
        found = np.empty((len(matrix), len(self.levels)))
        for part, leaves in nodes.walks(matrix):
            values = np.sort(nodes.share[leaves].reshape(len(leaves), -1), axis=1)
            found[part] = np.mean([_at(values, at) for at in around], axis=0)
        return Quantiles(self.levels, found)

    def _around(self) -> list[np.ndarray]:
        """Levels, float64[q] each, whose quantiles' mean stands for those of `levels`.

        Few labels share a leaf, so that a single quantile jumps from one label to the next; an average of its
        neighbours (an L-estimator, as Harrell & Davis 1982, Biometrika 69, 635) is steadier.
        """
        tail = self.settings["smoothing"] * np.minimum(self.levels, 1 - self.levels)
        return [self.levels + one * tail for one in WINDOW] if self.settings["smoothing"] else [self.levels]

    @property
    def nodes(self) -> Nodes:
        """The trees; `share` holds the values of each leaf.

        Raises
        ------
        InputError
            When it is not fitted yet.
        """
        if self._nodes is None:
            raise InputError(f"{self.architecture}: not fitted yet")
        return self._nodes

    def means(self, count: int) -> np.ndarray:
        """Weight of each of `count` sorted values in each quantile, float64[count, q]; a prediction is their sum."""
        return np.mean([_at(np.eye(count), at) for at in self._around()], axis=0)

    def _write(self, folder: Path) -> dict[str, Any]:
        if self._nodes is None:
            raise InputError(f"{self.architecture}: cannot save, it is not fitted yet")
        return self._nodes.write(folder)

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        self._nodes = Nodes.read(folder, state)


def _at(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles of each row of sorted values that weigh the same, float64[n, q]; the k-th of m stands at (k + 1/2) / m
    (Hazen's positions).
    """
    at = np.clip(levels * values.shape[1] - 0.5, 0, values.shape[1] - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, values.shape[1] - 1)
    return values[:, low] * (1 - (at - low)) + values[:, high] * (at - low)


def leaf_values(leaves: np.ndarray, y: np.ndarray, weight: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """Targets of each leaf at the probabilities (k + 1/2) / count, float64[leaves, count], ascending.

    Parameters
    ----------
    leaves : int[n, trees]
        Leaf of each training row in each tree, numbered over all trees.
    y, weight : float64[n]
        Targets and weights of the training rows, all of them: those too that a tree was not grown on.
    mean : float64[leaves]
        For a leaf that no row of positive weight ends in.
    count : int
    """
    found = np.repeat(mean[:, None], count, axis=1)
    order = np.argsort(y, kind="stable")
    wanted = (np.arange(count) + 0.5) / count
    for tree in range(leaves.shape[1]):
        leaf = leaves[order, tree]
        rows = order[np.argsort(leaf, kind="stable")]  # by leaf, then by target
        rows = rows[weight[rows] > 0]
        leaf = leaves[rows, tree]
        first = np.flatnonzero(np.diff(leaf, prepend=-1))
        share = np.cumsum(weight[rows])
        before = np.concatenate([[0.0], share])[first]
        run = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(rows))))
        total = np.append(before[1:], share[-1]) - before
        # place of each row within its leaf's distribution, one leaf after another: 0..1, 1..2, ...
        place = run + (share - before[run]) / total[run]
        at = np.searchsorted(place, (np.arange(len(first))[:, None] + wanted - 1e-9).ravel())
        last = np.repeat(np.append(first[1:], len(rows)) - 1, count)
        found[leaf[first]] = y[rows[np.clip(at, np.repeat(first, count), last)]].reshape(-1, count)
    return found
