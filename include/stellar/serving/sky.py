"""Which datasets lie on the sky, their snapshots over time, and of what cells a snapshot consists."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from stellar.errors import InputError
from stellar.sky.healpix import Cell

from .plain import record

if TYPE_CHECKING:
    from stellar.settings import Settings

_DATASETS = sa.text("""
    SELECT d.name, d.layer, d.subject, d.id_column, d.description, c.snapshot, c.rows, c.bytes, c.committed_at, c.since
      FROM lake.dataset d LEFT JOIN lake.current c ON c.dataset = d.name
     WHERE EXISTS (SELECT FROM lake.snapshot s JOIN lake.snapshot_partition p ON p.snapshot = s.key
                    WHERE s.dataset = d.name AND p.name LIKE 'Norder=%')
     ORDER BY d.layer, d.subject""")
_FROM = sa.text("""
    SELECT DISTINCT c.dataset AS child, p.dataset AS parent
      FROM lineage.edge e JOIN lake.snapshot c ON c.key = e.child JOIN lake.snapshot p ON p.key = e.parent""")
# every table of the survey `files` is a survey of its own to whoever looks at the sky
_SURVEYS = sa.text("""
    SELECT DISTINCT dataset, CASE survey WHEN 'files' THEN split_part(dataset, '.', 2) ELSE survey END AS survey
      FROM ingest.batch""")
_SNAPSHOTS = sa.text("""
    SELECT key, state, state_reason, rows, bytes, partitions, step, step_version, committed_at, state_at,
           files_removed_at, run_id
      FROM lake.snapshot WHERE dataset = :dataset AND state <> 'building' ORDER BY committed_at DESC, key""")
_PROMOTIONS = sa.text("""
    SELECT id, from_snapshot, to_snapshot, who, reason, promoted_at
      FROM lake.promotion WHERE dataset = :dataset ORDER BY id""")
_ONE = sa.text("""
    SELECT s.key, s.dataset, s.state, s.path, s.rows, s.committed_at, s.files_removed_at, d.id_column
      FROM lake.snapshot s JOIN lake.dataset d ON d.name = s.dataset
     WHERE s.key LIKE :prefix AND s.state <> 'building'""")
_PARTS = sa.text("""
    SELECT sp.name, sp.file, p.key, p.rows, p.bytes, p.file_sha256, p.made_at
      FROM lake.snapshot_partition sp JOIN lake.partition p ON p.key = sp.partition_key
     WHERE sp.snapshot = :snapshot AND sp.name LIKE 'Norder=%'""")
_BEFORE = sa.text("""
    SELECT coalesce(
        (SELECT from_snapshot FROM lake.promotion WHERE dataset = :dataset AND to_snapshot = :snapshot
          ORDER BY id LIMIT 1),
        (SELECT to_snapshot FROM lake.promotion p WHERE dataset = :dataset AND promoted_at <= :committed
            AND NOT EXISTS (SELECT FROM lake.promotion o WHERE o.to_snapshot = :snapshot)
          ORDER BY id DESC LIMIT 1))""")
MIN_PREFIX = 8


class Part(NamedTuple):
    """A partition of a snapshot on the sky; `file` is below the snapshot's folder, None where there are no rows."""

    cell: Cell
    file: str | None
    key: str
    rows: int
    bytes: int
    file_sha256: str
    made_at: dt.datetime


class Shown(NamedTuple):
    """A committed snapshot; `root` is its folder, None when its files were removed."""

    key: str
    dataset: str
    state: str
    root: Path | None
    rows: int
    committed_at: dt.datetime
    id_column: str | None


def datasets(engine: sa.Engine) -> list[dict[str, Any]]:
    """Datasets of which some snapshot lies on the sky, with what is current and the surveys that they come from.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        On the ledger.

    Returns
    -------
    list of dict
        `name, layer, subject, id_column, description, snapshot, rows, bytes, committed_at, since, surveys`; those
        about the current snapshot are None where there is none.
    """
    with engine.connect() as connection:
        found = [record(row) for row in connection.execute(_DATASETS).mappings()]
        above: dict[str, set[str]] = {}
        for child, parent in connection.execute(_FROM):
            above.setdefault(child, set()).add(parent)
        surveys: dict[str, set[str]] = {}
        for dataset, survey in connection.execute(_SURVEYS):
            surveys.setdefault(dataset, set()).add(survey)
    for one in found:
        one["surveys"] = sorted(set().union(*(surveys.get(name, set()) for name in _ancestors(one["name"], above))))
    return found


def _ancestors(name: str, above: dict[str, set[str]]) -> Iterable[str]:
    seen, waiting = {name}, [name]
    while waiting:
        new = above.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen


