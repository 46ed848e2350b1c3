"""What all sequence models share: fit, ensembles, predictions, uncertainty, embeddings, files.

A model says how rows become examples (`_read_inputs`, `_examples`) and which layers read them (`_trunk`); the rest is
here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from stellar.errors import InputError, IntegrityError
from stellar.models.base import Labels, labels_of, merge_params
from stellar.models.keras_checkpoints import Checkpoint, content_key, held, remove
from stellar.models.keras_heads import (
    CLASS_DEFAULTS,
    ClassHead,
    Head,
    QuantityHead,
    head_for,
    make_heads,
)
from stellar.models.keras_inputs import Examples
from stellar.models.keras_predictions import Predictions
from stellar.models.keras_runtime import LIBRARIES, PRECISIONS, load_network, save_network, start
from stellar.models.keras_training import Labelled, Runner, Training

COMMON: dict[str, Any] = {
    "heads": {},  # target -> {"kind": "class" or "quantity", …}; where empty, the labels tell
    "dense": 64,  # width of the embedding
    "dropout": 0.3,
    "learning_rate": 2e-3,
    "weight_decay": 1e-4,
    "clip_norm": 1.0,  # of each variable's gradient; 0 is off
    "batch_size": 64,
    "epochs": 24,
    "patience": 6,
    "class_weight_power": 0.5,
    "focal_gamma": 0.0,
    "label_smoothing": 0.0,
    "augment": {},  # strengths on top of the defaults of `keras_augment`; null is none
    "members": 1,  # networks of a deep ensemble (Lakshminarayanan et al. 2017), each with its own seed
    "mc_samples": 0,  # predictions with dropout left on (Gal & Ghahramani 2016) per member; 0 is off
    "precision": "float32",  # or mixed_bfloat16, mixed_float16
    "threads": 2,  # fixed: sums on another number of threads may round differently
}
LAYOUT = 2  # of the files; 1 had one softmax output and no heads


class Layers:
    """Layers as a model's `_trunk` uses them; `sampling` leaves dropout on when predicting."""

    def __init__(self, keras: Any, dropout: float, sampling: bool) -> None:
        self.keras, self.layers, self.ops = keras, keras.layers, keras.ops
        self._dropout, self._sampling = dropout, sampling

    def drop(self, x: Any, share: float | None = None) -> Any:
        rate = self._dropout if share is None else share
        if not rate:
            return x
        layer = self.layers.Dropout(rate)
        return layer(x, training=True) if self._sampling else layer(x)

    def conv(self, x: Any, filters: int, kernel: int, padding: str = "same") -> Any:
        x = self.layers.Conv1D(filters, kernel, padding=padding, use_bias=False)(x)
        return self.layers.Activation("relu")(self.layers.BatchNormalization(momentum=0.9)(x))


