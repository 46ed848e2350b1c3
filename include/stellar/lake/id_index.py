"""Where ids are: an index beside the lake, made at the first question for one, since ids do not follow the sky.

The index is a sorted list of 64-bit numbers, cut into files by their first bits: 40 bits of an id's hash, and the
number of the row group that it is in. What it leads to is read and compared with the ids themselves, so that a wrong
lead costs time and nothing else; what it leaves out would be missed, so each of its files is read whole and compared
with its SHA-256 first.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stellar.errors import InputError, IntegrityError
from stellar.store import is_remote

from .hashes import hash64
from .kept import KEPT, array_bytes, footer
from .search import Searchable

log = logging.getLogger(__name__)
#: Goes into an index's name with all that it was made from.
VERSION = 1
INDEX_FILE = "index.json"
#: Rows of one of the index's files: a few milliseconds to read and check.
SHARD_ROWS = 1 << 18
#: Rows whose entries are in memory at once while an index is made.
BUFFER_ROWS = 4 << 20
_ATTEMPTS = 5
_GROUP_BITS = 24
_GROUP_MASK = np.uint64((1 << _GROUP_BITS) - 1)


class IdIndex:
    """An open index: which row groups may hold an id.

    Parameters
    ----------
    folder : Path
    about : dict
        What `index.json` says.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder = folder
        self.shift = 64 - int(about["bits"])
        self.shards: list[str] = about["shards"]
        self.starts = np.concatenate([[0], np.cumsum(about["groups"])]).astype(np.int64)

    def groups(self, hashes: NDArray[np.uint64]) -> list[tuple[int, int]]:
        """(number of the file, row group) of all row groups that may hold ids of these hashes, in their order."""
        wanted = np.unique(hashes & ~_GROUP_MASK)
        found = [np.empty(0, np.uint64)]
        for shard, some in _by_shard(wanted, self.shift):
            entries = self._shard(shard)
            starts, ends = np.searchsorted(entries, some), np.searchsorted(entries, some | _GROUP_MASK, side="right")
            found += [entries[start:end] & _GROUP_MASK for start, end in zip(starts, ends, strict=True)]
        groups = np.unique(np.concatenate(found)).astype(np.int64)
        files = np.searchsorted(self.starts, groups, side="right") - 1
        return list(zip(files.tolist(), (groups - self.starts[files]).tolist(), strict=True))

    def _shard(self, shard: int) -> NDArray[np.uint64]:
        def read() -> NDArray[np.uint64]:
            content = _shard_file(self.folder, shard).read_bytes()
            if hashlib.sha256(content).hexdigest() != self.shards[shard]:
                raise IntegrityError(f"{_shard_file(self.folder, shard)}: is not what was written")
            return np.load(io.BytesIO(content))

        return KEPT.get((str(self.folder), shard, self.shards[shard]), read, array_bytes)


class Source(NamedTuple):
    """What an index is made of: partition files, their id column, and where indexes are kept."""

    opened: Searchable
    id_column: str
    cache: Path

    @property
    def root(self) -> str:
        """The catalogue's folder."""
        root = self.opened.catalog.root
        return str(root if is_remote(root) else root.resolve())

    def folder(self, identity: str) -> Path:
        """Where the index lies."""
        return self.cache / f"{self.opened.catalog.root.name}-{self.id_column}-{identity[:16]}"

    def identity(self) -> str:
        """Hash of all that the index follows from."""
        text = json.dumps([VERSION, SHARD_ROWS, self.root, self.id_column, self.opened.fingerprint])
        return hashlib.sha256(text.encode()).hexdigest()


def find_index(source: Source) -> IdIndex | None:
    """The index of a catalogue's ids; None where there is none, or a damaged one."""
    identity = source.identity()
    folder = source.folder(identity)
    try:
        about = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
        return IdIndex(folder, about) if about["identity"] == identity else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        log.warning("%s: damaged; it is made anew", folder)
        return None


def remove_index(index: IdIndex) -> None:
    """Remove a damaged index. One that another process makes or uses meanwhile is made again."""
    shutil.rmtree(index.folder, ignore_errors=True)


