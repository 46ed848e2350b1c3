"""What fitted networks say: probabilities, distributions, what they do not know, and embeddings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.models.base import Model, Quantiles
from stellar.models.keras_heads import Head, QuantityHead, decompose, probabilities
from stellar.models.keras_inputs import Examples
from stellar.models.keras_runtime import start
from stellar.models.keras_training import Runner


class Predictions(Model):
    """A model of one network or several, with heads by target."""

    settings: Mapping[str, Any]
    _heads: dict[str, Head | None]
    _networks: list[Any]

    @abstractmethod
    def _examples(self, X: pa.Table, *, training: bool = False) -> Examples:
        """Rows of a table as examples; those for training may be changed at random."""

    @abstractmethod
    def _build(self, keras: Any, *, sampling: bool = False) -> Any:
        """New network; with `sampling`, dropout stays on."""

    def _output(self, target: str) -> str:
        """Name of the target's output; targets themselves may have names that Keras refuses."""
        return f"head{self.targets.index(target)}"

    def _forget(self) -> None:
        self._networks = []
        for name in ("_runners", "_samplers", "_embedder"):
            self.__dict__.pop(name, None)

    @cached_property
    def _runners(self) -> list[Runner]:
        return [Runner(network) for network in self._networks]

    @cached_property
    def _samplers(self) -> list[Runner]:
        """The same networks with dropout left on."""
        keras, found = start(self.settings["threads"]), []
        for network in self._networks:
            sampling = self._build(keras, sampling=True)
            sampling.set_weights(network.get_weights())
            found.append(Runner(sampling, sampling=True))
        return found

    @cached_property
    def _embedder(self) -> Runner:
        keras, network = start(self.settings["threads"]), self._networks[0]
        return Runner(keras.Model(network.inputs, {"embedding": network.get_layer("representation").output}))

    def _ready(self) -> None:
        if not self._networks:
            raise InputError(f"{self.architecture}: not fitted yet")

    def _samples(self, X: pa.Table, target: str) -> np.ndarray:
        """Outputs of the target's head, float32[s, n, outputs]: members times samples of dropout."""
        self._ready()
        head, name = self._heads[target], self._output(target)
        assert head is not None
        draws = self.settings["mc_samples"]
        if not X.num_rows:
            return np.zeros((len(self._networks) * max(draws, 1), 0, head.outputs), np.float32)
        examples = self._examples(X)
        if not draws:
            return np.stack([run(examples)[name] for run in self._runners])
        found = []
        for member, run in enumerate(self._samplers):
            for draw in range(draws):
                reseed(run.network, [self.seed or 0, member, draw])
                found.append(run(examples)[name])
        return np.stack(found)

    def _quantity_target(self, target: str | None) -> str:
        names = [name for name, head in self._heads.items() if isinstance(head, QuantityHead)]
        name = names[0] if target is None and len(names) == 1 else target
        if name not in names:
            raise InputError(f"{self.architecture}: no quantity target {target!r}; it has {names or 'none'}")
        return str(name)

    def predict_proba(self, X: pa.Table, target: str | None = None) -> np.ndarray:
        return probabilities(self._samples(X, self._class_target(target)))

    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        name = self._quantity_target(target)
        head = self._heads[name]
        assert isinstance(head, QuantityHead)
        return head.quantiles(self._samples(X, name))

    def uncertainty(self, X: pa.Table, target: str | None = None) -> dict[str, np.ndarray]:
        """What the model does not know (`epistemic`) and what the data do not say (`aleatoric`), float64[n] each.

        In nats for a class, in squared units for a quantity; see `keras_heads.decompose`.

        Raises
        ------
        InputError
            When the model is one network without samples of dropout, which cannot tell them apart.
        """
        self._ready()
        if self.settings["members"] * max(self.settings["mc_samples"], 1) < 2:
            raise InputError(f"{self.architecture}: uncertainty needs `members` or `mc_samples` of 2 or more")
        if target is None and len(self.targets) == 1:
            target = self.targets[0]
        if target not in self._heads:
            raise InputError(f"{self.architecture}: no target {target!r}; it has {', '.join(self.targets)}")
        head = self._heads[target]
        assert head is not None
        return decompose(head, self._samples(X, target))

    def embed(self, X: pa.Table) -> np.ndarray:
        """Last hidden layer of the first member, float32[n, `dense`]: near each other what looks alike to it."""
        self._ready()
        if not X.num_rows:
            return np.zeros((0, self.settings["dense"]), np.float32)
        return self._embedder(self._examples(X))["embedding"]


def reseed(network: Any, key: Sequence[int]) -> None:
    """Set the dropouts' generators, so that a sample hangs on its key and not on earlier predictions."""
    layers = [layer for layer in network.layers if getattr(layer, "seed_generator", None) is not None]
    states = np.random.SeedSequence(list(key)).generate_state(2 * max(len(layers), 1))
    for k, layer in enumerate(layers):
        layer.seed_generator.state.assign(states[2 * k : 2 * k + 2].astype(np.int64))
