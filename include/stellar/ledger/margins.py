"""Margins of snapshots in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from stellar.ledger.snapshots import rows_of


@dataclass(frozen=True)
class StoredMargin:
    """The margin of a partition: its key, where its file lies (None: no rows) and what it holds."""

    key: str
    name: str
    path: str | None
    rows: int
    bytes: int
    file_sha256: str
    snapshot_path: str


def stored(connection: sa.Connection, keys: Sequence[str]) -> dict[str, StoredMargin]:
    """Margin key -> where a committed snapshot holds it."""
    if not keys:
        return {}
    # as for `stellar.ledger.partitions.stored_partitions`
    rows = rows_of(
        connection,
        "WITH held AS MATERIALIZED (SELECT m.* FROM unnest(CAST(:keys AS text[])) AS wanted (key)"
        " JOIN lake.margin m ON m.key = wanted.key)"
        " SELECT DISTINCT ON (held.key) held.key, held.name, held.file AS path, held.rows, held.bytes,"
        " held.file_sha256, s.path AS snapshot_path FROM held JOIN lake.snapshot s ON s.key = held.snapshot"
        " WHERE s.state <> 'building' AND s.files_removed_at IS NULL"
        " ORDER BY held.key, s.committed_at DESC",
        keys=list(keys),
    )
    return {row["key"]: StoredMargin(**row) for row in rows}


def of_snapshot(engine: sa.Engine, key: str) -> list[dict[str, Any]]:
    """Margins of a snapshot's partitions: name, key, file (None without rows), rows, bytes, sha256."""
    with engine.connect() as connection:
        rows = rows_of(
            connection,
            "SELECT name, key, file, rows, bytes, file_sha256 AS sha256 FROM lake.margin"
            " WHERE snapshot = :key ORDER BY name",
            key=key,
        )
    return [dict(row) for row in rows]


def record(
    connection: sa.Connection, snapshot: str, margin_arcsec: float, margins: Sequence[Mapping[str, Any]]
) -> None:
    """Note the margins of a snapshot that is being committed."""
    connection.execute(
        sa.text("UPDATE lake.snapshot SET margin_arcsec = :width WHERE key = :key"),
        {"key": snapshot, "width": margin_arcsec},
    )
    if margins:
        connection.execute(
            sa.text(
                "INSERT INTO lake.margin (snapshot, name, key, file, rows, bytes, file_sha256)"
                " SELECT :snapshot, m.name, m.key, m.file, m.rows, m.bytes, m.sha256 FROM jsonb_to_recordset(:rows)"
                " AS m (name text, key text, file text, rows bigint, bytes bigint, sha256 text)"
                " ON CONFLICT (snapshot, name) DO NOTHING"
            ).bindparams(sa.bindparam("rows", type_=JSONB)),
            {"snapshot": snapshot, "rows": [dict(one) for one in margins]},
        )
