"""Several models of one target as one: their probabilities are averaged (a linear opinion pool, Stone 1961)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.models.base import Labels, Model, load_model, merge_params
from stellar.models.members import new_member

DEFAULTS: dict[str, Any] = {"members": []}  # each: {architecture, params, weight, columns}; columns: the blend's own


class Blend(Model):
    """Members fitted on the same examples, each with its share of the answer.

    A member is a mapping of `architecture`, `params`, `weight` (1 where not given) and `columns` (all of the blend's
    where not given).
    """

    architecture = "blend"
    family = "any"
    kind = "tabular"
    libraries = ("numpy",)

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        if len(self.settings["members"]) < 2:
            raise InputError(f"{self.architecture}: `members` needs two or more; give each its `architecture`")
        self.members: list[Model] = []
        weights = []
        for number, one in enumerate(self.settings["members"]):
            self.members.append(new_member(self, ("members", number), one, keys=("weight", "columns")))
            weights.append(float(one.get("weight", 1.0)))
        if min(weights) <= 0:
            raise InputError(f"{self.architecture}: a member's weight must be above 0; leave the member out instead")
        self.libraries = tuple(sorted({name for one in self.members for name in one.libraries}))
        self._shares = np.array(weights) / sum(weights)

    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        for number, member in enumerate(self.members):
            member.checkpoints = self.checkpoints
            member.fit(X, y, sample_weight=sample_weight, validation=validation, seed=seed + 1000 * number)
        self.classes, self.seed = self.members[0].classes, seed
        self.history = {f"member_{number + 1}": member.history for number, member in enumerate(self.members)}
        return self

    @property
    def shares(self) -> np.ndarray:
        """Share of each member in the answer, float64[members], which add up to 1."""
        return self._shares

    def predict_proba(self, X: pa.Table, target: str | None = None) -> np.ndarray:
        name = self._class_target(target)
        p = sum(share * one.predict_proba(X, name) for share, one in zip(self._shares, self.members, strict=True))
        return np.asarray(p)

    def use_threads(self, threads: int) -> None:
        for one in self.members:
            one.use_threads(threads)

    def _write(self, folder: Path) -> dict[str, Any]:
        for number, member in enumerate(self.members):
            member.save(folder / f"member_{number + 1}")
        return {}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        self.members = [load_model(folder / f"member_{number + 1}") for number in range(len(self.members))]
