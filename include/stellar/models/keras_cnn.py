"""A 1-D convolutional classifier of spectra on a fixed grid (Keras 3 on TensorFlow).

Two channels go in: the depth of each bin below the continuum, shrunk towards zero where the noise is larger than a
line could be, and the weight it was shrunk by, so that the network can tell "no line" from "not seen".
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.models.base import Labels, Model, encode_labels, merge_params, numeric_matrix
from stellar.models.xgb import balanced_weights

if TYPE_CHECKING:
    import keras

SEQUENCES = ("flux", "ivar", "mask")
WEIGHTS_FILE = "network.keras"
DEFAULTS: dict[str, Any] = {
    "filters": [16, 32, 48, 64],
    "kernels": [9, 7, 5, 5],
    "dense": 64,
    "dropout": 0.3,
    "learning_rate": 2e-3,
    "weight_decay": 1e-4,
    "batch_size": 64,
    "epochs": 20,
    "patience": 6,
    "class_weight_power": 0.5,
    "noise_scale": 0.05,  # a bin with this relative error counts half
    "clip": 2.0,  # depths and emission beyond this many continua say nothing more
    "threads": 2,  # fixed: sums on another number of threads may round differently
}


@cache
def _keras(threads: int) -> Any:
    """Keras with TensorFlow set up once per process: quiet, deterministic, few threads."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:  # something else in this process used TensorFlow first
        raise InputError(
            f"TensorFlow runs already with other threads ({error}); train in a process of its own"
        ) from error
    return keras


def _list_matrix(X: pa.Table, name: str) -> np.ndarray:
    """List column whose rows all have one length, as a matrix."""
    if name not in X.column_names:
        raise InputError(f"the frame lacks list column {name}; it has {', '.join(X.column_names)}")
    column = X.column(name).combine_chunks()
    column = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    flat, lengths = column.flatten(), np.diff(column.offsets.to_numpy())
    if column.null_count or len(set(lengths.tolist())) > 1:
        raise InputError(f"column {name}: spectra must all be on one grid; their lengths differ or some are null")
    return flat.to_numpy(zero_copy_only=False).reshape(len(column), -1)


