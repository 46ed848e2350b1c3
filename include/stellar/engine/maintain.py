"""Keeping the lake in order: verify hashes, retire old snapshots' files, clear what was never committed."""

from __future__ import annotations

import contextlib
import gzip
import re
import shutil
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from stellar.engine.context import Context, read_manifest
from stellar.engine.plan import load_staged, snapshot_folder
from stellar.engine.publish import publish_behind
from stellar.engine.recall import MANIFESTS
from stellar.engine.verify import verify
from stellar.errors import InputError
from stellar.ledger import history, snapshots
from stellar.ledger.partitions import files_held
from stellar.models.keras_checkpoints import remove_abandoned
from stellar.store import is_remote, remove

STALE_S = 24 * 3600.0
STAGED = "staged"
#: Folders of the cache with what was taken from partitions: `<two hex digits>/<SHA-256 of the file>.…`.
OF_PARTITIONS = ("edges", "gate", "sky")
_SNAPSHOT_FOLDER = re.compile(r"[0-9a-f]{16}")


def maintain(ctx: Context, *, keep: int = 2, keep_days: float = 0, dry_run: bool = False) -> dict[str, Any]:
    """Verify what is current, then retire and clear. Nothing is deleted while something current is damaged.

    Parameters
    ----------
    keep : int
        Former snapshots whose files are kept per dataset, beside the current one, to roll back to; of rejected ones
        as many.
    keep_days : float
        Former snapshots that were current within so many days stay too, so that `as_of` can show them; and so do
        checkpoints of trainings that were killed, which are kept for a day at least.
    dry_run : bool
        Only say what would be done.

    Returns
    -------
    dict
        ``faults``, ``retired``, ``cleared`` and ``checkpoints`` (lists), and ``freed_bytes`` of what was retired and of
        the checkpoints; hard links mean that less may come free.
    """
    faults = verify(ctx)
    if faults and not dry_run:
        return {"faults": faults, "retired": [], "cleared": [], "checkpoints": [], "freed_bytes": 0}
    retired = retire(ctx, keep=keep, keep_days=keep_days, dry_run=dry_run)
    cleared = clear(ctx, dry_run=dry_run)
    checkpoints = clear_checkpoints(ctx, keep_days=keep_days, dry_run=dry_run)
    if not dry_run:  # whatever a crash has kept from being noted
        history.write_all(ctx.engine, ctx.settings.lake, ctx.settings.artifacts)
        publish_behind(ctx)
    return {
        "faults": faults,
        "retired": retired,
        "cleared": cleared,
        "checkpoints": checkpoints,
        "freed_bytes": sum(one["bytes"] or 0 for one in [*retired, *checkpoints]),
    }


def clear_checkpoints(ctx: Context, *, keep_days: float = 0, dry_run: bool = False) -> list[dict[str, Any]]:
    """Remove the checkpoints of trainings that were killed and not resumed for `keep_days`, a day at least.

    Those of a training that runs stay however old they are. One that is started again later begins anew.

    Returns
    -------
    list of dict
        ``path`` below the home and ``bytes``.
    """
    older_s = max(keep_days * 24 * 3600.0, STALE_S)
    found = remove_abandoned(ctx.settings.cache / "training", older_s, dry_run=dry_run)
    return [{"path": path.relative_to(ctx.settings.home).as_posix(), "bytes": size} for path, size in found]


