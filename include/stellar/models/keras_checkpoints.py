"""State of a training after each epoch, so that a process that was killed goes on where it stopped.

A folder is named by the content of everything that decides the weights, so a checkpoint is never taken up by another
training. One file per member holds arrays alone (no pickles) and is replaced whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

log = logging.getLogger(__name__)


def content_key(
    about: Mapping[str, Any], tables: Sequence[tuple[pa.Table, Sequence[str]]], arrays: Sequence[Any]
) -> str:
    """SHA-256 of JSON, of table columns and of arrays by value, whatever the tables' chunks and offsets."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for table, columns in tables:
        for name in columns:
            digest.update(f"|{name}|{table.num_rows}|".encode())
            _add_column(digest, table.column(name) if name in table.column_names else None)
    for array in arrays:
        values = np.asarray(array)
        digest.update(f"|{values.shape}|".encode())
        digest.update(_bytes(values))
    return digest.hexdigest()


def _add_column(digest: Any, column: pa.ChunkedArray | None) -> None:
    if column is None:
        return
    values = column.combine_chunks()
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    for chunk in chunks:
        while pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type):
            digest.update(np.diff(chunk.offsets.to_numpy()).astype(np.int64).tobytes())
            digest.update(chunk.is_valid().to_numpy(zero_copy_only=False).tobytes())
            chunk = chunk.flatten()
        plain = chunk.to_numpy(zero_copy_only=False)
        digest.update(chunk.is_valid().to_numpy(zero_copy_only=False).tobytes())
        digest.update(repr(plain.tolist()).encode() if plain.dtype == object else np.ascontiguousarray(plain).tobytes())


def _bytes(values: np.ndarray) -> bytes:
    return repr(values.tolist()).encode() if values.dtype == object else np.ascontiguousarray(values).tobytes()


class Checkpoint:
    """File with the state of one member's training."""

    def __init__(self, folder: Path, member: int) -> None:
        self.path = folder / f"member-{member}.npz"

    def write(self, about: Mapping[str, Any], groups: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Replace the file by JSON and named groups of arrays; after a crash the old or the new one is there."""
        arrays = {
            f"{name}-{k:04d}": np.asarray(array) for name, group in groups.items() for k, array in enumerate(group)
        }
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        staging = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with staging.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(self.path)

    def read(self) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]] | None:
        """What `write` wrote, or None where nothing (readable) is."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                groups: dict[str, list[np.ndarray]] = {}
                for name in sorted(file.files):
                    if name != "about":
                        groups.setdefault(name.rpartition("-")[0], []).append(file[name])
                return json.loads(file["about"].tobytes()), groups
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("%s cannot be read (%s); the training starts from its beginning", self.path, error)
            return None


def remove(folder: Path) -> None:
    """Remove the checkpoints of a finished training."""
    shutil.rmtree(folder, ignore_errors=True)
