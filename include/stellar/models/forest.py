"""Forests of randomised trees (Breiman 2001; extremely randomised: Geurts et al. 2006) for classes.

scikit-learn grows them; what is kept is their nodes as plain arrays, and these are walked here, so that no pickle is
needed to bring a forest back. Missing values follow the side that the tree learned for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stellar.errors import InputError, IntegrityError
from stellar.models.base import Labels, Model, encode_labels, labels_of, merge_params, numeric_matrix
from stellar.models.xgb import balanced_weights

NODES_FILE, LEAVES_FILE = "nodes.parquet", "leaves.parquet"
KINDS = ("extra_trees", "random_forest")
DEFAULTS: dict[str, Any] = {
    "kinds": list(KINDS),  # each grows `trees`; their probabilities are averaged
    "trees": 500,
    "max_features": 0.2,  # share of the features that a split chooses from
    "min_samples_leaf": 1,
    "class_weight_power": 0.5,
    "threads": 2,
}
NODE_COLUMNS = ("left", "right", "feature", "threshold", "missing_left", "leaf")
CHUNK = 1 << 20  # (row, tree) pairs that are walked at once: about 50 MB


@dataclass(frozen=True)
class Nodes:
    """All trees' nodes one after another; a node without children (`left` -1) is a leaf and has a row of `share`."""

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    leaf: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, trees: Sequence[Any]) -> Nodes:
        """Nodes of fitted scikit-learn trees."""
        parts: dict[str, list[np.ndarray]] = {one.name: [] for one in fields(cls)}
        nodes = leaves = 0
        for tree in (one.tree_ for one in trees):
            is_leaf = tree.children_left < 0
            shift = np.where(is_leaf, 0, nodes)
            parts["roots"].append(np.array([nodes]))
            parts["left"].append(tree.children_left + shift)
            parts["right"].append(tree.children_right + shift)
            parts["feature"].append(np.where(is_leaf, 0, tree.feature))
            parts["threshold"].append(np.where(is_leaf, 0.0, tree.threshold))
            parts["missing_left"].append(tree.missing_go_to_left.astype(bool))
            parts["leaf"].append(np.where(is_leaf, leaves + np.cumsum(is_leaf) - 1, -1))
            value = tree.value[is_leaf, 0, :]
            parts["share"].append(value / value.sum(axis=1, keepdims=True))
            nodes, leaves = nodes + tree.node_count, leaves + int(is_leaf.sum())
        types = {"threshold": np.float64, "missing_left": np.bool_, "share": np.float32}
        return cls(**{name: np.concatenate(found).astype(types.get(name, np.int32)) for name, found in parts.items()})

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Mean share of each class in the leaves that each row ends in, float64[n, k]."""
        found = np.empty((len(X), self.share.shape[1]))
        for part, leaves in self.walks(X):
            found[part] = self.share[leaves].mean(axis=1, dtype=np.float64)
        return found

    def walks(self, X: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Runs of rows, and the leaf of each tree, int32[rows, trees], that each row ends in."""
        step = max(1, CHUNK // len(self.roots))
        for begin in range(0, len(X), step):
            rows = X[begin : begin + step]
            at = np.broadcast_to(self.roots, (len(rows), len(self.roots))).copy()
            row = np.arange(len(rows))[:, None]
            while (inner := self.left[at] >= 0).any():
                value = rows[row, self.feature[at]]
                goes_left = np.where(np.isnan(value), self.missing_left[at], value <= self.threshold[at])
                at = np.where(inner, np.where(goes_left, self.left[at], self.right[at]), at)
            yield slice(begin, begin + len(rows)), self.leaf[at]

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the arrays into `folder`; return the state that `read` needs beside them."""
        columns = {name: getattr(self, name) for name in NODE_COLUMNS}
        pq.write_table(pa.table(columns), folder / NODES_FILE, compression="zstd")
        shares = {f"share_{k}": self.share[:, k] for k in range(self.share.shape[1])}
        pq.write_table(pa.table(shares), folder / LEAVES_FILE, compression="zstd")
        return {"roots": self.roots.tolist()}

    @classmethod
    def read(cls, folder: Path, state: Mapping[str, Any]) -> Nodes:
        """The inverse of `write`.

        Raises
        ------
        IntegrityError
            When a file is damaged.
        """
        try:
            nodes, leaves = (pq.read_table(folder / name, memory_map=False) for name in (NODES_FILE, LEAVES_FILE))
            columns = {name: nodes[name].to_numpy() for name in NODE_COLUMNS}
        except (OSError, KeyError, pa.ArrowException) as error:
            raise IntegrityError(f"{folder / NODES_FILE}: not readable ({error}); train the model again") from error
        share = np.column_stack([column.to_numpy() for column in leaves.columns])
        return cls(np.array(state["roots"], dtype=np.int32), **columns, share=share)


class ForestClassifier(Model):
    """Forests of one target; parameters are `DEFAULTS`."""

    architecture = "forest_classifier"
    family = "tabular"
    kind = "tabular"
    libraries = ("scikit-learn", "numpy")

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        kinds = self.settings["kinds"]
        if not kinds or (unknown := sorted(set(kinds) - set(KINDS))):
            named = ", ".join(unknown) if kinds else "nothing"
            raise InputError(f"{self.architecture}: kinds names {named}; known are {', '.join(KINDS)}")
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
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

        own = self.settings
        (target,) = self.targets
        codes, names = encode_labels(labels_of(y, target, self.targets, X.num_rows))
        if len(names) < 2:
            raise InputError(f"{target}: a classifier needs two classes or more; the labels have {names}")
        known = np.flatnonzero(codes >= 0)
        weight = balanced_weights(codes[known], own["class_weight_power"])
        if sample_weight is not None:
            weight = weight * np.asarray(sample_weight)[known]
        matrix = numeric_matrix(X, self.features)[known]
        trees: list[Any] = []
        for number, kind in enumerate(own["kinds"]):
            grower = ExtraTreesClassifier if kind == "extra_trees" else RandomForestClassifier
            forest = grower(
                n_estimators=own["trees"],
                max_features=own["max_features"],
                min_samples_leaf=own["min_samples_leaf"],
                n_jobs=own["threads"],
                random_state=seed + number,
            )
            trees += list(forest.fit(matrix, codes[known], sample_weight=weight).estimators_)
        self._nodes, self.seed, self.classes = Nodes.of(trees), seed, {target: names}
        self.history = {"trees": len(trees), "nodes": len(self._nodes.left)}
        return self

    @property
    def nodes(self) -> Nodes:
        """All trees of the fitted forest."""
        if self._nodes is None:
            raise InputError(f"{self.architecture}: not fitted yet")
        return self._nodes

    def predict_proba(self, X: pa.Table, target: str | None = None) -> np.ndarray:
        self._class_target(target)
        p = self.nodes.predict(numeric_matrix(X, self.features))
        return p / p.sum(axis=1, keepdims=True)

    def _write(self, folder: Path) -> dict[str, Any]:
        if self._nodes is None:
            raise InputError(f"{self.architecture}: cannot save, it is not fitted yet")
        return self._nodes.write(folder)

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        self._nodes = Nodes.read(folder, state)