def set_aside(ctx: Context, faults: Iterable[dict[str, str]]) -> dict[str, Path]:
    """Move the folders of damaged snapshots out of the lake's datasets, so that the next plan makes them again.

    The ledger stays as it is: the same step on the same inputs must give the same content again.

    Parameters
    ----------
    faults : iterable of dict
        As `verify` gives them.

    Returns
    -------
    dict
        Dataset -> where its folder lies now, below ``.damaged`` in the lake's folder; nothing deletes it.

    Raises
    ------
    InputError
        When one is raw data, which is made from nothing that is here; then none is moved.
    """
    damaged = {fault["dataset"]: fault["snapshot"] for fault in faults}
    if raw := sorted(dataset for dataset in damaged if dataset.startswith("raw.")):
        raise InputError(f"{', '.join(raw)}: raw data cannot be made again here; put its files back from a copy")
    moved = {}
    for dataset, key in damaged.items():
        with ctx.engine.begin() as connection:
            snapshots.lock_datasets(connection, [dataset])
            folder = ctx.settings.lake / snapshot_folder(dataset, key)
            if folder.exists():
                moved[dataset] = ctx.settings.lake / ".damaged" / f"{dataset}-{key[:16]}-{uuid.uuid4().hex[:8]}"
                moved[dataset].parent.mkdir(parents=True, exist_ok=True)
                folder.rename(moved[dataset])
    return moved


# What was current within the last days, or is cited by what counts today (current scores, and model versions that are
# current or that somebody gave an alias), is left, whatever its place.
_OLD = sa.text("""
    WITH RECURSIVE cited (node) AS (
        SELECT snapshot FROM lake.current WHERE dataset LIKE 'scores.%'
        UNION SELECT key FROM registry.version WHERE state = 'current'
        UNION SELECT version FROM registry.alias
        UNION SELECT e.parent FROM cited c JOIN lineage.edge e ON e.child = c.node WHERE e.parent_kind <> 'batch'
    )
    SELECT key, dataset, path, bytes FROM (
        SELECT s.*, row_number() OVER (PARTITION BY dataset, state ORDER BY state_at DESC, key) AS place
          FROM lake.snapshot s
         WHERE s.files_removed_at IS NULL AND s.state IN ('retired', 'rejected')) ranked
     WHERE place > :keep AND key NOT IN (SELECT node FROM cited)
       AND coalesce(companion_of, key) NOT IN (SELECT node FROM cited)
       AND NOT (state = 'retired' AND state_at > now() - make_interval(secs => :age)
                AND EXISTS (SELECT FROM lake.promotion p WHERE p.to_snapshot = key))
     ORDER BY dataset, state, place""")
_FORGOTTEN = sa.text("""
    SELECT s.key, s.dataset FROM lake.snapshot s JOIN lake.current c USING (dataset)
     WHERE s.state = 'candidate' AND s.committed_at < c.since
       AND s.committed_at < now() - make_interval(secs => :age)""")


def retire(
    ctx: Context, *, keep: int = 2, keep_days: float = 0, dry_run: bool = False, stale_s: float = STALE_S
) -> list[dict[str, Any]]:
    """Remove the files of former snapshots beyond the newest `keep` of each dataset; the ledger keeps their rows.

    Rejected snapshots are counted apart, so they push no former one out. The current snapshot always stays, and so
    does what a live plan reads, what was current in the last `keep_days`, and what current scores and model versions
    came from. Candidates that were overtaken long ago are retired first.
    """
    if keep < 1:
        raise InputError(f"keep must be at least 1, not {keep}")
    if not 0 <= keep_days < 1e5:
        raise InputError(f"keep_days must be a number of days, 0 or more, not {keep_days}")
    if not dry_run:
        _retire_forgotten(ctx, stale_s)
    in_use = _in_use(ctx)
    values = {"keep": keep, "age": keep_days * 24 * 3600.0}
    with ctx.engine.connect() as connection:
        old = [dict(row) for row in connection.execute(_OLD, values).mappings()]
    old = [one for one in old if one["key"] not in in_use]
    for one in [] if dry_run else old:
        _keep_manifest(ctx, one["path"])
        with ctx.engine.begin() as connection:
            snapshots.lock_datasets(connection, [one["dataset"]])
            row = snapshots.find(connection, one["key"])
            if row is None or row.state == "current":
                continue
            connection.execute(
                sa.text("UPDATE lake.snapshot SET files_removed_at = now() WHERE key = :key"), {"key": row.key}
            )
        # a crash here leaves a folder that no snapshot names; `clear` takes it
        _discard(ctx, ctx.settings.lake / one["path"])
    if not dry_run:
        history.write_datasets(ctx.engine, ctx.settings.lake, {one["dataset"] for one in old})
    return old


