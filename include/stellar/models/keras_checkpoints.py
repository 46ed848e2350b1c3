"""State of a training after each epoch, so that a process that was killed goes on where it stopped.

A folder is named by the content of everything that decides the weights, so a checkpoint is never taken up by another
training. One file per member holds arrays alone (no pickles) and is replaced whole. A training holds a lock on its
folder, which the system lets go of however the process ends: so what nobody holds was left, or waits to be resumed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

log = logging.getLogger(__name__)
LOCK = ".lock"
BEGINS_S = 60.0  # between the making of a training's folder and that of its lock, by far


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


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a training's folder, which is made, while it trains. Two attempts at one training may hold it at once."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the maintenance took the folder away in between
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if _is_at(lock, folder / LOCK):
                yield
                return
        finally:
            os.close(lock)


def _is_at(opened: int, path: Path) -> bool:
    """Whether an open file still lies at its path: one that waited for a lock may have been removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except FileNotFoundError:
        return False


def remove_abandoned(root: Path, older_s: float, *, dry_run: bool = False) -> list[tuple[Path, int]]:
    """Remove what trainings left that were killed and not resumed.

    Parameters
    ----------
    root : Path
        Holds a folder for each version of the code, and in it one for each training.
    older_s : float
        Only what was last written so many seconds ago, or longer; never that of a training that runs.
    dry_run : bool
        Only tell.

    Returns
    -------
    list of (Path, int)
        The folders of trainings and the bytes of their files.
    """
    found = []
    for code in sorted(one for one in root.iterdir() if one.is_dir()) if root.is_dir() else []:
        for folder in sorted(one for one in code.iterdir() if one.is_dir()):
            with _alone(folder) as alone:
                written, size = _written(folder)
                if not alone or time.time() - written < older_s:
                    continue
                found.append((folder, size))
                if not dry_run:
                    remove(folder)
        with contextlib.suppress(OSError):  # it holds others, or one that began just now
            if not dry_run:
                code.rmdir()
    return found


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no training holds the folder; none begins with it until the end of the block."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        # of a program from before there were locks, whose age alone decides; or made just now, its lock to come
        try:
            is_older = time.time() - folder.stat().st_mtime > BEGINS_S
        except FileNotFoundError:
            is_older = False
        yield is_older
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)


def _written(folder: Path) -> tuple[float, int]:
    """When something in a folder was last written, in seconds of the epoch, and the bytes in it."""
    last, size = 0.0, 0
    for one in [folder, *folder.iterdir()]:
        with contextlib.suppress(FileNotFoundError):
            about = one.stat()
            last = max(last, about.st_mtime)
            size += 0 if one is folder else about.st_size
    return last, size
