"""Keras on TensorFlow, set up once for a process, and networks as files that hold no code."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.errors import InputError, IntegrityError

if TYPE_CHECKING:
    import keras

LIBRARIES = ("keras", "tensorflow-cpu", "numpy")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_threads: int | None = None


def start(threads: int, *, training: bool = False) -> Any:
    """The `keras` module on TensorFlow: quiet, deterministic, with a fixed number of threads.

    The threads belong to the process and the first call sets them. Sums on another number of threads may round
    differently, so training refuses to go on with another number; prediction takes what it finds.

    Parameters
    ----------
    threads : int
        Threads within one operation; operations run one after another.
    training : bool
        Whether the exact number matters.

    Raises
    ------
    InputError
        When training is to run with other threads than this process has.
    """
    global _threads
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # three times as fast; the same every time too
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    if _threads is None:
        tf.config.experimental.enable_op_determinism()
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
            _threads = threads
        except RuntimeError:  # something else in this process used TensorFlow first
            _threads = tf.config.threading.get_intra_op_parallelism_threads()
    if training and _threads != threads:
        raise InputError(
            f"TensorFlow runs already with {_threads or 'its own choice of'} threads, the model asks for {threads}; "
            "train it in a process of its own, or set the parameter `threads` alike"
        )
    return keras


def save_network(network: keras.Model, path: Path) -> None:
    """Write a `.keras` file without the optimiser's state (three times the size) and without dates.

    The same weights are then the same bytes, and the same artifact.
    """
    keras = start(1)
    bare = keras.Model.from_config(network.get_config())
    bare.set_weights(network.get_weights())
    bare.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    about = json.loads(members["metadata.json"])
    about.pop("date_saved", None)
    members["metadata.json"] = json.dumps(about, sort_keys=True).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name])


def load_network(path: Path, threads: int) -> keras.Model:
    """Network of `save_network`.

    Safe mode refuses layers that carry code; without compiling, the optimiser's state is left alone.

    Raises
    ------
    IntegrityError
        When the file is missing, damaged, or refused by safe mode.
    """
    keras = start(threads)
    try:
        return keras.saving.load_model(path, safe_mode=True, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise IntegrityError(f"{path}: no network that can be read safely ({reason}); restore the artifact") from error
