"""Partitions of snapshots in the ledger: where each one's content lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from stellar.ledger.snapshots import rows_of


@dataclass(frozen=True)
class StoredPartition:
    """A partition of a committed snapshot: its key, where its file lies (None: no rows) and what it counted."""

    key: str
    name: str
    path: str | None
    rows: int
    bytes: int
    file_sha256: str
    accounting: dict[str, Any] | None
    snapshot_path: str


def stored_partitions(connection: sa.Connection, keys: Sequence[str]) -> dict[str, StoredPartition]:
    """Partition key -> where a committed snapshot holds it; keys of which no files are left are not in it."""
    if not keys:
        return {}
    # The keys come first, materialized: without statistics (a young ledger has none) the planner would go through the
    # partitions of every snapshot.
    rows = rows_of(
        connection,
        "WITH held AS MATERIALIZED (SELECT sp.partition_key AS key, sp.name, sp.file, sp.snapshot"
        " FROM unnest(CAST(:keys AS text[])) AS wanted (key)"
        " JOIN lake.snapshot_partition sp ON sp.partition_key = wanted.key)"
        " SELECT DISTINCT ON (p.key) p.key, held.name, held.file AS path, p.rows, p.bytes, p.file_sha256, p.accounting,"
        " s.path AS snapshot_path"
        " FROM held JOIN lake.snapshot s ON s.key = held.snapshot JOIN lake.partition p ON p.key = held.key"
        " WHERE s.state <> 'building' AND s.files_removed_at IS NULL"
        " ORDER BY p.key, s.committed_at DESC",
        keys=list(keys),
    )
    return {row["key"]: StoredPartition(**row) for row in rows}


def partition_hashes(connection: sa.Connection, keys: Sequence[str]) -> dict[str, str]:
    """Partition key -> SHA-256 of the file that it stands for, of those keys that were ever committed."""
    sql = "SELECT key, file_sha256 FROM lake.partition WHERE key = ANY(:keys)"
    return {row["key"]: row["file_sha256"] for row in rows_of(connection, sql, keys=list(keys))}


def files_held(connection: sa.Connection) -> set[str]:
    """SHA-256 of every partition file that a committed snapshot holds whose files are there."""
    sql = (
        "SELECT DISTINCT p.file_sha256 FROM lake.snapshot s"
        " JOIN lake.snapshot_partition sp ON sp.snapshot = s.key JOIN lake.partition p ON p.key = sp.partition_key"
        " WHERE s.state <> 'building' AND s.files_removed_at IS NULL"
    )
    return set(connection.scalars(sa.text(sql)))


def partitions_of(engine: sa.Engine, key: str) -> list[dict[str, Any]]:
    """Partitions of a snapshot: name, key, file (None without rows), rows, bytes, sha256."""
    with engine.connect() as connection:
        rows = rows_of(
            connection,
            "SELECT sp.name, p.key, sp.file, p.rows, p.bytes, p.file_sha256 AS sha256"
            " FROM lake.snapshot_partition sp JOIN lake.partition p ON p.key = sp.partition_key"
            " WHERE sp.snapshot = :key ORDER BY sp.name",
            key=key,
        )
    return [dict(row) for row in rows]
