"""A home in one file, and a home from such a file: the way to another machine.

A backup holds the ledger (a dump), the snapshots that it names with their margins, raw batches, histories, model
artifacts and the gates' pages. It is consistent while the platform works: the dump and the list of snapshots are of one
transaction of the database, and files never change once they are there; they are linked aside before the first byte is
written, so that none can be removed meanwhile. A file that several snapshots share is stored once. A lake in an object
store stays where it is: the backup holds the ledger and names the lake.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from stellar import __version__
from stellar.engine.recall import MANIFESTS
from stellar.errors import InputError, IntegrityError
from stellar.ledger import history, snapshots
from stellar.ledger.connect import airflow_url
from stellar.ledger.dump import dump
from stellar.ledger.home import FILE, LAYOUT
from stellar.settings import Settings
from stellar.store import link

FORMAT = 1
ABOUT, END, LEDGER, AIRFLOW = "backup.json", "complete.json", "ledger.dump", "airflow.dump"
SUFFIXES = (".tar", ".tar.zst")
_BLOCK = 1 << 20

Progress = Callable[[str, int, int], None]

_SNAPSHOTS = sa.text("""
    SELECT key, dataset, path, state FROM lake.snapshot
     WHERE state <> 'building' AND files_removed_at IS NULL ORDER BY path""")
_BATCHES = sa.text("SELECT path FROM ingest.batch ORDER BY path")
_ARTIFACTS = sa.text("SELECT DISTINCT artifact_path FROM registry.version ORDER BY artifact_path")


@dataclass
class Contents:
    """What goes into a backup: name in it -> file; counts; and files of former snapshots that are damaged already."""

    files: dict[str, Path] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def add(self, name: str, source: Path) -> None:
        """A file, or all files of a folder; what is not there is left out."""
        if source.is_dir():
            for one in sorted(source.rglob("*")):
                if one.is_file():
                    self.files[f"{name}/{one.relative_to(source).as_posix()}"] = one
        elif source.is_file():
            self.files[name] = source


def backup(
    settings: Settings,
    owner: sa.Engine,
    file: Path,
    *,
    secrets: bool = False,
    staged: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a home into one file.

    Parameters
    ----------
    settings : Settings
    owner : sqlalchemy.Engine
        On the ledger, as its owner.
    file : Path
        ``*.tar`` or ``*.tar.zst``.
    secrets : bool
        Also the passwords and keys, and Airflow's database, which is encrypted with them.
    staged : bool
        Also the staged batches of imported tables: copies of the files that they were imported from, which another
        import of those files makes again.
    overwrite : bool
        Whether a file that is there is replaced.
    progress : callable, optional
        Called as (what, bytes done, bytes).

    Returns
    -------
    dict
        What ``backup.json`` says, and ``file``, ``size`` (bytes) and ``damaged`` (files of former snapshots).

    Raises
    ------
    InputError
        When the file's name has another ending, or it is there already.
    IntegrityError
        When a file of a current snapshot is missing or of another size.
    """
    if not file.name.endswith(SUFFIXES):
        raise InputError(f"{file}: name a backup *.tar, or *.tar.zst to compress it")
    if file.exists() and not overwrite:
        raise InputError(f"{file} is there already; name another file, or say --overwrite")
    aside = settings.workspace / ".staging" / f"backup-{uuid.uuid4().hex}"
    aside.mkdir(parents=True)
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
    try:
        contents = _collect(settings, owner, aside, staged=staged, airflow=secrets)
        if secrets:
            contents.add("secrets", settings.secrets)
        about = _about(settings, contents, secrets=secrets, staged=staged)
        _write(partial, about, contents, progress or (lambda what, done, total: None))
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
    return {**about, "file": str(file), "size": file.stat().st_size, "damaged": contents.damaged}


def _about(settings: Settings, contents: Contents, *, secrets: bool, staged: bool) -> dict[str, Any]:
    sizes = {(about.st_dev, about.st_ino): about.st_size for about in map(os.stat, contents.files.values())}
    return {
        "format": FORMAT,
        "program": __version__,
        "layout": LAYOUT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "profile": settings.profile,
        "lake": settings.lake_url,
        **contents.counts,
        "files": len(contents.files),
        "bytes": sum(sizes.values()),
        "secrets": secrets,
        "staged": staged,
        "ledger_sha256": _sha256(contents.files[LEDGER]),
    }


