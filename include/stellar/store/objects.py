"""Paths in an object store, with the methods of `pathlib.Path` that the platform uses (fsspec, universal_pathlib)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Self

from upath import UPath
from upath.extensions import ProxyUPath

from stellar.errors import InputError

#: The cache is cut back to CACHE_BYTES when it has grown by CACHE_STEP since it was last looked at.
CACHE_BYTES = 20 << 30
CACHE_STEP = 1 << 30
#: What was fetched within this time may be about to be opened.
FRESH_S = 600
AT_ONCE = 16

_caches: dict[str, Path] = {}  # lake -> folder of copies, in this process
_grown = CACHE_STEP  # so that the first copy of a process looks


class ObjectPath(ProxyUPath):
    """A path in an object store. `os.fspath` of a file is a copy of it in the cache, as it is now."""

    @classmethod
    def of_lake(cls, url: str, cache: Path) -> Self:
        """Path of a lake; all paths below it have its cache."""
        _caches[url] = cache
        # Listings are not kept: other processes write there too.
        return cls._from_upath(UPath(url, use_listings_cache=False))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self), self._lake, _caches[self._lake])

    @property
    def _lake(self) -> str:
        text = str(self)
        for url in _caches:
            if text == url or text.startswith(f"{url}/"):
                return url
        raise InputError(f"{text} is in no lake of this process")

    def __truediv__(self, key: Any) -> Any:
        # as `pathlib` does: an absolute path stays what it is
        return Path(key) if str(key).startswith("/") else self._from_upath(self.__wrapped__ / str(key))

    def joinpath(self, *keys: Any) -> Any:
        path: Any = self
        for key in keys:
            path = path / key
        return path

    def __repr__(self) -> str:
        return f"ObjectPath({str(self)!r})"

    def relative_to(self, other: Any, /, *_: Any, walk_up: bool = False) -> Any:
        """The path below another, as a pure path: it is in no store."""
        return PurePosixPath(self.path).relative_to(other.path.rstrip("/"))

    def __fspath__(self) -> str:
        return str(self._copy_here())

    def open(self, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
        """The object itself, not a copy; how it is buffered is for the store's client to say."""
        return self.__wrapped__.open(mode, -1, *args, **kwargs)

    def _copy_here(self) -> Path:
        """The object in a file of the cache, named by address and version (ETag)."""
        about = self.fs.info(self.path)
        if about["type"] == "directory":
            raise IsADirectoryError(f"{self}: a folder of the object store is no file of this machine")
        version = hashlib.sha256(f"{self}\0{about.get('ETag')}\0{about['size']}".encode()).hexdigest()
        folder = _caches[self._lake]
        file = folder / version[:2] / f"{version[2:40]}{self.suffix}"
        made = about["LastModified"].timestamp()
        try:
            os.utime(file, (time.time(), made))  # when it was last asked for, and the object's own time
            return file
        except FileNotFoundError:
            file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f".{uuid.uuid4().hex}")
        try:
            self.fs.get_file(self.path, str(fresh))
            if fresh.stat().st_size != about["size"]:
                raise OSError(f"{self}: {fresh.stat().st_size} bytes came, {about['size']} were announced")
            os.utime(fresh, (time.time(), made))
            fresh.replace(file)
        finally:
            fresh.unlink(missing_ok=True)
        _make_room(folder, about["size"])
        return file

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """An object store has no folders to make."""

    def replace(self, target: Any) -> Any:
        """Move an object; readers of the target see the old one or the new one."""
        self.fs.copy(self.path, target.path)
        self.fs.rm_file(self.path)
        return target

    def rename(self, target: Any, **_: Any) -> Any:
        """Move a folder or an object. A folder's objects come one after another."""
        if not self.is_dir():
            return self.replace(target)
        names = list(self.sizes())
        self._copy_all([f"{self.path}/{name}" for name in names], [f"{target.path}/{name}" for name in names])
        self.remove()
        return target

    def put(self, source: Path) -> None:
        """Put a file here: a file of this machine, or another object, which the store copies itself."""
        if isinstance(source, ObjectPath):
            self.fs.copy(source.path, self.path)
        else:
            self.fs.put_file(os.fspath(source), self.path)

    def remove(self) -> None:
        """Remove a folder and everything below it, if it is there."""
        found = [f"{self.path}/{name}" for name in self.sizes()]
        if found:
            self.fs.rm(found)

    def sizes(self) -> dict[str, int]:
        """Bytes of every object below here, by its path below here."""
        found = self.fs.find(self.path, detail=True)
        skip = len(self.path) + 1
        return {name[skip:]: int(about["size"]) for name, about in found.items()}

    def publish(self, folder: Path, copies: Mapping[str, ObjectPath], last: str) -> None:
        """Put a folder's files, and copies of objects, here; `last` after all others. What lay here is replaced."""
        before = set(self.sizes())
        with contextlib.suppress(FileNotFoundError):
            (self / last).unlink(missing_ok=True)
        files = {one.relative_to(folder).as_posix(): one for one in folder.rglob("*") if one.is_file()}
        # what is made again in its own place takes over what lies there
        moved = {file: source for file, source in copies.items() if source.path != f"{self.path}/{file}"}
        self._copy_all([source.path for source in moved.values()], [f"{self.path}/{file}" for file in moved])
        first = sorted(set(files) - {last})
        self.fs.put([str(files[file]) for file in first], [f"{self.path}/{file}" for file in first], batch_size=AT_ONCE)
        stale = [f"{self.path}/{file}" for file in sorted(before - set(files) - set(copies))]
        if stale:
            self.fs.rm(stale)
        self.fs.put_file(str(files[last]), f"{self.path}/{last}")

    def _copy_all(self, sources: list[str], targets: list[str]) -> None:
        if sources:
            self.fs.copy(sources, targets, batch_size=AT_ONCE, on_error="raise")

    def check_reachable(self) -> None:
        """Whether the bucket can be listed; InputError when not."""
        try:
            self.fs.ls(self.path.partition("/")[0], detail=False)
        except FileNotFoundError:
            raise InputError(f"STELLAR_LAKE={self}: there is no such bucket; make it first") from None
        except Exception as error:  # whatever its client says: keys, endpoint, network
            raise InputError(
                f"STELLAR_LAKE={self}: the object store cannot be reached ({type(error).__name__}: {error}); check "
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL"
            ) from error


def _reopen(url: str, lake: str, cache: Path) -> ObjectPath:
    root = ObjectPath.of_lake(lake, cache)
    return root if url == lake else root / url.removeprefix(f"{lake}/")


def _make_room(folder: Path, added: int) -> None:
    """Remove the copies that were not asked for the longest, once the cache may have outgrown its bound."""
    global _grown
    _grown += added
    if _grown < CACHE_STEP:
        return
    _grown = 0
    files = sorted((file.stat().st_atime, file.stat().st_size, file) for file in folder.glob("*/*") if file.is_file())
    excess = sum(size for _, size, _ in files) - CACHE_BYTES
    for used, size, file in files:
        if excess <= 0 or used > time.time() - FRESH_S:
            return
        file.unlink(missing_ok=True)
        excess -= size
