"""Gate results in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB


@dataclass(frozen=True)
class StoredGate:
    """One run of a snapshot's suite, with its expectations as plain rows."""

    id: int
    snapshot: str
    suite_hash: str | None
    passed: bool
    rows_checked: int | None
    data_docs: str | None
    expectations: list[dict[str, Any]]


def latest(connection: sa.Connection, snapshot: str) -> StoredGate | None:
    """The run that counts: the newest of a snapshot."""
    row = (
        connection.execute(
            sa.text(
                "SELECT id, snapshot, suite_hash, passed, rows_checked, data_docs FROM quality.gate"
                " WHERE snapshot = :snapshot ORDER BY id DESC LIMIT 1"
            ),
            {"snapshot": snapshot},
        )
        .mappings()
        .first()
    )
    return StoredGate(**row, expectations=_expectations(connection, row["id"])) if row else None


def _expectations(connection: sa.Connection, gate: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        sa.text(
            "SELECT number, expectation, column_name, passed, failing, observed, kwargs, failing_rows"
            " FROM quality.expectation WHERE gate = :gate ORDER BY number"
        ),
        {"gate": gate},
    ).mappings()
    return [dict(row) for row in rows]


def record(
    connection: sa.Connection,
    snapshot: str,
    *,
    passed: bool,
    suite_hash: str | None,
    rows_checked: int | None,
    data_docs: str | None,
    expectations: Sequence[Mapping[str, Any]],
    evidence: Mapping[str, Any] | None = None,
    run_id: str | None = None,
) -> int:
    """Store a run and its expectations, row by row; returns its id."""
    gate = connection.scalar(
        sa.text(
            "INSERT INTO quality.gate (snapshot, suite_hash, passed, rows_checked, data_docs, evidence, run_id)"
            " VALUES (:snapshot, :suite_hash, :passed, :rows_checked, :data_docs, :evidence, :run_id) RETURNING id"
        ).bindparams(sa.bindparam("evidence", type_=JSONB)),
        {
            "snapshot": snapshot,
            "suite_hash": suite_hash,
            "passed": passed,
            "rows_checked": rows_checked,
            "data_docs": data_docs,
            "evidence": dict(evidence or {}),
            "run_id": run_id,
        },
    )
    names = ("number", "expectation", "column_name", "passed", "failing", "observed", "kwargs", "failing_rows")
    rows = [{**{name: one.get(name) for name in names}, "gate": gate} for one in expectations]
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO quality.expectation"
                " (gate, number, expectation, column_name, passed, failing, observed, kwargs, failing_rows) VALUES"
                " (:gate, :number, :expectation, :column_name, :passed, :failing, :observed, :kwargs, :failing_rows)"
            ).bindparams(*(sa.bindparam(name, type_=JSONB) for name in ("observed", "kwargs", "failing_rows"))),
            rows,
        )
    return int(gate or 0)


def report(engine: sa.Engine, dataset: str | None = None) -> list[dict[str, Any]]:
    """The newest gate run of each dataset's newest snapshot and of its current one, with expectations."""
    sql = """
        SELECT DISTINCT ON (s.dataset, s.key) s.dataset, s.key AS snapshot, s.state, g.id, g.passed, g.checked_at,
               g.rows_checked, g.data_docs, g.evidence
          FROM quality.gate g JOIN lake.snapshot s ON s.key = g.snapshot
         WHERE (CAST(:dataset AS text) IS NULL OR s.dataset = :dataset)
           AND (s.state = 'current' OR s.key = (
                SELECT s2.key FROM quality.gate g2 JOIN lake.snapshot s2 ON s2.key = g2.snapshot
                 WHERE s2.dataset = s.dataset ORDER BY g2.id DESC LIMIT 1))
         ORDER BY s.dataset, s.key, g.id DESC"""
    with engine.connect() as connection:
        rows = connection.execute(sa.text(sql), {"dataset": dataset}).mappings().all()
        return [{**row, "expectations": _expectations(connection, row["id"])} for row in rows]
