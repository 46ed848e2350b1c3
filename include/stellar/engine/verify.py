"""Current snapshots against the ledger: files, hashes, footers, columns, where rows lie, margins, manifests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.lake.verify import Expected, ExpectedFile, Fault, verify_snapshot
from stellar.lake.write import file_sha256
from stellar.ledger import batches, margins, snapshots
from stellar.ledger.partitions import partitions_of

MANIFEST = "manifest.json"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Verified:
    """What was looked at of one dataset, and what is wrong with it."""

    dataset: str
    snapshot: str
    files: int
    rows: int
    bytes: int
    margin_arcsec: float
    faults: list[Fault]


def verify(
    ctx: Context, datasets: Iterable[str] | None = None, *, rows: bool = False, progress: Progress | None = None
) -> list[dict[str, str]]:
    """Faults of current snapshots, as `verify_datasets` finds them.

    Returns
    -------
    list of dict
        ``dataset, snapshot, file, what`` of each fault; empty when all is well.
    """
    return [
        {"dataset": one.dataset, "snapshot": one.snapshot, "file": fault.file, "what": fault.what}
        for one in verify_datasets(ctx, datasets, rows=rows, progress=progress)
        for fault in one.faults
    ]


def verify_datasets(
    ctx: Context, datasets: Iterable[str] | None = None, *, rows: bool = False, progress: Progress | None = None
) -> list[Verified]:
    """Compare current snapshots with the ledger.

    Parameters
    ----------
    datasets : iterable of str, optional
        Full names; all when not given.
    rows : bool
        Also read every row: it lies in its cell, its index is that of its position, rows are sorted, and the margins
        hold just the rows of the neighbours that they should. Else sizes, hashes, footers and columns only.
    progress : callable, optional
        Called as (dataset, snapshots done, snapshots).

    Raises
    ------
    InputError
        When a dataset has no current snapshot.
    """
    current = snapshots.current_keys(ctx.engine)
    wanted = list(current if datasets is None else dict.fromkeys(datasets))
    if unknown := sorted(set(wanted) - set(current)):
        raise InputError(f"{', '.join(unknown)}: no such dataset with a current snapshot; see `stellar datasets`")
    with ctx.engine.connect() as connection:
        ids: dict[str, str | None] = dict(connection.execute(sa.text("SELECT name, id_column FROM lake.dataset")).all())
    found = []
    for done, dataset in enumerate(wanted, start=1):
        found.append(_verify_one(ctx, snapshots.get(ctx.engine, current[dataset]), ids.get(dataset), rows))
        if progress:
            progress(dataset, done, len(wanted))
    return found


def _verify_one(ctx: Context, row: snapshots.Snapshot, id_column: str | None, rows: bool) -> Verified:
    root = ctx.settings.lake / str(row.path)
    partitions = partitions_of(ctx.engine, row.key)
    near = margins.of_snapshot(ctx.engine, row.key)
    manifest, faults = _manifest(root, row, partitions, near)
    unordered = row.dataset.startswith(("raw.", "quarantine."))
    expected = Expected(
        _expected(partitions),
        None if unordered else manifest.get("id_columns") or id_column,
        _expected(near),
        row.margin_arcsec,
        tuple(manifest["position"]) if "position" in manifest else None,
    )
    faults += verify_snapshot(root, expected, rows=rows)
    if row.dataset.startswith("raw."):
        faults += _batch_faults(ctx, row, root)
    files = [*expected.partitions.values(), *expected.margins.values()]
    return Verified(
        row.dataset,
        row.key,
        len(files),
        row.rows or 0,
        sum(one.bytes for one in files),
        row.margin_arcsec,
        faults,
    )


def _expected(files: Iterable[Mapping[str, Any]]) -> dict[str, ExpectedFile]:
    return {
        one["name"]: ExpectedFile(one["file"], one["rows"], one["bytes"], one["sha256"]) for one in files if one["file"]
    }


def _manifest(
    root: Path, row: snapshots.Snapshot, partitions: list[dict[str, Any]], near: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[Fault]]:
    """The manifest, and where it says other than the ledger: the ledger could not be made again from it then."""
    try:
        manifest: dict[str, Any] = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        said = {
            "its key": (manifest["key"], row.key),
            "its content hash": (manifest["content_hash"], row.content_hash),
            "its rows": (manifest["rows"], row.rows),
            "its partitions": (_facts(manifest["partitions"]), _facts(partitions)),
            "its margins": (_facts(manifest.get("margins", [])), _facts(near)),
        }
    except FileNotFoundError:
        # a folder that is gone is a fault of its own
        return {}, [Fault(MANIFEST, "the file is missing")] if root.is_dir() else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {}, [Fault(MANIFEST, f"cannot be read: {type(error).__name__}: {error}")]
    return manifest, [
        Fault(MANIFEST, f"{what} {'is' if what.endswith('hash') else 'are'} not what the ledger says")
        for what, (a, b) in said.items()
        if a != b
    ]


def _facts(files: Iterable[Mapping[str, Any]]) -> set[tuple[Any, ...]]:
    return {tuple(one[name] for name in ("name", "key", "file", "rows", "bytes", "sha256")) for one in files}


def _batch_faults(ctx: Context, row: snapshots.Snapshot, root: Path) -> Iterator[Fault]:
    """Faults of the batches that the next raw snapshot is made of; most are files of this one under another name."""
    with ctx.engine.connect() as connection:
        active = batches.active(connection, row.dataset)
    for one in active:
        path, link = ctx.settings.lake / one.path, root / "dataset" / f"{one.batch_id}.parquet"
        shown = f"../batches/{path.name}"
        if not path.is_file():
            yield Fault(shown, "the batch is missing")
        elif path.stat().st_size != one.bytes:
            yield Fault(shown, f"has {path.stat().st_size} bytes, not {one.bytes}")
        elif not _is_same_file(link, path) and file_sha256(path) != one.file_sha256:
            yield Fault(shown, "its SHA-256 is not what was recorded")


def _is_same_file(one: Path, other: Path) -> bool:
    return one.exists() and one.stat().st_ino == other.stat().st_ino != 0
