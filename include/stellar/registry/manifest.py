"""The list of an exported folder's files with hashes and sizes, and the check of a folder from elsewhere against it.

Nothing of a foreign folder is opened before its name, kind and size were looked at, and what is used is a copy that was
hashed while it was made, so that it cannot change in between.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from stellar.errors import InputError, IntegrityError

MANIFEST, CONFIG, REGISTRY, ONNX, BUNDLE = "MANIFEST.json", "config.json", "registry.json", "model.onnx", "bundle"
KIND, DATASET_KIND = "stellar-model", "stellar-dataset"
FORMAT = 1
LARGEST_FILE = 1 << 30  # bytes; forests of the platform's models have some megabytes
LARGEST_FOLDER = 4 << 30
LARGEST_JSON = 16 << 20
MOST_FILES = 2000
# What git and the tools of the Hub put beside the files; never read.
HUBS_OWN = {".git", ".gitattributes", ".cache"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_BLOCK = 1 << 20


def write_manifest(folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest of a folder's files, with what else it says of them, and return it."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            files[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    content = {"format": FORMAT, **about, "files": files}
    text = json.dumps(content, indent=1, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return content


def check_free(folder: Path, *, overwrite: bool, is_ours: bool, what: str) -> None:
    """Refuse a folder to write an export into that holds something else.

    Parameters
    ----------
    is_ours : bool
        Whether it holds an earlier export, which may be replaced.
    what : str
        What it would have to hold, for the message.

    Raises
    ------
    InputError
        When it is a file, or not empty and not to be overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise InputError(f"{folder} is not empty; name another folder, or say --overwrite to replace an earlier export")
    if not is_ours:
        raise InputError(f"{folder} holds no {what}, so --overwrite does not touch it; name another folder")


def clear(folder: Path, keep: Path) -> None:
    """Remove an earlier export, but not what git or the Hub's tools keep beside it."""
    for part in folder.iterdir():
        if part == keep or part.name in HUBS_OWN:
            continue
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink()


def holds(folder: Path, kind: str) -> bool:
    """Whether a folder is an export of a kind, by what its manifest says."""
    try:
        return read_json(folder / MANIFEST).get("kind") == kind
    except (OSError, IntegrityError):
        return False


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a folder from elsewhere, after every file was looked at without opening it.

    Parameters
    ----------
    kind : str
        What the folder must hold, such as ``stellar-model``.

    Raises
    ------
    InputError
        When there is no such manifest, or it is of another format or kind.
    IntegrityError
        For a name that leads out of the folder or is none, a link or another thing that is no plain file, a file that
        is missing, extra, of another size than said, or too large.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; name one that `stellar models export` wrote")
    path = folder / MANIFEST
    if not path.is_file() or path.is_symlink():
        raise InputError(f"{folder}: it has no {MANIFEST}, so it is no export; see `stellar models export`")
    found = read_json(path)
    if found.get("format") != FORMAT or found.get("kind") != kind:
        raise InputError(
            f"{path}: format {found.get('format')!r} of {found.get('kind')!r}; this version reads format {FORMAT} of "
            f"{kind!r}: export it again with a version that writes it, or bring this one up to date"
        )
    said = _said_files(path, found)
    there = _files_of(folder)
    if missing := sorted(set(said) - set(there)):
        raise IntegrityError(f"{folder}: lacks {_some(missing)}, which {MANIFEST} lists; download or copy it again")
    if extra := sorted(set(there) - set(said) - {MANIFEST}):
        raise IntegrityError(
            f"{folder}: holds {_some(extra)}, which {MANIFEST} does not list; remove what is not its own"
        )
    for name, one in said.items():
        if there[name] != one["bytes"]:
            raise IntegrityError(f"{folder / name}: {there[name]} bytes instead of {one['bytes']}; copy it again")
    return found


def take(folder: Path, manifest: Mapping[str, Any], target: Path) -> None:
    """Copy a folder's files into `target`, each held against its hash while it is read.

    Raises
    ------
    IntegrityError
        When one is not what the manifest says.
    """
    for name, one in manifest["files"].items():
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        # no link is followed, were one put there since the folder was looked at
        source = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(source, "rb") as data, copy.open("xb") as out:
            while size <= one["bytes"] and (block := data.read(_BLOCK)):
                digest.update(block)
                size += len(block)
                out.write(block)
        if size != one["bytes"] or digest.hexdigest() != one["sha256"]:
            raise IntegrityError(
                f"{folder / name}: is not what {MANIFEST} says, so nothing of the folder is used; get it again from "
                "where it was published"
            )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a file from elsewhere.

    Raises
    ------
    IntegrityError
        When it is too large, no JSON, or another value than an object.
    """
    size = path.stat().st_size
    if size > LARGEST_JSON:
        raise IntegrityError(f"{path}: {size} bytes, more than the {LARGEST_JSON >> 20} MiB of a description")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise IntegrityError(f"{path}: not readable as JSON ({fault}); get it again") from None
    if not isinstance(found, dict):
        raise IntegrityError(f"{path}: holds no object of keys and values")
    return found


def _said_files(path: Path, manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The files that a manifest lists, after their names, sizes and hashes were found to be such."""
    said = manifest.get("files")
    if not isinstance(said, dict) or not said or len(said) > MOST_FILES:
        raise IntegrityError(f"{path}: `files` is no list of 1 to {MOST_FILES} files")
    total = 0
    for name, one in said.items():
        if not _is_name(name):
            raise IntegrityError(f"{path}: `{name[:80]}` is no plain path below the folder")
        size = one.get("bytes") if isinstance(one, dict) else None
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise IntegrityError(f"{path}: {name}: no size in bytes")
        if not re.fullmatch(r"[0-9a-f]{64}", str(one.get("sha256"))):
            raise IntegrityError(f"{path}: {name}: no SHA-256")
        if size > LARGEST_FILE:
            raise IntegrityError(f"{path}: {name}: {size} bytes, more than the {LARGEST_FILE >> 30} GiB of one file")
        total += size
    if total > LARGEST_FOLDER:
        raise IntegrityError(f"{path}: {total} bytes in all, more than {LARGEST_FOLDER >> 30} GiB")
    return said


def _is_name(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "/".join(parts) == name and len(parts) <= 8 and all(_NAME.fullmatch(part) for part in parts)


def _files_of(folder: Path) -> dict[str, int]:
    """Sizes of the plain files below a folder; anything else there is refused."""
    found: dict[str, int] = {}
    waiting = [folder]
    while waiting:
        at = waiting.pop()
        with os.scandir(at) as entries:
            for entry in entries:
                if at == folder and entry.name in HUBS_OWN:
                    continue
                name = Path(entry.path).relative_to(folder).as_posix()
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(about.st_mode):
                    waiting.append(Path(entry.path))
                elif stat.S_ISREG(about.st_mode):
                    found[name] = about.st_size
                else:
                    raise IntegrityError(
                        f"{entry.path}: a link or device, no plain file; copy the files themselves (a download of the "
                        "Hub: `hf download REPO --local-dir DIR`)"
                    )
                if len(found) > MOST_FILES + 1:
                    raise IntegrityError(f"{folder}: more than {MOST_FILES} files; it is no export")
    return found


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
