"""Measurement errors carried into a prediction: the inputs are drawn anew from their errors, and the answers mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from scipy.special import ndtri
from scipy.stats import qmc

from stellar.errors import InputError
from stellar.models.base import Labels, Model, Quantiles, load_model, merge_params, numeric_matrix
from stellar.models.members import new_member
from stellar.models.pooling import pool

DEFAULTS: dict[str, Any] = {
    "member": {},  # architecture, params
    "errors": {},  # column -> column of its one-sigma error; both among `columns`
    "draws": 16,
}


class Perturbed(Model):
    """A member that learns from the values as measured and predicts for values drawn from their errors.

    The draws are the same for every row (a scrambled Sobol sequence, Owen 1998, through the inverse normal), so that a
    row's answer does not depend on its neighbours. For a member that learnt from inputs as noisy as those that it
    predicts for, its own distributions already hold the noise; this is for one that learnt from better ones.
    """

    architecture = "perturbed"
    family = "tabular"
    kind = "tabular"
    libraries = ("numpy", "scipy")

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        member, errors = self.settings["member"], self.settings["errors"]
        if not errors or (strange := sorted({*errors, *errors.values()} - set(self.features))):
            wrong = "is empty" if not errors else f"names {', '.join(strange)}, not among `columns`"
            raise InputError(f"{self.architecture}: `errors` {wrong}; give column: column of its error")
        if self.settings["draws"] < 2:
            raise InputError(f"{self.architecture}: draws {self.settings['draws']} are too few; give 2 or more")
        self.values = tuple(name for name in self.features if name not in errors.values())
        self.member = new_member(self, ("member",), member, keys=(), features=self.values)
        self.libraries = tuple(sorted({*self.libraries, *self.member.libraries}))

    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        self.member.checkpoints = self.checkpoints
        self.member.fit(X, y, sample_weight=sample_weight, validation=validation, seed=seed)
        self.seed, self.history, self.classes = seed, self.member.history, self.member.classes
        return self

    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        """Mixture over the draws; an unknown error counts as none."""
        errors = self.settings["errors"]
        values = numeric_matrix(X, self.values)
        sizes = np.zeros_like(values)
        moved = [k for k, name in enumerate(self.values) if name in errors]
        sizes[:, moved] = np.nan_to_num(numeric_matrix(X, [errors[self.values[k]] for k in moved]))
        points = qmc.Sobol(len(moved), rng=np.random.default_rng(self.seed)).random(self.settings["draws"])
        found = []
        for steps in ndtri(np.clip(points, 1e-6, 1 - 1e-6)):
            drawn = values.copy()
            drawn[:, moved] += (sizes[:, moved] * steps).astype(np.float32)
            table = pa.table({name: drawn[:, k] for k, name in enumerate(self.values)})
            found.append(self.member.predict_dist(table, target))
        return pool(found[0].levels, np.stack([one.values for one in found]))

    def use_threads(self, threads: int) -> None:
        self.member.use_threads(threads)

    def _write(self, folder: Path) -> dict[str, Any]:
        self.member.save(folder / "member")
        return {}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        self.member = load_model(folder / "member")