class SpectralCNN(Model):
    """Convolutions over the spectrum, then a dense layer; scalar columns among `features` join before it.

    Parameters are `DEFAULTS`. `features` must hold `flux`, `ivar` and `mask`; any other is a scalar, standardised, a
    missing one standing for the mean.
    """

    architecture = "spectral_cnn"
    family = "spectra"
    kind = "sequence"
    libraries = ("keras", "tensorflow-cpu", "numpy")

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        lacking = [name for name in SEQUENCES if name not in self.features]
        if lacking:
            raise InputError(f"{self.architecture}: features lack {', '.join(lacking)}")
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        self.scalars = tuple(name for name in self.features if name not in SEQUENCES)
        self._network: keras.Model | None = None
        self._centre, self._scale = np.zeros(0), np.ones(0)
        self._bins = 0

    # -- inputs ------------------------------------------------------------------------------------------------------
    def _channels(self, X: pa.Table) -> np.ndarray:
        """Float32[n, bins, 2]: weighted depth and weight."""
        flux, ivar = _list_matrix(X, "flux"), _list_matrix(X, "ivar")
        mask = _list_matrix(X, "mask").astype(bool)
        good = ~mask & np.isfinite(flux) & (ivar > 0)
        weight = np.where(good, ivar / (ivar + self.settings["noise_scale"] ** -2), 0.0)
        clip = self.settings["clip"]
        depth = np.clip(np.where(good, flux - 1, 0.0), -clip, clip)
        return np.stack([depth * weight, weight], axis=2).astype(np.float32)

    def _inputs(self, X: pa.Table) -> list[np.ndarray]:
        channels = self._channels(X)
        if not self.scalars:
            return [channels]
        scaled = (numeric_matrix(X, self.scalars) - self._centre) / self._scale
        return [channels, np.clip(np.nan_to_num(scaled), -5, 5).astype(np.float32)]

    # -- network -----------------------------------------------------------------------------------------------------
    def _build(self, keras: Any, classes: int) -> keras.Model:
        layers, own = keras.layers, self.settings
        spectrum = layers.Input((self._bins, 2), name="spectrum")
        x = spectrum
        for filters, kernel in zip(own["filters"], own["kernels"], strict=True):
            x = layers.Conv1D(filters, kernel, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.Activation("relu")(x)
            x = layers.MaxPooling1D(3 if filters == own["filters"][0] else 2)(x)
        # flattened, not pooled: where a line lies is what it says
        x = layers.Dropout(own["dropout"])(layers.Flatten()(x))
        inputs = [spectrum]
        if self.scalars:
            inputs.append(layers.Input((len(self.scalars),), name="scalars"))
            x = layers.Concatenate()([x, inputs[1]])
        x = layers.Dropout(own["dropout"])(layers.Dense(own["dense"], activation="relu")(x))
        return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x), name="spectral_cnn")

    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        keras, own = _keras(self.settings["threads"]), self.settings
        (target,) = self.targets
        labels = np.asarray(y[target] if isinstance(y, Mapping) else y)
        codes, names = encode_labels(labels)
        if len(names) < 2 or len(codes) != X.num_rows:
            raise InputError(f"{self.architecture}: {X.num_rows} rows, {len(codes)} labels, {len(names)} classes")
        known = np.flatnonzero(codes >= 0)
        if self.scalars:
            raw = numeric_matrix(X, self.scalars)[known].astype(np.float64)
            self._centre = np.nan_to_num(np.nanmean(raw, axis=0))
            spread = np.nan_to_num(np.nanstd(raw, axis=0))
            self._scale = np.where(spread > 0, spread, 1.0)
        inputs = [part[known] for part in self._inputs(X)]
        weight = balanced_weights(codes[known], own["class_weight_power"])
        if sample_weight is not None:
            weight = weight * np.asarray(sample_weight)[known]

        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        self._bins = inputs[0].shape[1]
        network = self._build(keras, len(names))
        batches = max(1, -(-len(known) // own["batch_size"]))
        rate = keras.optimizers.schedules.CosineDecay(own["learning_rate"], own["epochs"] * batches, alpha=0.02)
        network.compile(
            keras.optimizers.AdamW(rate, weight_decay=own["weight_decay"]), "sparse_categorical_crossentropy"
        )
        held, callbacks = self._validation(keras, validation, target, names)
        log = network.fit(
            inputs,
            codes[known],
            sample_weight=weight.astype(np.float32),
            batch_size=own["batch_size"],
            epochs=own["epochs"],
            validation_data=held,
            callbacks=callbacks,
            verbose=0,
        )
        self._network, self.seed, self.classes = network, seed, {target: names}
        losses = log.history.get("val_loss", log.history["loss"])
        best = int(np.argmin(losses))
        self.history = {
            "epochs": len(losses),
            "best_epoch": best + 1,
            "validation_loss": float(losses[best]) if held else None,
            "loss": [round(float(loss), 5) for loss in log.history["loss"]],
            "parameters": int(network.count_params()),
        }
        return self

    def _validation(
        self, keras: Any, validation: tuple[pa.Table, Labels] | None, target: str, names: tuple[str, ...]
    ) -> tuple[tuple[list[np.ndarray], np.ndarray] | None, list[Any]]:
        if validation is None:
            return None, []
        labels = validation[1][target] if isinstance(validation[1], Mapping) else validation[1]
        codes, _ = encode_labels(np.asarray(labels), names)
        rows = np.flatnonzero(codes >= 0)
        if not len(rows):
            return None, []
        stop = keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=self.settings["patience"], restore_best_weights=True
        )
        return ([part[rows] for part in self._inputs(validation[0])], codes[rows]), [stop]

    def predict_proba(self, X: pa.Table, target: str | None = None) -> np.ndarray:
        names = self.classes[self._class_target(target)]
        if self._network is None:
            raise InputError(f"{self.architecture}: not fitted yet")
        if not X.num_rows:
            return np.zeros((0, len(names)))
        inputs = self._inputs(X)
        if inputs[0].shape[1] != self._bins:
            raise InputError(f"spectra have {inputs[0].shape[1]} bins, the model learnt {self._bins}: another grid")
        p = np.asarray(self._network.predict(inputs, batch_size=256, verbose=0), dtype=np.float64)
        return p / p.sum(axis=1, keepdims=True)

    # -- files -------------------------------------------------------------------------------------------------------
    def _write(self, folder: Path) -> dict[str, Any]:
        if self._network is None:
            raise InputError(f"{self.architecture}: cannot save, it is not fitted yet")
        path = folder / WEIGHTS_FILE
        keras = _keras(self.settings["threads"])
        bare = keras.Model.from_config(
            self._network.get_config()
        )  # without the optimiser's state, three times the size
        bare.set_weights(self._network.get_weights())
        bare.save(path)
        _without_times(path)
        return {"bins": self._bins, "centre": self._centre.tolist(), "scale": self._scale.tolist()}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        keras = _keras(self.settings["threads"])
        # safe mode refuses layers that carry code; compile=False leaves the optimiser's state alone
        self._network = keras.saving.load_model(folder / WEIGHTS_FILE, safe_mode=True, compile=False)
        self._bins = int(state["bins"])
        self._centre, self._scale = np.asarray(state["centre"]), np.asarray(state["scale"])


def _without_times(path: Path) -> None:
    """Rewrite a `.keras` archive without its dates: the same weights are then the same bytes, and the same artifact."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    about = json.loads(members["metadata.json"])
    about.pop("date_saved", None)
    members["metadata.json"] = json.dumps(about, sort_keys=True).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name])
