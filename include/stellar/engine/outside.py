"""Catalogues outside the lake as inputs: HATS folders and collections made by others.

They have no snapshot, so what they hold is known by the hashes of their files. A file is read for its hash once: as
long as its size and times stay the same (its change time cannot be set back), the hash is found in the home's cache.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from stellar.engine.keys import content_hash, digest
from stellar.errors import InputError, IntegrityError
from stellar.lake.read import Catalog, files_of
from stellar.lake.write import file_sha256
from stellar.settings import Settings

#: Before the name of a partition whose margin is meant.
MARGIN = "margin/"


@dataclass(frozen=True)
class Outside:
    """A catalogue outside the lake: hash of its content, rows, width of its margins (0: none), SHA-256 by name.

    `hashes` has its partitions by their cell, and their margins by ``margin/`` and the cell.
    """

    content_hash: str
    rows: int
    margin_arcsec: float
    hashes: dict[str, str] = field(default_factory=dict)


def look_outside(settings: Settings, folder: Path) -> Outside:
    """What a folder holds now.

    Raises
    ------
    InputError
        When it is no HATS catalogue with rows; says what it is.
    """
    try:
        catalog = Catalog(folder)
        cells = catalog.cells
    except (IntegrityError, OSError) as error:
        raise InputError(f"{folder}: not a HATS catalogue or collection ({error})") from error
    if not catalog.is_hats or not cells:
        raise InputError(
            f"{folder}: not a HATS catalogue with rows (it has no hats.properties and Norder=…/Npix=… partitions); "
            "bring plain tables into the lake with `stellar import`"
        )
    files = {str(cell): _files(catalog.file(cell)) for cell in cells}
    if catalog.margin_arcsec:
        margins = {cell: catalog.margin_file(cell) for cell in cells}
        files |= {f"{MARGIN}{cell}": _files(path) for cell, path in margins.items() if path is not None}
    sha256 = _hashes(settings, folder, {path for paths in files.values() for path in paths})
    hashes = {
        name: sha256[paths[0]] if len(paths) == 1 else digest([[path.name, sha256[path]] for path in paths])
        for name, paths in files.items()
    }
    return Outside(content_hash(hashes.items()), catalog.rows, catalog.margin_arcsec or 0.0, hashes)


def _files(path: Path) -> list[Path]:
    """The files of a partition, which others may keep as a folder."""
    found = files_of(path)
    if not found or not found[0].exists():
        raise InputError(f"{path}: partition is missing; the catalogue is damaged")
    return found


def _hashes(settings: Settings, folder: Path, files: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of each file, from the cache where the file has not been touched since."""
    kept = settings.cache / "outside" / f"{digest(str(folder))[:32]}.json"
    try:
        known = json.loads(kept.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    signs = {path: _sign(path) for path in sorted(files)}
    old = {path: known[str(path)][1] for path, sign in signs.items() if known.get(str(path), [None])[0] == sign}
    fresh = [path for path in signs if path not in old]
    if not fresh and len(known) == len(old):
        return old
    with ThreadPoolExecutor(settings.workers) as pool:
        found = old | dict(zip(fresh, pool.map(file_sha256, fresh), strict=True))
    # what was written while it was read has another sign now, and is read again the next time
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_name(f".{kept.name}.{uuid.uuid4().hex}")
    draft.write_text(json.dumps({str(path): [signs[path], sha256] for path, sha256 in found.items()}), encoding="utf-8")
    draft.replace(kept)
    return found


def _sign(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
