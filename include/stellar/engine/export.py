"""A dataset out of the lake: copies that any tool reads, checked against the ledger on the way."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.engine.context import Context
from stellar.engine.export_tables import WRITERS, with_sentinel
from stellar.errors import InputError, IntegrityError
from stellar.lake.hats import (
    COLLECTION,
    COMMON_METADATA,
    DATASET,
    MARGIN,
    PARTITION_INFO,
    PROPERTIES,
    read_properties,
    write_metadata,
)
from stellar.lake.read import Catalog
from stellar.ledger import margins, snapshots
from stellar.ledger.lineage import sources_of
from stellar.ledger.partitions import partitions_of
from stellar.registry.manifest import DATASET_KIND, check_free, clear, holds

FORMATS = ("hats", *WRITERS, "huggingface")
_BLOCK = 1 << 20
MOST_ROWS = 5_000_000  # of a table that is written as one file
#: One of these in a folder says that it is an export, which --overwrite may replace.
_OURS = (COLLECTION, PROPERTIES)

Progress = Callable[[str, int, int], None]


def export(
    ctx: Context,
    dataset: str,
    folder: Path,
    *,
    form: str = "hats",
    overwrite: bool = False,
    missing: float | None = None,
    one_file: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Copy the current snapshot of a dataset into a folder.

    Parameters
    ----------
    dataset : str
        Full name.
    folder : Path
        Made where it is not there.
    form : str
        ``hats``: a HATS collection, ``<folder>/<subject>`` with its margins ``<folder>/<subject>_10arcs``;
        ``parquet``, ``csv``, ``fits``, ``votable``: the partitions as files in one folder, for datasets without
        positions too; ``huggingface``: Parquet in the layout of the Hub's dataset repositories, with a card
        (`stellar.engine.export_huggingface`).
    overwrite : bool
        Whether an earlier export in the folder is replaced. Anything else in it is never touched.
    one_file : bool
        All rows in one file, `<folder>/<subject>.<ending>`, for tools that open one; not with ``hats``.
    missing : float, optional
        Written instead of each null and NaN of numeric columns; not with ``hats``, whose files are copies.
    progress : callable, optional
        Called as (what, bytes done, bytes).

    Returns
    -------
    dict
        ``dataset, snapshot, content_hash, folder, format, rows, partitions, files, bytes, margin_arcsec``.

    Raises
    ------
    InputError
        When the folder holds something, the dataset has no rows on the sky to make a HATS catalogue of, or a column
        cannot be written in this format or with this sentinel.
    IntegrityError
        When a file is not what the ledger says; the folder is as it was then.
    """
    if form not in FORMATS:
        raise InputError(f"--format {form}: the formats are {', '.join(FORMATS)}")
    if form in ("hats", "huggingface") and missing is not None:
        others = ", ".join(WRITERS)
        raise InputError(f"--missing: the files of a HATS collection are copies; take --format {others}")
    if one_file and form not in WRITERS:
        raise InputError(f"--one-file: {form} is a folder of files; take --format {', '.join(WRITERS)}")
    row = snapshots.current(ctx.engine, dataset)
    if row is None:
        raise InputError(f"{dataset}: no such dataset with a current snapshot; see `stellar datasets`")
    if one_file and row.rows > MOST_ROWS:
        raise InputError(f"--one-file: {row.rows:,} rows are too many for one file in memory; leave it out")
    is_ours = any((folder / name).is_file() for name in (*_OURS, COMMON_METADATA)) or holds(folder, DATASET_KIND)
    check_free(folder, overwrite=overwrite, is_ours=is_ours, what="export")
    root = ctx.settings.lake / str(row.path)
    partitions = [one for one in partitions_of(ctx.engine, row.key) if one["file"]]
    near = [one for one in margins.of_snapshot(ctx.engine, row.key) if one["file"]] if form == "hats" else []
    catalog = Catalog(root)
    if form == "hats" and not catalog.is_hats:
        why = "has no rows" if not row.rows else "has no positions on the sky"
        raise InputError(f"{dataset} {why}, so it is no HATS catalogue; export it with --format parquet")
    draft = folder / f".export-{uuid.uuid4().hex}"
    draft.mkdir(parents=True)
    copier = _Copier(root, sum(one["bytes"] for one in (*partitions, *near)), progress)
    try:
        subject = dataset.partition(".")[2]
        if form == "hats":
            _write_hats(draft, subject, catalog, partitions, near, row.margin_arcsec, copier)
        elif form == "huggingface":
            from stellar.engine.export_huggingface import write_huggingface

            write_huggingface(draft, row, catalog, partitions, sources_of(ctx.engine, row.key), copier.copy)
        else:
            made = [_write_files(draft, one, form, missing, copier, keep=not one_file) for one in partitions]
            if one_file:
                _write_one(draft / subject, [table for table in made if table is not None], form, copier)
            shutil.copyfile(catalog.common_metadata, draft / COMMON_METADATA)
        if overwrite:
            clear(folder, keep=draft)
        for part in sorted(draft.iterdir()):
            part.rename(folder / part.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {
        "dataset": dataset,
        "snapshot": row.key,
        "content_hash": row.content_hash,
        "folder": str(folder),
        "format": form,
        "rows": row.rows,
        "partitions": len(partitions),
        "files": sum(1 for one in folder.rglob("*") if one.is_file()),
        "bytes": copier.written,
        "margin_arcsec": row.margin_arcsec if near else 0,
    }


class _Copier:
    """Copies files and holds each against the hash that the ledger has of it."""

    def __init__(self, root: Path, total: int, progress: Progress | None) -> None:
        self.root, self.total, self.done, self.written = root, total, 0, 0
        self.progress = progress or (lambda what, done, total: None)

    def copy(self, one: Mapping[str, Any], target: Path) -> None:
        source = self.root / one["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        found = hashlib.sha256()
        try:
            with source.open("rb") as data, target.open("xb") as copy:
                while block := data.read(_BLOCK):
                    found.update(block)
                    copy.write(block)
        except FileNotFoundError:
            raise IntegrityError(f"{source}: missing; `stellar verify` lists what is damaged") from None
        if found.hexdigest() != one["sha256"]:
            raise IntegrityError(f"{source}: is not what was committed; `stellar verify` lists what is damaged")
        self.done += one["bytes"]
        self.written += one["bytes"]
        self.progress("copying", self.done, self.total)


def _write_one(target: Path, tables: Sequence[pa.Table], form: str, copier: _Copier) -> None:
    """All partitions as one file."""
    suffix, write = WRITERS[form]
    path = target.with_suffix(f".{suffix}")
    write(pa.concat_tables(tables, promote_options="default"), path)
    copier.written += path.stat().st_size


def _write_files(
    draft: Path, one: Mapping[str, Any], form: str, missing: float | None, copier: _Copier, *, keep: bool
) -> pa.Table | None:
    """One partition as a file: its copy, or that written anew in another format or with a sentinel.

    Its table is handed on in the place of a file where it is not to `keep` one.
    """
    copy = draft / one["file"].rpartition(f"{DATASET}/")[2].replace("/", "-")
    copier.copy(one, copy)
    if form == "parquet" and missing is None and keep:
        return None
    table = pq.read_table(copy, partitioning=None, memory_map=False)
    copier.written -= one["bytes"]
    copy.unlink()
    if not keep:
        return table if missing is None else with_sentinel(table, missing)
    suffix, write = WRITERS[form]
    path = copy.with_suffix(f".{suffix}")
    write(table if missing is None else with_sentinel(table, missing), path)
    copier.written += path.stat().st_size
    return None


def _write_hats(
    draft: Path,
    name: str,
    catalog: Catalog,
    partitions: Iterable[Mapping[str, Any]],
    near: Iterable[Mapping[str, Any]],
    margin_arcsec: float,
    copier: _Copier,
) -> None:
    """A HATS collection; LSDB opens it with its margins."""
    near = list(near)
    _write_table(draft / name, catalog.table, partitions, {"obs_collection": name}, copier)
    said = {"obs_collection": name, "hats_primary_table_url": name}
    if near:
        of_margin = f"{name}_{margin_arcsec:g}arcs"
        changed = {"obs_collection": of_margin, "hats_primary_table_url": f"../{name}"}
        _write_table(draft / of_margin, catalog.root / MARGIN, near, changed, copier)
        said |= {"all_margins": of_margin, "default_margin": of_margin}
    _write_properties(draft / COLLECTION, "HATS Collection", said)


def _write_table(
    target: Path, source: Path, files: Iterable[Mapping[str, Any]], changed: Mapping[str, str], copier: _Copier
) -> None:
    for one in files:
        copier.copy(one, target / DATASET / one["file"].rpartition(f"{DATASET}/")[2])
    for part in (PARTITION_INFO, f"{DATASET}/{COMMON_METADATA}"):
        shutil.copyfile(source / part, target / part)
    for file in (PROPERTIES, "properties"):
        _write_properties(target / file, "HATS catalog", {**read_properties(source), **changed})
    write_metadata(target)


def _write_properties(path: Path, title: str, said: Mapping[str, str]) -> None:
    path.write_text(f"#{title}\n" + "".join(f"{key}={value}\n" for key, value in said.items()), encoding="utf-8")