def _collect(settings: Settings, owner: sa.Engine, aside: Path, *, staged: bool, airflow: bool) -> Contents:
    """Dump the ledger and link what it names aside, all as of one moment."""
    lake, contents = settings.lake, Contents()
    with owner.connect().execution_options(isolation_level="REPEATABLE READ") as reading, reading.begin():
        with owner.begin() as fence:
            # what is listed cannot be removed before it is linked: whoever removes takes these locks
            snapshots.lock_datasets(fence, fence.scalars(sa.text("SELECT name FROM lake.dataset ORDER BY name")).all())
            moment = reading.scalar(sa.text("SELECT pg_export_snapshot()"))
            rows = reading.execute(_SNAPSHOTS).all()
            here = [] if settings.lake_url else rows
            for row in here:
                _link_tree(lake / row.path, aside / row.path)
            for dataset in {row.dataset for row in here}:
                folder = history.history_file(lake, dataset).parent
                _link_tree(folder / MANIFESTS, aside / folder.relative_to(lake) / MANIFESTS)
                _link_tree(folder / history.HISTORY, aside / folder.relative_to(lake) / history.HISTORY)
        batches = [path for path in reading.scalars(_BATCHES).all() if staged or not path.startswith("staged/")]
        for path in [] if settings.lake_url else batches:
            for one in (lake / path, history.origin_file(lake / path)):
                contents.add(f"lake/{one.relative_to(lake).as_posix()}", one)
        if staged:  # on this machine, wherever the lake lies
            contents.add(f"{settings.workspace.name}/staged", settings.workspace / "staged")
        _check(reading, here, aside, contents)
        artifacts = reading.scalars(_ARTIFACTS).all()
        current = reading.execute(sa.text("SELECT dataset, snapshot FROM lake.current ORDER BY dataset")).all()
        dump(owner.url, aside / LEDGER, snapshot=moment)
    contents.counts = {
        "current": {row.dataset: row.snapshot for row in current},
        "snapshots": len(rows),
        "batches": len(batches),
        "versions": len(artifacts),
    }
    if airflow and settings.postgres_url is None:
        dump(airflow_url(settings), aside / AIRFLOW)
        contents.add(AIRFLOW, aside / AIRFLOW)
    contents.add(LEDGER, aside / LEDGER)
    for folder in sorted(one for one in aside.iterdir() if one.is_dir()):
        contents.add(f"lake/{folder.name}", folder)
    for path in artifacts:
        contents.add(f"artifacts/{path}", settings.artifacts / path)
    contents.add("artifacts/registry", history.registry_file(settings.artifacts, "x").parent)
    for name in ("data_docs", "profile", FILE):
        contents.add(name, settings.home / name)
    return contents


def _link_tree(source: Path, target: Path) -> None:
    for one in [source] if source.is_file() else sorted(source.rglob("*")):
        if one.is_file():
            link(one, target / one.relative_to(source) if one != source else target)


def _check(reading: sa.Connection, rows: Any, aside: Path, contents: Contents) -> None:
    """Hold the linked files against the ledger: a backup of a damaged lake would be one when it is needed."""
    for row in rows:
        for path, size in snapshots.files_of(reading, row.key).items():
            if not (aside / path).is_file() or (aside / path).stat().st_size != size:
                if row.state == "current":
                    raise IntegrityError(
                        f"{path}: missing, or of another size than the ledger says, so there is nothing whole to back "
                        "up; `stellar verify` lists what is damaged, `stellar verify --repair` and a run make it again"
                    )
                contents.damaged.append(path)


def _write(file: Path, about: dict[str, Any], contents: Contents, progress: Progress) -> None:
    done, seen, total = 0, set(), about["bytes"]
    with _sink(file) as stream, tarfile.open(fileobj=stream, mode="w|", bufsize=_BLOCK) as tar:
        tar.copybufsize = _BLOCK  # type: ignore[attr-defined]
        _add_json(tar, ABOUT, about)
        # the ledger first, then the rest as it lies
        for name, source in sorted(contents.files.items(), key=lambda one: (one[0] != LEDGER, one[0])):
            entry = tar.gettarinfo(source, name)  # a file that is in it under another name becomes a link to that
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            if entry.isreg():
                with source.open("rb") as data:
                    tar.addfile(entry, data)
            else:
                tar.addfile(entry)
            place = source.stat()
            if (place.st_dev, place.st_ino) not in seen:
                seen.add((place.st_dev, place.st_ino))
                done += place.st_size
                progress("writing", done, total)
        _add_json(tar, END, {"files": about["files"]})
    with file.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def _sink(file: Path) -> Iterator[IO[bytes]]:
    """Where the archive is written; the final name decides whether it is compressed."""
    if ".tar.zst" in file.name:
        import pyarrow as pa

        with pa.output_stream(str(file), compression="zstd") as stream:
            yield stream
    else:
        with file.open("wb") as stream:
            yield stream


def _add_json(tar: tarfile.TarFile, name: str, value: Any) -> None:
    data = (json.dumps(value, indent=1) + "\n").encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    tar.addfile(entry, io.BytesIO(data))


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