def make_index(source: Source) -> IdIndex:
    """Make an index aside and rename it into place; of two that are made at once, one stays."""
    identity = source.identity()
    folder = source.folder(identity)
    draft = source.cache / f".{folder.name}.{uuid.uuid4().hex}.tmp"
    draft.mkdir(parents=True)
    try:
        footers = [footer(path) for path in source.opened.files]
        rows = sum(int(one.starts[-1]) for one in footers)
        groups = [len(one.starts) - 1 for one in footers]
        if sum(groups) >= 1 << _GROUP_BITS:
            raise InputError(f"{source.root}: has {sum(groups)} row groups; an index of ids takes 16 million")
        bits = max(0, (max(rows, 1) - 1).bit_length() - (SHARD_ROWS - 1).bit_length())
        shards = _write_shards(draft, _entries(source), bits)
        about = {"identity": identity, "root": source.root, "bits": bits, "groups": groups, "shards": shards}
        (draft / INDEX_FILE).write_text(json.dumps(about), encoding="utf-8")
        _remove_orphans(source, keep=folder)
        for _ in range(_ATTEMPTS):
            try:
                draft.rename(folder)
                return IdIndex(folder, about)
            except OSError:  # there is one: another process was faster, or its predecessor is damaged
                if (found := find_index(source)) is not None:
                    return found
                shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"{folder}: an index of ids cannot be put there; remove the folder")
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _entries(source: Source) -> Iterator[NDArray[np.uint64]]:
    """Entries of all row groups, some millions at a time."""
    held: list[NDArray[np.uint64]] = []
    number = 0
    wanted = source.opened.chosen([source.id_column])
    for path in source.opened.files:
        about = footer(path)
        with about.open() as file:
            for group in range(len(about.starts) - 1):
                held.append(hash64(about.read(file, group, wanted).column(0)) & ~_GROUP_MASK | np.uint64(number))
                number += 1
                if sum(map(len, held)) >= BUFFER_ROWS:
                    yield np.concatenate(held)
                    held = []
    if held:
        yield np.concatenate(held)


def _write_shards(draft: Path, entries: Iterator[NDArray[np.uint64]], bits: int) -> list[str]:
    """Sort entries into one file per value of their first bits; SHA-256 of each."""
    for some in entries:
        for shard, part in _by_shard(np.sort(some), 64 - bits):
            with _unsorted_file(draft, shard).open("ab") as stream:
                part.tofile(stream)
    found = []
    for shard in range(1 << bits):
        unsorted = _unsorted_file(draft, shard)
        values = np.fromfile(unsorted, np.uint64) if unsorted.exists() else np.empty(0, np.uint64)
        unsorted.unlink(missing_ok=True)
        content = io.BytesIO()
        np.save(content, _distinct(values))
        _shard_file(draft, shard).write_bytes(content.getbuffer())
        found.append(hashlib.sha256(content.getbuffer()).hexdigest())
    return found


def _distinct(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sorted, each once; np.unique takes twenty times as long for so many that differ."""
    values.sort()
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


def _by_shard(values: NDArray[np.uint64], shift: int) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """Sorted numbers by their first bits: those bits, and the numbers."""
    # NumPy shifts by 64 as by 0.
    shards = values >> np.uint64(shift) if shift < 64 else np.zeros(len(values), np.uint64)
    cuts = np.flatnonzero(np.diff(shards)) + 1
    for part in np.split(np.arange(len(values)), cuts):
        if len(part):
            yield int(shards[part[0]]), values[part[0] : part[-1] + 1]


def _shard_file(folder: Path, shard: int) -> Path:
    return folder / f"{shard}.npy"


def _unsorted_file(folder: Path, shard: int) -> Path:
    return folder / f"{shard}.unsorted"


def _remove_orphans(source: Source, keep: Path) -> None:
    """Remove indexes of folders that are gone, and of this one as it was before."""
    for file in source.cache.glob(f"*/{INDEX_FILE}"):
        folder = file.parent
        if folder == keep or folder.name.startswith("."):
            continue
        try:
            root = json.loads(file.read_text(encoding="utf-8"))["root"]
        except (OSError, ValueError, KeyError):
            continue
        before = root == source.root and folder.name.rpartition("-")[0] == keep.name.rpartition("-")[0]
        if before or not ("://" in root or Path(root).exists()):
            shutil.rmtree(folder, ignore_errors=True)