def _keep_manifest(ctx: Context, path: str) -> None:
    """Keep the manifest of a snapshot whose files go: what it held and came from, should the ledger be lost."""
    folder = ctx.settings.lake / path
    try:
        text = (folder / "manifest.json").read_bytes()
    except FileNotFoundError:
        return
    kept = folder.parent / MANIFESTS / f"{folder.name}.json.gz"
    kept.parent.mkdir(exist_ok=True)
    fresh = kept.with_name(f".{kept.name}.{uuid.uuid4().hex}")
    fresh.write_bytes(gzip.compress(text, mtime=0))
    fresh.replace(kept)


def _retire_forgotten(ctx: Context, age: float) -> None:
    with ctx.engine.begin() as connection:
        forgotten = connection.execute(_FORGOTTEN, {"age": age}).mappings().all()
        snapshots.lock_datasets(connection, [row["dataset"] for row in forgotten])
        for row in forgotten:
            now = snapshots.find(connection, row["key"])
            if now is not None and now.state == "candidate":
                snapshots.set_state(connection, now.key, "retired", "never promoted")


def _in_use(ctx: Context) -> set[str]:
    """Snapshots that plans in the staging folder read."""
    plans = (load_staged(ctx.settings, folder.name) for folder in _folders(ctx.settings.workspace / ".staging"))
    return {one.snapshot for plan in plans if plan for one in plan.inputs.values() if one.snapshot}


def clear(ctx: Context, *, dry_run: bool = False, stale_s: float = STALE_S) -> list[str]:
    """Remove what was never committed: staging untouched for `stale_s`, and folders that the ledger does not name.

    Staged batches go too, of files that an imported table does not consist of any more, and what the cache keeps of
    partitions that no snapshot holds.

    Returns
    -------
    list of str
        Paths below the lake's folder, of what lies on this machine below the workspace's, the cache below the home's.
    """
    lake, aside = ctx.settings.lake, ctx.settings.workspace
    stale = [folder for folder in _folders(aside / ".staging") if time.time() - _touched(folder) > stale_s]
    cleared = [str(folder.relative_to(aside)) for folder in stale]
    for folder in [] if dry_run else stale:
        _discard(ctx, folder)
    for layer in _folders(lake):
        for subject in [] if layer.name.startswith(".") or layer.name == STAGED else _folders(layer):
            cleared += _clear_dataset(ctx, f"{layer.name}.{subject.name}", subject, dry_run)
    for layer in _folders(aside / STAGED):
        for subject in _folders(layer):
            cleared += _clear_staged(ctx, f"{layer.name}.{subject.name}", subject, dry_run, stale_s)
    cleared += _clear_cache(ctx, dry_run, stale_s)
    if not dry_run:
        _forget_building(ctx, stale_s)
    return cleared


def _clear_dataset(ctx: Context, dataset: str, folder: Path, dry_run: bool) -> list[str]:
    """Snapshot folders without a snapshot: what a commit left that crashed before its transaction ended."""
    lost = []
    with ctx.engine.begin() as connection:
        snapshots.lock_datasets(connection, [dataset])  # no commit is under way
        known = set(
            connection.scalars(
                sa.text(
                    "SELECT path FROM lake.snapshot"
                    " WHERE dataset = :dataset AND state <> 'building' AND files_removed_at IS NULL"
                ),
                {"dataset": dataset},
            )
        )
        for one in _folders(folder):
            path = one.relative_to(ctx.settings.lake).as_posix()
            if _SNAPSHOT_FOLDER.fullmatch(one.name) and path not in known:
                lost.append(path)
                if not dry_run:
                    _discard(ctx, one)
    return lost


