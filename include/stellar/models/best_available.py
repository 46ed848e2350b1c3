"""Several models of one number, each for the stars that have what it needs; every star gets the surest of its own.

A star that one survey alone has seen is judged by the model of that survey's columns, one with more by the model that
knows more. Which is surest is said by the calibrated intervals, star by star.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.evaluation.calibration import QuantileCalibrator
from stellar.models.base import (
    Labels,
    Model,
    ParameterError,
    Quantiles,
    labels_of,
    load_model,
    merge_params,
    numeric_matrix,
)
from stellar.models.members import new_member
from stellar.models.pooling import pool

DEFAULTS: dict[str, Any] = {
    "members": [],  # each: name, architecture, params, columns (where not given, all), needs (where not given, columns)
    "combine": "choose",  # the surest, or `pool`: all that can, weighted by how sure they are
    "alpha": 0.1,  # of the intervals by which members are compared
    "levels": [0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995],
}
MEMBER_KEYS = ("name", "columns", "needs")
FEWEST_TO_CALIBRATE = 100


@dataclass
class Member:
    """One of the models, and the columns without which it is not asked."""

    name: str
    model: Model
    needs: tuple[str, ...]
    levels: QuantileCalibrator | None = None

    def rows(self, X: pa.Table) -> np.ndarray:
        """Rows that have all it needs, int64[m]."""
        return np.flatnonzero(_lacking(self, X) == 0)

    def predict(self, X: pa.Table) -> Quantiles:
        found = self.model.predict_dist(X)
        return found if self.levels is None else Quantiles(found.levels, self.levels.apply(found.levels, found.values))


class BestAvailable(Model):
    """Members in the order of preference where two are equally sure; see `DEFAULTS`."""

    architecture = "best_available"
    family = "tabular"
    kind = "tabular"
    libraries = ("numpy",)

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        if len(self.settings["members"]) < 2:
            raise InputError(f"{self.architecture}: `members` needs two or more; give each `name` and `architecture`")
        if self.settings["combine"] not in ("choose", "pool"):
            raise InputError(f"{self.architecture}: combine {self.settings['combine']!r}; it is `choose` or `pool`")
        self.levels = np.asarray(self.settings["levels"], dtype=np.float64)
        self.members = [self._member(number, one) for number, one in enumerate(self.settings["members"])]
        self.methods = tuple(one.name for one in self.members)
        if len(set(self.methods)) < len(self.methods):
            raise InputError(f"{self.architecture}: two members have one name; the column `method` could not tell them")
        self.libraries = tuple(sorted({name for one in self.members for name in one.model.libraries}))

    def _member(self, number: int, about: Mapping[str, Any]) -> Member:
        if "name" not in about:
            raise ParameterError(f"{self.architecture}: member {number + 1}: no name; give it one", "members", number)
        model = new_member(self, ("members", number), about, keys=MEMBER_KEYS)
        return Member(about["name"], model, tuple(about.get("needs") or model.features))

    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        labels = labels_of(y, self.targets[0], self.targets, X.num_rows)
        for number, member in enumerate(self.members):
            rows = member.rows(X)
            weight = None if sample_weight is None else sample_weight[rows]
            held = None
            if validation is not None:
                held_rows = member.rows(validation[0])
                truth = labels_of(validation[1], self.targets[0], self.targets, validation[0].num_rows)
                held = (validation[0].take(held_rows), truth[held_rows])
            member.model.checkpoints = self.checkpoints
            try:
                member.model.fit(
                    X.take(rows), labels[rows], sample_weight=weight, validation=held, seed=seed + 1000 * number
                )
            except InputError as fault:
                raise InputError(f"member {member.name}: {fault}; it needs {', '.join(member.needs)}") from None
            if held is not None:
                self._calibrate(member, *held)
        self.seed = seed
        self.history = {one.name: one.model.history for one in self.members}
        return self

    @staticmethod
    def _calibrate(member: Member, X: pa.Table, truth: np.ndarray) -> None:
        known = np.flatnonzero(np.isfinite(truth.astype(np.float64)))
        if len(known) >= FEWEST_TO_CALIBRATE:
            found = member.model.predict_dist(X.take(known))
            member.levels = QuantileCalibrator.fit(found.levels, found.values, truth[known].astype(np.float64))

    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        return self.predict_by(X, target)[0]

    def predict_by(self, X: pa.Table, target: str | None = None) -> tuple[Quantiles, pa.Array | None]:
        """Distributions, and the name of the member that each row's is of (of the surest, where they are pooled).

        A row that lacks something for every member is given to the one that lacks least.
        """
        lacking = np.stack([_lacking(member, X) for member in self.members])
        able = lacking == 0
        able[lacking.argmin(axis=0), np.arange(X.num_rows)] |= ~able.any(axis=0)
        width = np.full(able.shape, np.inf)
        values = np.zeros((*able.shape, len(self.levels)))
        for k, member in enumerate(self.members):
            rows = np.flatnonzero(able[k])
            if len(rows):
                one = member.predict(X.take(rows))
                low, high = one.interval(self.settings["alpha"])
                width[k, rows] = np.maximum(high - low, 1e-30)
                values[k, rows] = np.stack([one.at(level) for level in self.levels], axis=1)
        best = width.argmin(axis=0)
        names = pa.array(self.methods).take(pa.array(best))
        if self.settings["combine"] == "pool":
            return pool(self.levels, values, width**-2.0), names
        return Quantiles(self.levels, values[best, np.arange(X.num_rows)]), names

    def use_threads(self, threads: int) -> None:
        for one in (one.model for one in self.members):
            one.use_threads(threads)

    def _write(self, folder: Path) -> dict[str, Any]:
        for member in self.members:
            member.model.save(folder / f"member_{member.name}")
        return {"levels": {one.name: one.levels.to_dict() if one.levels else None for one in self.members}}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        for member in self.members:
            member.model = load_model(folder / f"member_{member.name}")
            about = state["levels"][member.name]
            member.levels = about and QuantileCalibrator.from_dict(about)


def _lacking(member: Member, X: pa.Table) -> np.ndarray:
    """How many of the columns that it needs each row lacks, int64[n]."""
    return np.isnan(numeric_matrix(X, member.needs)).sum(axis=1)
