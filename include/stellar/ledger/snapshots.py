"""Snapshots in the ledger: read, planned, committed, gated and made current."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from stellar.errors import LedgerError

_COLUMNS = (
    "key, dataset, step, step_version, params, state, state_reason, rows, bytes, partitions, path, content_hash,"
    " companion_of, committed_at, files_removed_at, margin_arcsec"
)


@dataclass(frozen=True)
class Snapshot:
    """One row of `lake.snapshot`. `path` is below the lake's folder."""

    key: str
    dataset: str
    step: str
    step_version: int
    params: dict[str, Any]
    state: str
    state_reason: str | None
    rows: int | None
    bytes: int | None
    partitions: int | None
    path: str | None
    content_hash: str | None
    companion_of: str | None
    committed_at: datetime | None
    files_removed_at: datetime | None
    margin_arcsec: float = 0

    @property
    def committed(self) -> bool:
        """Whether it is complete and its files are there."""
        return self.state != "building" and self.files_removed_at is None


def rows_of(connection: sa.Connection, sql: str, **values: Any) -> Sequence[sa.RowMapping]:
    return connection.execute(sa.text(sql), values).mappings().all()


def _select(connection: sa.Connection, where: str, **values: Any) -> list[Snapshot]:
    sql = f"SELECT {_COLUMNS} FROM lake.snapshot WHERE {where}"  # noqa: S608 - `where` is ours, values are parameters
    return [Snapshot(**row) for row in rows_of(connection, sql, **values)]


def find(connection: sa.Connection, key: str) -> Snapshot | None:
    found = _select(connection, "key = :key", key=key)
    return found[0] if found else None


def get(engine: sa.Engine, key: str) -> Snapshot:
    """The snapshot of a key.

    Raises
    ------
    LedgerError
        When there is none.
    """
    with engine.connect() as connection:
        found = find(connection, key)
    if found is None:
        raise LedgerError(f"the ledger knows no snapshot {key}; `stellar datasets` lists what is current")
    return found


def current(engine: sa.Engine, dataset: str) -> Snapshot | None:
    """The dataset's current snapshot, None where nothing was promoted yet."""
    with engine.connect() as connection:
        found = _select(connection, "dataset = :dataset AND state = 'current'", dataset=dataset)
    return found[0] if found else None


def current_keys(engine: sa.Engine) -> dict[str, str]:
    """Dataset -> key of its current snapshot."""
    with engine.connect() as connection:
        rows = rows_of(connection, "SELECT dataset, snapshot FROM lake.current ORDER BY dataset")
    return {row["dataset"]: row["snapshot"] for row in rows}


def dataset_of(engine: sa.Engine, key: str) -> str:
    """Dataset of a snapshot's key; LedgerError when the ledger does not know it."""
    return get(engine, key).dataset


def companions(connection: sa.Connection, key: str) -> list[Snapshot]:
    """Snapshots that were made with this one and share its fate (its quarantine)."""
    return _select(connection, "companion_of = :key ORDER BY key", key=key)


def lock_datasets(connection: sa.Connection, datasets: Iterable[str]) -> None:
    """Fence: until the transaction ends nobody else commits, promotes or retires in these datasets."""
    for dataset in sorted(set(datasets)):
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 1))"), {"name": dataset})


def declare_dataset(connection: sa.Connection, name: str, id_column: str | None, description: str = "") -> None:
    """Make the dataset known, and keep its description up to date; the id column of one that is known stays."""
    connection.execute(
        sa.text(
            "INSERT INTO lake.dataset (name, id_column, description) VALUES (:name, :id_column, :description)"
            " ON CONFLICT (name) DO UPDATE SET id_column = coalesce(dataset.id_column, excluded.id_column),"
            " description = CASE WHEN excluded.description <> '' THEN excluded.description ELSE dataset.description END"
            " WHERE (dataset.id_column, dataset.description)"
            " IS DISTINCT FROM (excluded.id_column, excluded.description)"
        ),
        {"name": name, "id_column": id_column, "description": description},
    )


def set_id_column(connection: sa.Connection, dataset: str, id_column: str) -> None:
    """Note which column identifies the rows of a dataset's current snapshot."""
    connection.execute(
        sa.text("UPDATE lake.dataset SET id_column = :id WHERE name = :name AND id_column IS DISTINCT FROM :id"),
        {"name": dataset, "id": id_column},
    )


def begin(
    connection: sa.Connection,
    key: str,
    dataset: str,
    step: str,
    step_version: int,
    params: Mapping[str, Any],
    *,
    companion_of: str | None = None,
    run_id: str | None = None,
) -> None:
    """Note that a snapshot is being built; one whose files were removed is built again."""
    connection.execute(
        sa.text(
            "INSERT INTO lake.snapshot (key, dataset, step, step_version, params, companion_of, run_id)"
            " VALUES (:key, :dataset, :step, :version, :params, :companion_of, :run_id)"
            " ON CONFLICT (key) DO UPDATE SET state = 'building', state_reason = NULL, files_removed_at = NULL"
            " WHERE snapshot.files_removed_at IS NOT NULL"
        ).bindparams(sa.bindparam("params", type_=JSONB)),
        {
            "key": key,
            "dataset": dataset,
            "step": step,
            "version": step_version,
            "params": dict(params),
            "companion_of": companion_of,
            "run_id": run_id,
        },
    )