def history(engine: sa.Engine, dataset: str) -> dict[str, Any]:
    """A dataset's committed snapshots, newest first, and its promotions in their order.

    Raises
    ------
    InputError
        When there is no such dataset, or none of its snapshots was committed.
    """
    with engine.connect() as connection:
        snapshots = [record(row) for row in connection.execute(_SNAPSHOTS, {"dataset": dataset}).mappings()]
        promotions = [record(row) for row in connection.execute(_PROMOTIONS, {"dataset": dataset}).mappings()]
    if not snapshots:
        raise InputError(f"no dataset {dataset!r} with a snapshot; `stellar datasets` lists those that there are")
    return {"dataset": dataset, "snapshots": snapshots, "promotions": promotions}


def current(engine: sa.Engine, dataset: str) -> str | None:
    """Key of a dataset's current snapshot; None when it has none."""
    with engine.connect() as connection:
        found: str | None = connection.scalar(
            sa.text("SELECT snapshot FROM lake.current WHERE dataset = :dataset"), {"dataset": dataset}
        )
    return found


def snapshot(engine: sa.Engine, settings: Settings, key: str) -> Shown:
    """A committed snapshot by its key or the beginning of it.

    Raises
    ------
    InputError
        When there is none or several, or fewer than 8 hexadecimal digits are given.
    """
    if len(key) < MIN_PREFIX or set(key) - set("0123456789abcdef"):
        raise InputError(f"not the key of a snapshot: {key!r}; give {MIN_PREFIX} or more hexadecimal digits of it")
    with engine.connect() as connection:
        rows = list(connection.execute(_ONE, {"prefix": f"{key}%"}).mappings())
    if len(rows) != 1:
        raise InputError(f"{len(rows)} committed snapshots begin with {key!r}; `stellar datasets` shows keys")
    row = rows[0]
    root = settings.lake / row["path"] if row["files_removed_at"] is None else None
    return Shown(row["key"], row["dataset"], row["state"], root, row["rows"], row["committed_at"], row["id_column"])


def parts(engine: sa.Engine, key: str) -> list[Part]:
    """The partitions of a snapshot on the sky, in their order there; of others none.

    Parameters
    ----------
    key : str
        The snapshot's whole key.
    """
    with engine.connect() as connection:
        rows = connection.execute(_PARTS, {"snapshot": key}).all()
    found = [Part(Cell.parse(row.name), *row[1:]) for row in rows]
    return sorted(found, key=lambda part: part.cell.range29())


def coverage(engine: sa.Engine, settings: Settings, key: str, against: str | None = None) -> dict[str, Any]:
    """The cells of a snapshot, what of them is new against a former one, and what of that is gone.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    settings : Settings
    key : str
        Of the snapshot, or the beginning of it.
    against : str, optional
        Key of another snapshot of the same dataset; else the one that was current before.

    Returns
    -------
    dict
        `snapshot`, `dataset`, `state`, `rows`, `has_files`, `against`, `cells` (`order, pixel, rows, bytes, file,
        key, file_sha256, made_at, change`) and `gone` (`order, pixel, rows`). `change` is `carried` where the former
        snapshot holds the same partition, `changed` where it holds another one of that cell, else `new`; `first`
        where there is no former snapshot.

    Raises
    ------
    InputError
        When there is no such snapshot, or the two are not of one dataset.
    """
    shown = snapshot(engine, settings, key)
    own = parts(engine, shown.key)
    former = snapshot(engine, settings, against).key if against else _before(engine, shown)
    old = parts(engine, former) if former else []
    if against and former and snapshot(engine, settings, former).dataset != shown.dataset:
        raise InputError(f"snapshot {former[:16]} is not one of {shown.dataset}")
    keys, cells = {part.key for part in old}, {part.cell for part in old}
    here = {part.cell for part in own}
    return {
        "snapshot": shown.key,
        "dataset": shown.dataset,
        "state": shown.state,
        "rows": shown.rows,
        "committed_at": shown.committed_at.isoformat(),
        "has_files": shown.root is not None,
        "against": former,
        "cells": [
            {
                "order": part.cell.order,
                "pixel": part.cell.pixel,
                "rows": part.rows,
                "bytes": part.bytes,
                "file": part.file,
                "key": part.key,
                "file_sha256": part.file_sha256,
                "made_at": part.made_at.isoformat(),
                "change": _change(part, keys, cells) if former else "first",
            }
            for part in own
            if part.rows
        ],
        "gone": [
            {"order": part.cell.order, "pixel": part.cell.pixel, "rows": part.rows}
            for part in old
            if part.rows and part.cell not in here
        ],
    }


def _change(part: Part, keys: set[str], cells: set[Cell]) -> str:
    return "carried" if part.key in keys else "changed" if part.cell in cells else "new"


def _before(engine: sa.Engine, shown: Shown) -> str | None:
    """The snapshot that was current before one became so; of one that never did, what was current when it was made."""
    values = {"dataset": shown.dataset, "snapshot": shown.key, "committed": shown.committed_at}
    with engine.connect() as connection:
        found: str | None = connection.scalar(_BEFORE, values)
    return found if found != shown.key else None
