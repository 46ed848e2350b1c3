"""A file's bytes, unpacked: plain, gz, bz2 or xz; a tar or zip archive gives each of its files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
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


class Member(NamedTuple):
    """One table's bytes: the file's own name (within its archive, without a compression's ending) and content."""

    name: str
    data: bytes


def members(path: Path) -> Iterator[Member]:
    """The files in `path`, archives in the order of their names.

    Raises
    ------
    InputError
        When the file is missing, damaged, or unpacks to more than `MAX_BYTES`.
    """
    try:
        if path.name.endswith(_TAR):
            yield from _tar(path)
        elif path.suffix == ".zip":
            yield from _zip(path)
        elif path.suffix in _CODECS:
            with _CODECS[path.suffix](path, "rb") as stream:
                yield Member(path.stem, _bounded(stream, path))
        else:
            yield Member(path.name, path.read_bytes())
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error) as fault:
        raise InputError(f"{path}: cannot be read: {fault}; fetch the file again") from None


def _tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for entry in sorted((e for e in archive.getmembers() if e.isfile()), key=lambda e: e.name):
            stream = archive.extractfile(entry)
            if stream is not None:
                yield _inner(entry.name, _bounded(stream, path))


def _zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(n for n in archive.namelist() if not n.endswith("/")):
            with archive.open(name) as stream:
                yield _inner(name, _bounded(stream, path))


def _inner(name: str, data: bytes) -> Member:
    """A compressed file within an archive is unpacked too."""
    pure = PurePosixPath(name)
    if pure.suffix in _CODECS:
        with _CODECS[pure.suffix](io.BytesIO(data), "rb") as stream:
            return Member(pure.stem, _bounded(stream, Path(name)))
    return Member(pure.name, data)


def _bounded(stream: object, path: Path) -> bytes:
    data: bytes = stream.read(MAX_BYTES + 1)  # type: ignore[attr-defined]
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: unpacks to more than {MAX_BYTES >> 30} GiB; unpack it and give its parts")
    return data
