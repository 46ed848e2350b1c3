"""Making a lost ledger again from the home's files.

All files are read (`stellar.engine.recall`) before the first row is written, and all rows are written in one
transaction: the ledger is whole or empty. What the files do not hold is lost: plans that were not committed, units that
were planned or failed, cursors, runs.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from stellar.engine.recall import Found, Row, read_home
from stellar.errors import LedgerError
from stellar.ledger import history, refill
from stellar.ledger.connect import migrations
from stellar.ledger.dump import dump
from stellar.ledger.home import bring_home_up_to_date
from stellar.ledger.migrate import migrate
from stellar.settings import Settings

# Parents before children; edges last, since both their ends must be there.
_TABLES = (
    "lake.dataset",
    "ingest.batch",
    "ingest.work_unit",
    "registry.model",
    "registry.version",
    "registry.metric",
    "registry.promotion",
    "registry.alias",
    "lake.snapshot",
    "lake.partition",
    "lake.snapshot_partition",
    "lake.margin",
    "lake.accounting",
    "quality.gate",
    "quality.expectation",
    "quality.decision",
    "lake.promotion",
    "lake.object_alias",
    "lineage.column_edge",
    "lineage.edge",
)


def rebuild(settings: Settings, owner: sa.Engine, *, replace: bool = False) -> dict[str, Any]:
    """Fill the ledger from the files of the home.

    Parameters
    ----------
    settings : Settings
    owner : sqlalchemy.Engine
        On the ledger, as its owner; migrated or empty.
    replace : bool
        Drop what the ledger holds first, once the files are read; keep a dump of it (`stellar.ledger.dump`).

    Returns
    -------
    dict
        ``datasets, snapshots, partitions, batches, versions`` (counts), ``current`` (dataset -> key), ``skipped``
        (``file`` and ``what`` of each thing that could not be restored) and ``assumed`` (datasets without a history,
        whose newest snapshot was taken for the current one).

    Raises
    ------
    LedgerError
        When the ledger is not empty and `replace` is not set, or what the files say does not add up; then nothing is
        put into it.
    """
    found = read_home(settings)
    folder = migrations(settings)
    if replace:
        with owner.begin() as connection:
            refill.drop_ledger(connection)
    migrate(owner, folder)
    with owner.connect() as connection:
        if held := connection.scalar(sa.text("SELECT count(*) FROM lake.dataset")):
            raise LedgerError(
                f"the ledger holds {held} datasets, and only an empty one is filled; with --replace it is dropped and "
                "made again from the lake"
            )
    try:
        with owner.begin() as connection, refill.lives_put_back(connection):
            _fill(connection, found)
    except sa.exc.DBAPIError as error:
        raise LedgerError(f"what the files say does not fit together: {str(error.orig).strip()}") from error
    bring_home_up_to_date(settings, owner)
    history.write_all(owner, settings.lake, settings.artifacts)
    return _report(owner, found)


def _fill(connection: sa.Connection, found: Found) -> None:
    rows = found.rows
    there = {row["key"] for row in rows["lake.snapshot"]}
    for row in rows["lake.snapshot"]:
        if row["companion_of"] not in {None, *there}:
            found.skip(
                row["path"], f"snapshot {row['companion_of'][:16]}, with which it was made, is not known any more"
            )
            row["companion_of"] = None
    _renumber(rows)
    for table in _TABLES[:-1]:
        refill.insert_rows(connection, table, rows[table])
    ends = {
        "snapshot": refill.known(connection, "lake.snapshot", "key"),
        "version": refill.known(connection, "registry.version", "key"),
        "batch": refill.known(connection, "ingest.batch", "batch_id"),
    }
    lost: dict[tuple[str, str], int] = defaultdict(int)
    edges = []
    for edge in rows["lineage.edge"]:
        if edge["child"] in ends[edge["child_kind"]] and edge["parent"] in ends[edge["parent_kind"]]:
            edges.append(edge)
        else:
            lost[edge["child"], edge["parent_kind"]] += 1
    refill.insert_rows(connection, "lineage.edge", edges)
    for (child, kind), count in lost.items():
        found.skip(child, f"{count} of the {kind}s that it was made from are not known any more")


def _renumber(rows: dict[str, list[Row]]) -> None:
    """Numbers in the order of time: files of one ledger keep theirs as far as nothing is missing, others fit in."""
    for table, when in (
        ("lake.promotion", "promoted_at"),
        ("quality.gate", "checked_at"),
        ("quality.decision", "decided_at"),
        ("registry.promotion", "promoted_at"),
    ):
        ordered = sorted(rows[table], key=lambda row: (datetime.fromisoformat(row[when]), row.get("id", 0)))
        rows[table] = [{**row, "id": number} for number, row in enumerate(ordered, start=1)]
    rows["quality.expectation"] = [
        {**one, "gate": gate["id"]} for gate in rows["quality.gate"] for one in gate["expectations"]
    ]


def _report(owner: sa.Engine, found: Found) -> dict[str, Any]:
    counts = {
        "datasets": "lake.dataset",
        "snapshots": "lake.snapshot",
        "partitions": "lake.partition",
        "batches": "ingest.batch",
        "versions": "registry.version",
    }
    with owner.connect() as connection:
        current = connection.execute(sa.text("SELECT dataset, snapshot FROM lake.current ORDER BY dataset")).all()
        return {
            **{name: connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) for name, table in counts.items()},  # noqa: S608
            "current": {row.dataset: row.snapshot for row in current},
            "skipped": found.skipped,
            "assumed": found.assumed,
        }


def keep_dump(settings: Settings, owner: sa.Engine) -> Path:
    """Dump the ledger into the home before it is dropped; returns the file."""
    folder = settings.home / "dumps"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"ledger-{datetime.now(UTC):%Y%m%dT%H%M%S}.dump"
    dump(owner.url, file)
    return file