class SequenceModel(Predictions):
    """A Keras network behind the one interface.

    Attributes
    ----------
    checkpoints : Path or None
        Folder for the state of a training, set before `fit`. A training that was killed goes on after its last whole
        epoch when `fit` is called with the same data, parameters and seed; what it kept is removed at the end.
    """

    kind = "sequence"
    libraries = LIBRARIES
    defaults: ClassVar[Mapping[str, Any]]

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        self.settings = merge_params(self.architecture, {**COMMON, **self.defaults}, self.params)
        if self.settings["precision"] not in PRECISIONS:
            raise InputError(f"{self.architecture}: precision is one of {', '.join(PRECISIONS)}")
        for name, least in (("members", 1), ("mc_samples", 0), ("epochs", 1), ("batch_size", 1), ("threads", 1)):
            if not isinstance(self.settings[name], int) or self.settings[name] < least:
                raise InputError(f"{self.architecture}: {name} is a whole number of {least} or more")
        self._heads = make_heads(self.architecture, self.targets, self.settings["heads"])
        self._networks = []

    # -- what each architecture does ---------------------------------------------------------------------------------
    @abstractmethod
    def _learn_inputs(self, X: pa.Table) -> None:
        """Take sizes and scales from the training rows."""

    @abstractmethod
    def _examples(self, X: pa.Table, *, training: bool = False) -> Examples:
        """Rows of a table as examples; those for training may be changed at random."""

    @abstractmethod
    def _trunk(self, build: Layers) -> tuple[list[Any], Any, dict[str, Any]]:
        """Inputs, the last hidden layer before embedding and heads, and further outputs by name."""

    @abstractmethod
    def _input_state(self) -> dict[str, Any]:
        """JSON of what `_learn_inputs` learnt."""

    @abstractmethod
    def _restore_inputs(self, state: Mapping[str, Any]) -> None:
        """Undo `_input_state`."""

    # -- network -----------------------------------------------------------------------------------------------------
    def _build(self, keras: Any, *, sampling: bool = False) -> Any:
        """New network; outputs by name, logits and moments in single precision."""
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.settings["precision"])
        try:
            build = Layers(keras, self.settings["dropout"], sampling)
            inputs, x, outputs = self._trunk(build)
            x = keras.layers.Dense(self.settings["dense"], activation="relu", name="representation")(x)
            y = build.drop(x)
            for target, head in self._heads.items():
                assert head is not None
                name = self._output(target)
                if head.kind == "class":
                    outputs[name] = keras.layers.Dense(head.outputs, dtype="float32", name=name)(y)
                    continue
                # Without dropout, which blurs a number by more than its error. From zero: a first guess of a tiny
                # variance has a huge loss, whose gradient silences the layer below for good.
                first = keras.layers.Dense(head.outputs, dtype="float32", name=name, kernel_initializer="zeros")
                outputs[name] = first(x)
            return keras.Model(inputs, outputs, name=self.architecture)
        finally:
            keras.config.set_dtype_policy(policy)

    # -- fit ---------------------------------------------------------------------------------------------------------
    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        keras = start(self.settings["threads"], training=True)
        labels = {target: labels_of(y, target, self.targets, X.num_rows) for target in self.targets}
        shared = {name: self.settings[name] for name in CLASS_DEFAULTS if name in self.settings}
        wanted = make_heads(self.architecture, self.targets, self.settings["heads"])
        self._heads = {t: head or head_for(t, labels[t], shared) for t, head in wanted.items()}
        for target, head in self._heads.items():
            head.learn(labels[target])
        rows, labelled = self._labelled(X, labels, sample_weight)
        self._learn_inputs(X.take(pa.array(rows)))
        examples = self._examples(X, training=True)
        held_out = self._held(validation)
        folder = None
        if self.checkpoints is not None:
            folder = Path(self.checkpoints) / self._key(X, labels, sample_weight, validation, seed)[:32]
        self._forget()
        runs = []
        with held(folder) if folder else nullcontext():
            for member in range(self.settings["members"]):
                checkpoint = Checkpoint(folder, member) if folder else None
                own_seed = member_seed(seed, member)
                network, progress = self._train(keras, examples, rows, labelled, held_out, own_seed, checkpoint)
                self._networks.append(network)
                runs.append(progress)
            if folder is not None:
                remove(folder)
        self.seed = seed
        self.classes = {target: head.classes for target, head in self._heads.items() if head.kind == "class"}
        self.history = {
            "epochs": runs[0].epoch,
            "best_epoch": runs[0].best_epoch,
            "validation_loss": float(np.mean([run.best for run in runs])) if held_out else None,
            "loss": runs[0].losses,
            "parameters": int(self._networks[0].count_params()),
            "members": [{"epochs": run.epoch, "best_epoch": run.best_epoch} for run in runs],
        }
        return self

    def _train(
        self,
        keras: Any,
        examples: Examples,
        rows: np.ndarray,
        labelled: Labelled,
        held: tuple[Examples, Labelled] | None,
        seed: int,
        checkpoint: Checkpoint | None,
    ) -> tuple[Any, Any]:
        keras.utils.clear_session()  # names of layers, which are saved, count from one again
        keras.utils.set_random_seed(seed)
        network = self._build(keras)
        losses = {self._output(t): head.loss(keras) for t, head in self._heads.items()}
        weights = {self._output(t): head.params["weight"] for t, head in self._heads.items()}
        for name in set(network.output_names) - set(losses):
            losses[name], weights[name] = squared_error(keras), self.settings.get("reconstruct", 0.0)
        settings = {**self.settings, "loss_weights": weights}
        run, score = Training(keras, network, losses, settings, seed, checkpoint), None
        if held is not None:
            predict = Runner(network)

            def score() -> float:
                return self._held_loss(predict(held[0]), held[1])

        return network, run.run(examples, rows, labelled, score)

    def _labelled(
        self, X: pa.Table, labels: Mapping[str, np.ndarray], sample_weight: np.ndarray | None
    ) -> tuple[np.ndarray, Labelled]:
        """Rows with any label, and per output the encoded labels and weights of all rows."""
        encoded: Labelled = {}
        anywhere = np.zeros(X.num_rows, dtype=bool)
        given = np.ones(X.num_rows) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        if len(given) != X.num_rows or not (np.isfinite(given) & (given >= 0)).all():
            raise InputError(f"{self.architecture}: sample_weight is one number of 0 or more for each of the rows")
        for target, head in self._heads.items():
            codes, known = head.encode(labels[target], X)
            weight = head.balance(codes, known) * given if known.any() else np.zeros(X.num_rows)
            encoded[self._output(target)] = codes, weight
            anywhere |= known
        return np.flatnonzero(anywhere), encoded

    def _held(self, validation: tuple[pa.Table, Labels] | None) -> tuple[Examples, Labelled] | None:
        if validation is None:
            return None
        X, y = validation
        encoded: Labelled = {}
        for target, head in self._heads.items():
            codes, known = head.encode(labels_of(y, target, self.targets, X.num_rows), X)
            encoded[self._output(target)] = codes, known.astype(np.float64)
        anywhere = np.any([weight > 0 for _, weight in encoded.values()], axis=0)
        if not anywhere.any():
            return None
        rows = np.flatnonzero(anywhere)
        kept = {name: (codes[rows], weight[rows]) for name, (codes, weight) in encoded.items()}
        return self._examples(X.take(pa.array(rows))), kept

    def _held_loss(self, outputs: Mapping[str, np.ndarray], held: Labelled) -> float:
        """Weighted sum over targets of the mean negative log likelihood, of rows that have the label."""
        total = 0.0
        for target, head in self._heads.items():
            codes, weight = held[self._output(target)]
            if weight.any():
                score = head.score(codes, outputs[self._output(target)])
                total += head.params["weight"] * float((score * weight).sum() / weight.sum())
        return total

    def _key(
        self,
        X: pa.Table,
        labels: Mapping[str, np.ndarray],
        sample_weight: np.ndarray | None,
        validation: tuple[pa.Table, Labels] | None,
        seed: int,
    ) -> str:
        from importlib.metadata import version

        about = {
            "architecture": self.architecture,
            "layout": LAYOUT,
            "settings": self.settings,
            "features": self.features,
            "targets": self.targets,
            "seed": seed,
            "libraries": {name: version(name) for name in self.libraries},
        }
        tables, arrays = [(X, X.column_names)], [labels[target] for target in self.targets]
        if validation is not None:
            tables.append((validation[0], self.features))
            rows = validation[0].num_rows
            arrays += [labels_of(validation[1], target, self.targets, rows) for target in self.targets]
        if sample_weight is not None:
            arrays.append(np.asarray(sample_weight))
        return content_key(about, tables, arrays)

    # -- files -------------------------------------------------------------------------------------------------------
    @staticmethod
    def _file(member: int) -> str:
        return "network.keras" if member == 0 else f"network-{member}.keras"

    def _write(self, folder: Path) -> dict[str, Any]:
        if not self._networks:
            raise InputError(f"{self.architecture}: cannot save, it is not fitted yet")
        for member, network in enumerate(self._networks):
            save_network(network, folder / self._file(member))
        heads = {target: head.state() for target, head in self._heads.items() if head is not None}
        own = {target: head.params for target, head in self._heads.items() if head is not None}
        return {"layout": LAYOUT, "inputs": self._input_state(), "heads": heads, "head_params": own}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        if state.get("layout") != LAYOUT:
            raise IntegrityError(
                f"{folder}: layout {state.get('layout', 1)!r} of {self.architecture}, this version reads {LAYOUT}; "
                "train it again"
            )
        self._forget()
        self._restore_inputs(state["inputs"])
        for target, about in state["heads"].items():
            kind = ClassHead if about["kind"] == "class" else QuantityHead
            head: Head = kind(target, state["head_params"][target])
            head.restore(about, self.classes.get(target, ()))
            self._heads[target] = head
        for member in range(self.settings["members"]):
            network = load_network(folder / self._file(member), self.settings["threads"])
            expected = {self._output(target): head.outputs for target, head in self._heads.items() if head is not None}
            found = {name: int(tensor.shape[-1]) for name, tensor in network.output.items() if name in expected}
            if found != expected:
                raise IntegrityError(f"{folder / self._file(member)}: outputs {found} are not the model's {expected}")
            self._networks.append(network)


def member_seed(seed: int, member: int) -> int:
    """Seed of an ensemble's member; the first has the model's own."""
    return seed if member == 0 else int(np.random.SeedSequence([seed, member]).generate_state(1)[0])


def squared_error(keras: Any) -> Any:
    """Squared error per element; the weights that come with each batch hold the inverse variance."""

    def loss(truth: Any, found: Any) -> Any:
        return keras.ops.square(truth - keras.ops.cast(found, "float32"))

    return loss