def _clear_staged(ctx: Context, dataset: str, folder: Path, dry_run: bool, stale_s: float) -> list[str]:
    """Staged batches that neither the next import nor the current snapshot reads, with all that is kept of them."""
    sql = "SELECT batch_id FROM ingest.batch WHERE dataset = :dataset AND superseded_by IS NULL"
    with ctx.engine.connect() as connection:
        used = set(connection.scalars(sa.text(sql), {"dataset": dataset}))
    row = snapshots.current(ctx.engine, dataset)
    manifest = (read_manifest(ctx, row) if row is not None else None) or {}
    used |= set(manifest.get("batches", []))
    found: dict[Path, list[Path]] = {}  # batch, or draft of one -> its files
    for file in sorted(one for one in folder.iterdir() if one.is_file()):
        batch = file.name.split(".")[0]
        if batch not in used:
            found.setdefault(folder / batch if batch else file, []).append(file)
    cleared = []
    for one, files in found.items():
        # an import that found the batch again has touched one of its files, and will name it to the ledger
        if all(_is_older(file, stale_s) for file in files):
            cleared.append(one.relative_to(ctx.settings.workspace).as_posix())
            for file in [] if dry_run else files:
                file.unlink(missing_ok=True)
    return cleared


def _clear_cache(ctx: Context, dry_run: bool, stale_s: float) -> list[str]:
    """What is kept of partitions that no snapshot holds any more, and drafts that nobody finished.

    What a plan is about to commit is young, or it is read from the partition again.
    """
    stale: dict[Path, list[Path]] = {}  # what is said to be cleared -> its files
    for name in OF_PARTITIONS:
        for folder in _folders(ctx.settings.cache / name):
            for file in sorted(one for one in folder.iterdir() if one.is_file()):
                if _is_older(file, stale_s):
                    sha256 = file.name.split(".")[0]
                    stale.setdefault(folder / sha256 if sha256 else file, []).append(file)
    if not stale:
        return []
    with ctx.engine.connect() as connection:
        held = files_held(connection)
    lost = {one: files for one, files in stale.items() if one.name not in held}
    for files in [] if dry_run else lost.values():
        for file in files:
            file.unlink(missing_ok=True)
    return [one.relative_to(ctx.settings.home).as_posix() for one in lost]


def _forget_building(ctx: Context, stale_s: float) -> None:
    """Drop ledger rows of snapshots that were planned long ago, never committed, and have no staging left."""
    sql = (
        "SELECT key, companion_of FROM lake.snapshot WHERE state = 'building' AND content_hash IS NULL"
        " AND planned_at < now() - make_interval(secs => :age) ORDER BY companion_of IS NULL"
    )
    with ctx.engine.begin() as connection:
        for row in connection.execute(sa.text(sql), {"age": stale_s}).mappings().all():
            if not (ctx.settings.workspace / ".staging" / (row["companion_of"] or row["key"])).exists():
                connection.execute(sa.text("DELETE FROM lake.snapshot WHERE key = :key"), {"key": row["key"]})


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []


def _is_older(file: Path, seconds: float) -> bool:
    """Whether a file was written so long ago; one that is gone by now was not."""
    try:
        return time.time() - file.stat().st_mtime > seconds
    except FileNotFoundError:
        return False


def _touched(folder: Path) -> float:
    """When something in a folder was last written."""
    times = [folder.stat().st_mtime]
    for one in folder.rglob("*"):
        try:
            times.append(one.stat().st_mtime)
        except FileNotFoundError:  # another process is done with it
            continue
    return max(times)


def _discard(ctx: Context, folder: Path) -> None:
    """Move a folder out of sight, then delete it: a reader never meets half of one.

    An object store moves nothing: there the manifest goes first, without which a folder is no snapshot.
    """
    if not folder.exists():
        return
    if is_remote(folder):
        with contextlib.suppress(FileNotFoundError):
            (folder / "manifest.json").unlink()
        remove(folder)
        return
    bin_ = ctx.settings.workspace / ".staging" / f"discarded-{uuid.uuid4().hex}"
    bin_.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(bin_)
    shutil.rmtree(bin_, ignore_errors=True)
