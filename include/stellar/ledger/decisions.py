"""What people decided about rows in quarantine: written once; of a row and a reason the newest decision counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

Decision = Literal["release", "discard", "reopen"]

_INSERT = sa.text("""
    INSERT INTO quality.decision
        (dataset, row_id, reason, decision, who, why, batch_id, source_id, place, content)
    VALUES (:dataset, :row_id, :reason, :decision, :who, :why, :batch_id, :source_id, :place, :content)
""").bindparams(sa.bindparam("content", type_=JSONB))
_DECIDED = sa.text("""
    SELECT id, dataset, row_id, reason, decision, who, why, batch_id, source_id, place, content, decided_at
      FROM quality.decided WHERE CAST(:dataset AS text) IS NULL OR dataset = :dataset ORDER BY id DESC""")
_RELEASED = sa.text("""
    SELECT dataset, row_id AS row, reason, source_id AS id, place FROM quality.decided
     WHERE decision = 'release' ORDER BY dataset, row_id, reason""")


def record(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store decisions: the columns of `quality.decision` that the ledger does not give itself."""
    if rows:
        connection.execute(_INSERT, [dict(row) for row in rows])


def decided(engine: sa.Engine, dataset: str | None = None) -> list[dict[str, Any]]:
    """The decision that counts, of each row and reason of a quarantine dataset or of all; newest first."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(_DECIDED, {"dataset": dataset}).mappings()]


def history(engine: sa.Engine, dataset: str, row_id: str) -> list[dict[str, Any]]:
    """Every decision about one row, oldest first."""
    sql = sa.text("SELECT * FROM quality.decision WHERE dataset = :dataset AND row_id = :row ORDER BY id")
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sql, {"dataset": dataset, "row": row_id}).mappings()]


def released(engine: sa.Engine) -> dict[str, list[dict[str, Any]]]:
    """Quarantine dataset -> its released rows, in an order of their own: what a step takes as a parameter.

    Returns
    -------
    dict
        Of lists of ``row`` (its hash), ``reason``, ``id`` and ``place``.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    with engine.connect() as connection:
        for row in connection.execute(_RELEASED).mappings():
            found.setdefault(row["dataset"], []).append({name: row[name] for name in ("row", "reason", "id", "place")})
    return found
