"""A network for tables: residual blocks of dense layers (Gorishniy et al. 2021) on standardised columns.

A missing value stands for the column's mean, and a flag beside each column says so. A quantity is a Gaussian of each
member of a deep ensemble (Lakshminarayanan et al. 2017); what is told has the mixture's mean and variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.models.keras_base import Layers, SequenceModel
from stellar.models.keras_inputs import Batch, Scalars

BLOCKS: dict[str, Any] = {
    "width": 64,
    "blocks": 2,
    "expansion": 2.0,  # width of a block's hidden layer over the block's own
    "log": [],  # columns that are read as log10
    "noise": 0.0,  # Gaussian noise on the standardised inputs while it learns, in standard deviations
}


class Rows:
    """Rows of a table as examples: standardised columns, and which of them are known."""

    def __init__(self, X: pa.Table, scalars: Scalars, noise: float) -> None:
        raw = scalars.read(X)
        self.known = np.isfinite(raw).astype(np.float32)
        self.values, self.noise = scalars.standard(raw), np.float32(noise)

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        """Batch of the rows; with a generator their values get noise."""
        values, known = self.values[rows], self.known[rows]
        if rng is not None and self.noise:
            values = values + self.noise * known * rng.standard_normal(values.shape, dtype=np.float32)
        return Batch({"values": values, "known": known}, {})


class TabularNetwork(SequenceModel):
    """Classes and quantities from columns of numbers; parameters are `COMMON` of the networks and `BLOCKS`."""

    architecture = "tabular_network"
    family = "tabular"
    kind = "tabular"
    defaults: ClassVar[Mapping[str, Any]] = BLOCKS

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features=features, targets=targets, params=params)
        for name in ("width", "blocks"):
            if self.settings[name] < 1:
                raise InputError(f"{self.architecture}: {name} is {self.settings[name]}; it is 1 or more")
        if strange := sorted(set(self.settings["log"]) - set(self.features)):
            raise InputError(f"{self.architecture}: log names {', '.join(strange)}, which is not among the columns")
        self._scalars = Scalars(self.features, self.settings["log"])

    def _learn_inputs(self, X: pa.Table) -> None:
        self._scalars.learn(X)

    def _examples(self, X: pa.Table, *, training: bool = False) -> Rows:
        return Rows(X, self._scalars, self.settings["noise"] if training else 0.0)

    def _input_state(self) -> dict[str, Any]:
        return {"scalars": self._scalars.state()}

    def _restore_inputs(self, state: Mapping[str, Any]) -> None:
        self._scalars.restore(state["scalars"])

    def _trunk(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        own, layers = self.settings, build.layers
        inputs = [layers.Input((len(self.features),), name=name) for name in ("values", "known")]
        x = layers.Dense(own["width"])(layers.Concatenate()(inputs))
        for _ in range(own["blocks"]):
            y = layers.LayerNormalization()(x)
            y = build.drop(layers.Dense(int(own["expansion"] * own["width"]), activation="gelu")(y))
            x = layers.Add()([x, layers.Dense(own["width"])(y)])
        return inputs, layers.LayerNormalization()(x), {}