def complete(
    connection: sa.Connection,
    key: str,
    *,
    rows: int,
    size: int,
    path: str,
    content_hash: str,
    step: str,
    accounting: Mapping[str, Any],
    partitions: Sequence[Mapping[str, Any]],
) -> None:
    """Turn a snapshot that is building into a candidate, with its partitions and accounting.

    Parameters
    ----------
    partitions : sequence of mapping
        ``name, key, file (None without rows), rows, bytes, sha256, accounting``.
    """
    dataset = connection.scalar(sa.text("SELECT dataset FROM lake.snapshot WHERE key = :key"), {"key": key})
    if partitions:
        # one statement however many partitions: a round trip for each would cost more than the rest of a small commit
        connection.execute(
            sa.text(
                "INSERT INTO lake.partition (key, dataset, rows, bytes, file_sha256, accounting)"
                " SELECT p.key, :dataset, p.rows, p.bytes, p.sha256, nullif(p.accounting, 'null') FROM"
                " jsonb_to_recordset(:rows) AS p (key text, rows bigint, bytes bigint, sha256 text, accounting jsonb)"
                " ON CONFLICT (key) DO NOTHING"
            ).bindparams(sa.bindparam("rows", type_=JSONB)),
            {"dataset": dataset, "rows": [dict(one) for one in partitions]},
        )
        connection.execute(
            sa.text(
                "INSERT INTO lake.snapshot_partition (snapshot, name, partition_key, file)"
                " SELECT :snapshot, p.name, p.key, p.file FROM"
                " jsonb_to_recordset(:rows) AS p (name text, key text, file text)"
                " ON CONFLICT (snapshot, name) DO NOTHING"
            ).bindparams(sa.bindparam("rows", type_=JSONB)),
            {"snapshot": key, "rows": [dict(one) for one in partitions]},
        )
    filtered = accounting.get("filtered", {})
    connection.execute(
        sa.text(
            "INSERT INTO lake.accounting"
            " (snapshot, step, rows_in, rows_out, merged, filtered, filtered_by, quarantined)"
            " VALUES (:snapshot, :step, :rows_in, :rows_out, :merged, :filtered, :filtered_by, :quarantined)"
            " ON CONFLICT (snapshot) DO NOTHING"
        ).bindparams(sa.bindparam("filtered_by", type_=JSONB)),
        {
            "snapshot": key,
            "step": step,
            "rows_in": accounting["rows_in"],
            "rows_out": accounting["rows_out"],
            "merged": accounting.get("merged", 0),
            "filtered": sum(filtered.values()),
            "filtered_by": filtered,
            "quarantined": accounting.get("quarantined", 0),
        },
    )
    connection.execute(
        sa.text(
            "UPDATE lake.snapshot SET state = 'candidate', rows = :rows, bytes = :bytes, partitions = :partitions,"
            " path = :path, content_hash = :content_hash, committed_at = now() WHERE key = :key AND state = 'building'"
        ),
        {
            "key": key,
            "rows": rows,
            "bytes": size,
            "partitions": len(partitions),
            "path": path,
            "content_hash": content_hash,
        },
    )


def add_edges(connection: sa.Connection, child: str, child_kind: str, parents: Iterable[tuple[str, str, str]]) -> None:
    """Record lineage: `parents` are (parent, parent_kind, role)."""
    edges = [
        {"child": child, "child_kind": child_kind, "parent": parent, "parent_kind": kind, "role": role}
        for parent, kind, role in parents
    ]
    if edges:
        connection.execute(
            sa.text(
                "INSERT INTO lineage.edge (child, child_kind, parent, parent_kind, role)"
                " VALUES (:child, :child_kind, :parent, :parent_kind, :role) ON CONFLICT DO NOTHING"
            ),
            edges,
        )


def files_of(connection: sa.Connection, key: str) -> dict[str, int]:
    """Path below the lake's folder -> bytes of each file of a snapshot (partitions, margins) and of its companions."""
    rows = rows_of(
        connection,
        "SELECT s.path || '/' || sp.file AS path, p.bytes"
        " FROM lake.snapshot s JOIN lake.snapshot_partition sp ON sp.snapshot = s.key"
        " JOIN lake.partition p ON p.key = sp.partition_key"
        " WHERE (s.key = :key OR s.companion_of = :key) AND sp.file IS NOT NULL"
        " UNION ALL SELECT s.path || '/' || m.file, m.bytes FROM lake.snapshot s JOIN lake.margin m"
        " ON m.snapshot = s.key WHERE s.key = :key AND m.file IS NOT NULL",
        key=key,
    )
    return {row["path"]: row["bytes"] for row in rows}


