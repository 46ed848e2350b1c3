"""The training loop that all sequence models share: prefetching input, early stopping, checkpoints, resuming.

Everything random of an epoch (order of the rows, changes of the examples) is drawn from (seed, epoch), so the state
between epochs is that of network, optimiser and stopping alone, and a resumed training repeats what a whole one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stellar.models.keras_checkpoints import Checkpoint
from stellar.models.keras_inputs import Examples, batches

PREDICT_BATCH = 256
PREFETCH = 4
Labelled = dict[str, tuple[np.ndarray, np.ndarray]]
"""Output name -> encoded labels [n, 2] and weight [n]."""


@dataclass
class Progress:
    """Where a training stands after `epoch` epochs."""

    epoch: int = 0
    best_epoch: int = 0
    best: float = float("inf")
    finished: bool = False
    losses: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)


class Training:
    """One network's way from its first weights to its best.

    Parameters
    ----------
    keras : module
    network : keras.Model
        With outputs by name.
    losses : mapping
        Loss function of each output, one value per row (or per element).
    settings : mapping
        `learning_rate`, `weight_decay`, `batch_size`, `epochs`, `patience`.
    seed : int
    checkpoint : Checkpoint or None
    """

    def __init__(
        self,
        keras: Any,
        network: Any,
        losses: Mapping[str, Any],
        settings: Mapping[str, Any],
        seed: int,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.keras, self.network, self.losses = keras, network, losses
        self.settings, self.seed, self.checkpoint = settings, seed, checkpoint

    def run(self, examples: Examples, rows: np.ndarray, labels: Labelled, score: Any) -> Progress:
        """Train on `rows` of the examples until the epochs are over or `score` has not fallen for `patience` epochs.

        `score` is a function without arguments that gives the held-out loss of the network as it is, or None where
        nothing is held out; with it the weights of the best epoch are kept, without it the last.
        """
        progress, best = self._prepare(len(rows))
        while not progress.finished:
            progress.losses.append(self._epoch(examples, rows, labels, progress.epoch))
            progress.epoch += 1
            if score is not None:
                progress.held.append(float(score()))
                if progress.held[-1] < progress.best:
                    progress.best, progress.best_epoch = progress.held[-1], progress.epoch
                    best = [np.array(variable) for variable in self.network.get_weights()]
            else:
                progress.best_epoch = progress.epoch
            stalled = score is not None and progress.epoch - progress.best_epoch >= self.settings["patience"]
            progress.finished = stalled or progress.epoch >= self.settings["epochs"]
            self._keep(progress, best)
        if best:
            self.network.set_weights(best)
        return progress

    # -- one epoch ---------------------------------------------------------------------------------------------------
    def _epoch(self, examples: Examples, rows: np.ndarray, labels: Labelled, epoch: int) -> float:
        size = self.settings["batch_size"]
        order = np.random.default_rng([self.seed, epoch]).permutation(rows)

        def produce() -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
            for number, part in enumerate(batches(order, size)):
                rng = np.random.default_rng([self.seed, epoch, number])
                batch = examples.batch(part, rng)
                truth = {name: encoded[part] for name, (encoded, _) in labels.items()}
                weight = {name: weights[part].astype(np.float32) for name, (_, weights) in labels.items()}
                for name, (aim, counts) in batch.aims.items():
                    truth[name], weight[name] = aim, counts
                yield batch.inputs, truth, weight

        data = self._dataset(produce, -(-len(rows) // size))
        log = self.network.fit(data, epochs=epoch + 1, initial_epoch=epoch, shuffle=False, verbose=0)
        return round(float(log.history["loss"][-1]), 6)

    @staticmethod
    def _dataset(produce: Any, steps: int) -> Any:
        """tf.data pipeline of a generator of nested dicts of arrays, made ahead by another thread."""
        import tensorflow as tf

        first = next(produce())
        signature = tf.nest.map_structure(lambda a: tf.TensorSpec((None, *a.shape[1:]), tf.as_dtype(a.dtype)), first)
        data = tf.data.Dataset.from_generator(produce, output_signature=signature)
        return data.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(PREFETCH)

    # -- state -------------------------------------------------------------------------------------------------------
    def _prepare(self, rows: int) -> tuple[Progress, list[np.ndarray]]:
        """Compile, and take up the checkpoint if there is one."""
        own, keras = self.settings, self.keras
        steps = own["epochs"] * max(1, -(-rows // own["batch_size"]))
        rate = keras.optimizers.schedules.CosineDecay(own["learning_rate"], steps, alpha=0.02)
        optimiser = keras.optimizers.AdamW(rate, weight_decay=own["weight_decay"], clipnorm=own["clip_norm"] or None)
        weights = {name: own["loss_weights"].get(name, 1.0) for name in self.losses}
        # without XLA: its compiler takes longer than these trainings
        self.network.compile(optimiser, dict(self.losses), loss_weights=weights, jit_compile=False)
        self.network.optimizer.build(self.network.trainable_variables)
        found = self.checkpoint.read() if self.checkpoint else None
        if found is None:
            return Progress(), []
        about, groups = found
        for variable, value in zip(self._variables(), groups["state"], strict=True):
            variable.assign(value)
        return Progress(**about), groups.get("best", [])

    def _variables(self) -> list[Any]:
        """All that changes while training: weights, moving means, states of the dropouts' generators, the optimiser."""
        return [*self.network.variables, *self.network.optimizer.variables]

    def _keep(self, progress: Progress, best: list[np.ndarray]) -> None:
        if self.checkpoint is None:
            return
        state = [np.asarray(self.keras.ops.convert_to_numpy(variable.value)) for variable in self._variables()]
        about = {**progress.__dict__, "best": progress.best if np.isfinite(progress.best) else None}
        if about["best"] is None:
            del about["best"]
        self.checkpoint.write(about, {"state": state, "best": best})


class Runner:
    """Outputs of a network in batches of one size, by one compiled function: memory does not grow with the calls.

    With `sampling` the layers do as they were built, dropout too.
    """

    def __init__(self, network: Any, *, sampling: bool = False) -> None:
        import tensorflow as tf

        self.network = network
        signature = {
            tensor.name: tf.TensorSpec((None, *tensor.shape[1:]), tf.as_dtype(tensor.dtype))
            for tensor in network.inputs
        }
        # an argument for the network outweighs what its layers were built with, so that dropout would be off
        how = {} if sampling else {"training": False}
        self._call = tf.function(lambda inputs: network(inputs, **how), input_signature=[signature])

    def __call__(self, examples: Examples, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Outputs by name, float32[n, …], of some rows or all."""
        rows = np.arange(len(examples)) if rows is None else rows
        parts: list[dict[str, np.ndarray]] = []
        for part in batches(rows, PREDICT_BATCH):
            outputs = self._call(examples.batch(part).inputs)
            parts.append({name: np.asarray(value, dtype=np.float32) for name, value in outputs.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
