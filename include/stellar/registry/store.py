"""Content-addressed artifacts: a folder of files under the SHA-256 of what it holds, checked each time it is opened.

The address of a folder is the SHA-256 of its listing, one line `<sha256> <bytes> <relative path>` per file, sorted by
path; so one changed, missing or added byte or file gives another address. Nothing that could run code on load is
accepted: only the file types below, and no file that begins like a pickle.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from stellar.errors import InputError, IntegrityError
from stellar.pages import HEADS

TEXTS = {".json", ".md", ".png", ".svg", ".txt", ".csv", ".yaml"}
PAGES = {".html"}  # ours alone, whose head keeps them from running or loading anything
ACCEPTED = {*TEXTS, *PAGES, ".parquet", ".ubj", ".keras", ".h5", ".npy", ".npz"}
_CHUNK = 1 << 20


class ArtifactStore:
    """Artifact folders below `root`, named by their address."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, address: str) -> Path:
        return self.root / address

    def put(self, folder: Path) -> str:
        """Copy `folder` into the store and return its address; the same content twice is stored once.

        Raises
        ------
        InputError
            If the folder is empty, or holds a pickle, a link or a file of an unknown type.
        """
        listing = list_files(folder)
        address = address_of(listing)
        if self.path(address).is_dir():
            return address
        self.root.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".staged-", dir=self.root))
        try:
            for relative, _, _ in listing:
                target = staged / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / relative, target)
                _sync(target)
            staged.chmod(0o755)
            try:
                staged.rename(self.path(address))
            except OSError:
                if not self.path(address).is_dir():  # another attempt, with the same content, was first
                    raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return address

    def get(self, address: str) -> Path:
        """Folder of an artifact, after its bytes were checked against the address.

        Raises
        ------
        IntegrityError
            If the folder is not there, or holds anything else than what was put. Nothing of it may be loaded then.
        """
        folder = self.path(address)
        if not folder.is_dir():
            raise IntegrityError(
                f"{folder}: the artifact is not in this home's store; train again, or copy the folder from a backup"
            )
        try:
            found = address_of(list_files(folder))
        except InputError as fault:
            raise IntegrityError(f"{folder}: the artifact was changed after it was stored: {fault}") from None
        if found != address:
            raise IntegrityError(
                f"{folder}: the files' hash is {found[:16]}…, not the address; the artifact was changed after it was "
                "stored and is not loaded. Remove the folder and train again, or restore it from a backup"
            )
        return folder


def list_files(folder: Path) -> list[tuple[str, str, int]]:
    """(relative path, SHA-256, bytes) of each file below `folder`, sorted by path.

    Raises
    ------
    InputError
        For an empty folder, a link, or a file that is not of an accepted type.
    """
    listing = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise InputError(f"{path}: an artifact holds files only, no links; copy the file in")
        if path.is_dir():
            continue
        _refuse_code(path)
        listing.append((path.relative_to(folder).as_posix(), _sha256(path), path.stat().st_size))
    if not listing:
        raise InputError(f"{folder}: an artifact needs at least one file")
    return sorted(listing)


def address_of(listing: list[tuple[str, str, int]]) -> str:
    """Address of a folder with this listing."""
    text = "".join(f"{digest} {size} {name}\n" for name, digest, size in listing)
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_code(path: Path) -> None:
    if path.suffix not in ACCEPTED:
        accepted = " ".join(sorted(ACCEPTED))
        raise InputError(f"{path}: artifacts hold no such files; accepted: {accepted}")
    with path.open("rb") as stream:
        head = stream.read(max(len(one) for one in HEADS))
    if path.suffix in PAGES and not head.startswith(tuple(one.encode() for one in HEADS)):
        raise InputError(f"{path}: is no page of this platform, and another could run scripts; leave it out")
    if len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5:  # PROTO opcode and number of a pickle
        raise InputError(f"{path}: a pickle can run code when it is loaded; save the model in its own format")
    if path.suffix in (".npy", ".npz"):
        _refuse_objects(path)


def _refuse_objects(path: Path) -> None:
    """NumPy keeps arrays of objects as pickles."""
    import numpy as np

    try:
        if path.suffix == ".npy":
            has_objects = [np.lib.format.open_memmap(path, mode="r").dtype.hasobject]
        else:
            with np.load(path, allow_pickle=False) as archive:
                has_objects = [archive[name].dtype.hasobject for name in archive.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as fault:
        raise InputError(f"{path}: no plain NumPy arrays ({fault}); save numbers and texts, no objects") from None
    if any(has_objects):
        raise InputError(f"{path}: arrays of objects are pickles; save numbers and texts")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
