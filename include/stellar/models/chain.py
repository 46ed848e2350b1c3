"""Quantities predicted one after another, each from the inputs and from those before it, with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.models.base import Labels, Model, Quantiles, labels_of, load_model, merge_params
from stellar.models.members import new_member
from stellar.models.pooling import pool

DEFAULTS: dict[str, Any] = {
    "order": [],  # targets, the first one first; all of them
    "links": {},  # target -> architecture, params, columns (all where not given)
    "nodes": 9,  # values of an earlier quantity that a later one is asked for
}


def known_column(target: str) -> str:
    """Column in which a later link sees an earlier quantity."""
    return f"{target}_known"


class Chain(Model):
    """A link per target.

    A link learns from the true earlier quantities; to predict, it is asked for values at even probabilities of their
    predictive distributions, and its answers are mixed: p(T | x) = sum over g of p(T | g, x) p(g | x). So its answer is
    as wide as the earlier one's uncertainty makes it.
    """

    architecture = "chain"
    family = "tabular"
    kind = "tabular"
    libraries = ("numpy",)

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        order, links = self.settings["order"], self.settings["links"]
        if sorted(order) != sorted(self.targets) or set(links) != set(order):
            raise InputError(
                f"{self.architecture}: `order` ({', '.join(order)}) and `links` ({', '.join(links)}) name each target "
                f"once: {', '.join(self.targets)}"
            )
        self.links = {target: self._link(target, order[:place]) for place, target in enumerate(order)}
        self.libraries = tuple(sorted({name for one in self.links.values() for name in one.libraries}))

    def _link(self, target: str, earlier: Sequence[str]) -> Model:
        about = self.settings["links"][target]
        columns = [*(about.get("columns") or self.features), *(known_column(one) for one in earlier)]
        return new_member(self, ("links", target), about, keys=("columns",), features=columns, targets=[target])

    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        held = None if validation is None else validation[0]
        for place, (target, link) in enumerate(self.links.items()):
            truth = labels_of(y, target, self.targets, X.num_rows).astype(np.float64)
            stop, held_truth = None, None
            if validation is not None and held is not None:
                held_truth = labels_of(validation[1], target, self.targets, held.num_rows).astype(np.float64)
                stop = (held, held_truth)
            known = np.flatnonzero(np.isfinite(truth))
            weight = None if sample_weight is None else sample_weight[known]
            link.fit(X.take(known), truth[known], sample_weight=weight, validation=stop, seed=seed + 1000 * place)
            X = X.append_column(known_column(target), pa.array(truth))
            if held is not None:
                held = held.append_column(known_column(target), pa.array(held_truth))
        self.seed, self.history = seed, {target: link.history for target, link in self.links.items()}
        return self

    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        wanted = target or self.settings["order"][-1]
        if wanted not in self.links:
            raise InputError(f"{self.architecture}: no target {wanted!r}; it has {', '.join(self.links)}")
        return self._mixed(X, wanted, list(self.links))

    def _mixed(self, X: pa.Table, wanted: str, left: Sequence[str]) -> Quantiles:
        """Distribution of `wanted`, over the nodes of the quantities that come before it."""
        found = self.links[left[0]].predict_dist(X)
        if left[0] == wanted:
            return found
        nodes = self.settings["nodes"]
        parts = [
            self._mixed(X.append_column(known_column(left[0]), pa.array(found.at((k + 0.5) / nodes))), wanted, left[1:])
            for k in range(nodes)
        ]
        return pool(parts[0].levels, np.stack([part.values for part in parts]))

    def use_threads(self, threads: int) -> None:
        for one in self.links.values():
            one.use_threads(threads)

    def _write(self, folder: Path) -> dict[str, Any]:
        for target, link in self.links.items():
            link.save(folder / f"link_{target}")
        return {}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        self.links = {target: load_model(folder / f"link_{target}") for target in self.links}
