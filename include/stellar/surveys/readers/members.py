"""A file's bytes, unpacked: plain, gz, bz2 or xz; a tar or zip archive gives each of its files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from stellar.errors import InputError

# What one file may unpack to; more than this is a broken or hostile archive rather than a survey's file.
MAX_BYTES = 8 << 30
_CODECS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


_FAULTS = (
    OSError,
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    ValueError,  # a name that is not in the code that it says
    RuntimeError,
)


class Member(NamedTuple):
    """One table's bytes: the file's own name, without a compression's ending, content, and its path in its archive."""

    name: str
    data: bytes
    inside: str = ""


def members(
    path: Path, *, limit: int = MAX_BYTES, refuse: Callable[[str, str], None] | None = None
) -> Iterator[Member]:
    """The files in `path`, archives in the order of their names.

    Parameters
    ----------
    limit : int
        Most bytes that one file may have, unpacked.
    refuse : callable, optional
        Called with the path within the archive and the reason for each file of it that cannot be unpacked; the others
        come all the same. Where not given, the first such file ends it.

    Raises
    ------
    InputError
        When the file is missing, damaged, or unpacks to more than `limit`.
    """
    name = path.name.lower()
    try:
        if name.endswith(_TAR):
            yield from _tar(path, limit, refuse)
        elif name.endswith(".zip"):
            yield from _zip(path, limit, refuse)
        else:
            packed = path.suffix.lower() in _CODECS
            with _CODECS[path.suffix.lower()](path, "rb") if packed else path.open("rb") as stream:
                yield Member(path.stem if packed else path.name, _bounded(stream, path, limit))
    except _FAULTS as fault:
        raise InputError(f"{path}: cannot be read: {fault}; fetch the file again") from None


Refuse = Callable[[str, str], None] | None


def _tar(path: Path, limit: int, refuse: Refuse) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for entry in sorted((e for e in archive.getmembers() if e.isfile()), key=lambda e: e.name):
            yield from _inner(entry.name, lambda e=entry: archive.extractfile(e), limit, refuse)


def _zip(path: Path, limit: int, refuse: Refuse) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(n for n in archive.namelist() if not n.endswith("/")):
            yield from _inner(name, lambda n=name: archive.open(n), limit, refuse)


def _inner(inside: str, opened: Callable[[], Any], limit: int, refuse: Refuse) -> Iterator[Member]:
    """A file of an archive; a compressed one is unpacked too."""
    pure = PurePosixPath(inside)
    try:
        with opened() as stream:
            data, name = _bounded(stream, Path(inside), limit), pure.name
        if pure.suffix.lower() in _CODECS:
            with _CODECS[pure.suffix.lower()](io.BytesIO(data), "rb") as stream:
                data, name = _bounded(stream, Path(inside), limit), pure.stem
    except (*_FAULTS, InputError) as fault:
        if refuse is None:
            raise
        refuse(inside, f"cannot be read: {fault}")
        return
    yield Member(name, data, inside)


def _bounded(stream: Any, path: Path, limit: int) -> bytes:
    data: bytes = stream.read(limit + 1)
    if len(data) > limit:
        size = f"{limit >> 30} GiB" if limit >> 30 else f"{limit >> 20} MiB"
        raise InputError(f"{path}: unpacks to more than {size}; unpack it and give its parts")
    return data
