"""Where a lake lies: a folder here, or an object store (`s3://bucket/prefix`). What differs between the two is here.

Everything else takes the lake as a `pathlib.Path`. Of a lake in an object store that is an `ObjectPath`, which has the
same methods; a library that wants a file of the machine is given a copy in the home's cache. Snapshots are put together
on this machine and become visible by their manifest, which is put there last.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from stellar.errors import InputError

if TYPE_CHECKING:
    from stellar.store.objects import ObjectPath

SCHEMES = ("s3",)
SNAPSHOT_PARTS = 3  # a snapshot's folder is layer/subject/key


def open_lake(url: str, cache: Path) -> Path:
    """The lake at an address, `s3://bucket/prefix`, as a path.

    Parameters
    ----------
    url : str
        Credentials and endpoint come from the environment as every S3 client takes them (`AWS_ACCESS_KEY_ID`,
        `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, `AWS_PROFILE`, …).
    cache : Path
        Folder for copies of objects; may be removed at any time.

    Raises
    ------
    InputError
        When the address is none.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES or not rest.strip("/"):
        raise InputError(f"STELLAR_LAKE={url}: give s3://BUCKET or s3://BUCKET/PREFIX, or unset it for a lake at home")
    from stellar.store.objects import ObjectPath

    return ObjectPath.of_lake(f"{scheme}://{rest.strip('/')}", cache)  # type: ignore[return-value]


def is_remote(path: Any) -> bool:
    """Whether a path is in an object store."""
    return not isinstance(path, PurePath | str)


def check_reachable(lake: Path) -> None:
    """Ask an object store whether the lake's bucket is there.

    Raises
    ------
    InputError
        When it is not, or cannot be asked.
    """
    if is_remote(lake):
        _remote(lake).check_reachable()


def link(source: Path, target: Path) -> None:
    """Hard link, or a copy where there is none (another device, too many links, an object store)."""
    if is_remote(target):
        _remote(target).put(source)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remove(folder: Path) -> None:
    """Remove a folder and all below it, if it is there."""
    if is_remote(folder):
        _remote(folder).remove()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file below a folder, by its path below it; one question where each would be one."""
    if is_remote(folder):
        return _remote(folder).sizes()
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return found


@contextmanager
def writing(final: Path, aside: Path) -> Iterator[Path]:
    """A file of this machine to be written, then put in its place in the lake.

    Parameters
    ----------
    final : Path
        Its place; on this machine it is written there.
    aside : Path
        Folder of this machine for what is on its way.
    """
    if not is_remote(final):
        yield final
        return
    folder = aside / f"write-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        yield folder / final.name
        link(folder / final.name, final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Files:
    """What lies in a lake now; of an object store each snapshot's folder is listed once, not each file asked for."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        self._listed: dict[str, dict[str, int]] = {}

    def has(self, path: str, size: int) -> bool:
        """Whether a file of a snapshot, by its path below the lake, is there and has so many bytes."""
        if is_remote(self.lake):
            *folder, file = path.split("/", SNAPSHOT_PARTS)
            return self._list("/".join(folder)).get(file) == size
        try:
            return (self.lake / path).stat().st_size == size
        except (FileNotFoundError, NotADirectoryError):
            return False

    def has_folder(self, folder: str) -> bool:
        """Whether a snapshot's folder is there."""
        return bool(self._list(folder)) if is_remote(self.lake) else (self.lake / folder).exists()

    def _list(self, folder: str) -> dict[str, int]:
        if folder not in self._listed:
            self._listed[folder] = sizes(self.lake / folder)
        return self._listed[folder]


class Draft:
    """A folder that is put together aside, to appear whole in its place in the lake.

    Parameters
    ----------
    aside : Path
        Folder of this machine; beside a lake of this machine, so that a rename puts the draft in its place.
    """

    def __init__(self, aside: Path) -> None:
        self.folder = aside / f"snapshot-{uuid.uuid4().hex}"
        self.folder.mkdir(parents=True)
        self._copies: dict[str, ObjectPath] = {}

    def add(self, source: Path, file: str) -> None:
        """Take a file in, without its bytes being moved: by a link, or by a copy that the object store makes itself.

        Parameters
        ----------
        source : Path
            In the lake or on this machine.
        file : str
            Its path below the folder.
        """
        if is_remote(source):
            self._copies[file] = _remote(source)
        else:
            link(source, self.folder / file)

    def publish(self, final: Path, last: str) -> None:
        """Put the folder in its place; what lay there (of an attempt that ended early) is replaced.

        Parameters
        ----------
        final : Path
            In the lake.
        last : str
            The file whose presence says that all others are there.
        """
        if is_remote(final):
            _remote(final).publish(self.folder, self._copies, last)
            shutil.rmtree(self.folder)
            return
        for file, source in self._copies.items():
            link(source, self.folder / file)  # type: ignore[arg-type]
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            shutil.rmtree(final)
        self.folder.rename(final)


def _remote(path: Any) -> ObjectPath:
    return path