def parents(connection: sa.Connection, key: str) -> dict[str, str]:
    """Dataset -> snapshot key of the snapshots that this one was made from."""
    rows = rows_of(
        connection,
        "SELECT s.dataset, s.key FROM lineage.edge e JOIN lake.snapshot s ON s.key = e.parent"
        " WHERE e.child = :key AND e.parent_kind = 'snapshot'",
        key=key,
    )
    return {row["dataset"]: row["key"] for row in rows}


def accounting_of(engine: sa.Engine, key: str) -> dict[str, Any] | None:
    """Stored row accounting of a snapshot."""
    with engine.connect() as connection:
        rows = rows_of(connection, "SELECT * FROM lake.accounting WHERE snapshot = :key", key=key)
    return dict(rows[0]) if rows else None


def set_state(connection: sa.Connection, key: str, state: str, reason: str | None = None) -> None:
    """Move a snapshot along its life; Postgres refuses what is no step of it."""
    try:
        with connection.begin_nested():
            connection.execute(
                sa.text("UPDATE lake.snapshot SET state = :state, state_reason = :reason WHERE key = :key"),
                {"key": key, "state": state, "reason": reason},
            )
    except sa.exc.DBAPIError as error:
        said = getattr(getattr(error.orig, "diag", None), "message_primary", None)
        raise LedgerError(said or str(error)) from error


def make_current(connection: sa.Connection, key: str, *, who: str, reason: str) -> bool:
    """Retire the dataset's current snapshot and make this one current; whether the content changed.

    The caller holds the dataset's lock. A snapshot that is current already is left alone.
    """
    new = find(connection, key)
    if new is None:
        raise LedgerError(f"the ledger knows no snapshot {key}")
    if new.state == "current":
        return False
    old = _select(connection, "dataset = :dataset AND state = 'current'", dataset=new.dataset)
    if old:
        set_state(connection, old[0].key, "retired", f"replaced by {key[:16]}: {reason}")
    connection.execute(
        sa.text(
            "INSERT INTO lake.promotion (dataset, from_snapshot, to_snapshot, who, reason)"
            " VALUES (:dataset, :old, :new, :who, :reason)"
        ),
        {"dataset": new.dataset, "old": old[0].key if old else None, "new": key, "who": who, "reason": reason},
    )
    set_state(connection, key, "current", reason)
    return not old or old[0].content_hash != new.content_hash


def promoted_before(connection: sa.Connection, key: str, *, who: str, reason: str) -> bool:
    """Whether a snapshot was made current before by the same caller for the same reason."""
    sql = "SELECT EXISTS (SELECT FROM lake.promotion WHERE to_snapshot = :key AND who = :who AND reason = :reason)"
    return bool(connection.scalar(sa.text(sql), {"key": key, "who": who, "reason": reason}))


def former(connection: sa.Connection, dataset: str) -> str | None:
    """The snapshot that the current one replaced, None where there was none."""
    return connection.scalar(
        sa.text(
            "SELECT p.from_snapshot FROM lake.promotion p JOIN lake.current c"
            " ON c.dataset = p.dataset AND c.snapshot = p.to_snapshot WHERE p.dataset = :dataset"
            " ORDER BY p.id DESC LIMIT 1"
        ),
        {"dataset": dataset},
    )


def list_datasets(engine: sa.Engine) -> list[dict[str, Any]]:
    """Every dataset with its current snapshot, or where none is current its newest one."""
    with engine.connect() as connection:
        rows = rows_of(
            connection,
            "SELECT d.name AS dataset, d.description, s.key AS snapshot, s.state, s.rows, s.bytes, s.partitions,"
            " s.path, s.content_hash, s.committed_at, s.state_reason"
            " FROM lake.dataset d LEFT JOIN LATERAL ("
            "   SELECT * FROM lake.snapshot s WHERE s.dataset = d.name"
            "   ORDER BY s.state = 'current' DESC, s.planned_at DESC LIMIT 1) s ON true"
            " ORDER BY array_position(ARRAY['raw', 'curated', 'quarantine', 'features', 'scores', 'own'], d.layer),"
            " d.name",
        )
    return [dict(row) for row in rows]


def about(connection: sa.Connection, dataset: str) -> dict[str, Any]:
    """What the ledger knows of a dataset as such: ``id_column`` and ``description``.

    Raises
    ------
    LedgerError
        When it is not known.
    """
    rows = rows_of(connection, "SELECT id_column, description FROM lake.dataset WHERE name = :name", name=dataset)
    if not rows:
        raise LedgerError(f"the ledger knows no dataset {dataset}; `stellar datasets` lists them")
    return dict(rows[0])


def record_aliases(connection: sa.Connection, snapshot: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Keep under which new ids the objects of old ids are since `snapshot`; said before, it changes nothing."""
    if not pairs:
        return
    connection.execute(
        sa.text(
            "INSERT INTO lake.object_alias (old_id, new_id, snapshot) VALUES (:old, :new, :snapshot)"
            " ON CONFLICT DO NOTHING"
        ),
        [{"old": old, "new": new, "snapshot": snapshot} for old, new in pairs],
    )
