"""Gates over time, one gate's report, and where every row of a step went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from stellar.errors import InputError
from stellar.serving.plain import plain

if TYPE_CHECKING:
    from stellar.settings import Settings

_GATES = sa.text("""
    SELECT g.id, s.dataset, g.snapshot, s.state, g.passed, g.rows_checked, g.checked_at, g.run_id,
           g.evidence ->> 'follows' AS follows,
           count(e.*) FILTER (WHERE NOT e.passed) AS failed, count(e.*) AS expectations
      FROM quality.gate g JOIN lake.snapshot s ON s.key = g.snapshot
      LEFT JOIN quality.expectation e ON e.gate = g.id
     WHERE CAST(:dataset AS text) IS NULL OR s.dataset = :dataset
     GROUP BY g.id, s.dataset, s.state ORDER BY g.id DESC LIMIT :limit""")
_GATE = sa.text("""
    SELECT g.id, s.dataset, g.snapshot, s.state, s.state_reason, g.passed, g.rows_checked, g.checked_at, g.run_id,
           g.data_docs, g.evidence
      FROM quality.gate g JOIN lake.snapshot s ON s.key = g.snapshot
     WHERE CASE WHEN :id > 0 THEN g.id = :id ELSE g.snapshot LIKE :snapshot END ORDER BY g.id DESC LIMIT 1""")
_EXPECTATIONS = sa.text("""
    SELECT number, expectation, column_name, passed, failing, observed, kwargs, failing_rows
      FROM quality.expectation WHERE gate = :gate ORDER BY passed, number""")
_OBSERVED = sa.text("""
    SELECT g.id AS gate, g.checked_at, g.snapshot, e.passed, e.failing, e.observed, g.rows_checked
      FROM quality.expectation e JOIN quality.gate g ON g.id = e.gate JOIN lake.snapshot s ON s.key = g.snapshot
     WHERE s.dataset = :dataset AND e.expectation = :expectation
       AND e.column_name IS NOT DISTINCT FROM :column AND e.kwargs ->> 'note' IS NOT DISTINCT FROM :note
     ORDER BY g.id""")
_ACCOUNTING = sa.text("""
    SELECT s.dataset, s.key AS snapshot, s.state, s.run_id, s.committed_at, a.step, a.rows_in, a.rows_out, a.merged,
           a.filtered, a.filtered_by, a.quarantined
      FROM lake.accounting a JOIN lake.snapshot s ON s.key = a.snapshot
     WHERE s.companion_of IS NULL AND s.dataset NOT LIKE 'quarantine.%'
       AND (CAST(:run AS text) IS NULL OR s.run_id = :run) AND (CAST(:dataset AS text) IS NULL OR s.dataset = :dataset)
       AND (:every OR s.state = 'current')
     ORDER BY s.committed_at DESC, s.dataset LIMIT :limit""")


def gates(engine: sa.Engine, limit: int, dataset: str | None = None) -> list[dict[str, Any]]:
    """The newest gate reports, with how many of their expectations failed.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        On the ledger.
    limit : int
    dataset : str, optional
        Of this dataset alone.

    Returns
    -------
    list of dict
    """
    with engine.connect() as connection:
        rows = connection.execute(_GATES, {"limit": limit, "dataset": dataset}).mappings()
        return [plain(dict(row)) for row in rows]


def gate(engine: sa.Engine, reference: str) -> dict[str, Any]:
    """One report: each expectation with what was observed and a sample of the rows that failed; failed ones first.

    Parameters
    ----------
    reference : str
        Number of a gate, or key of a snapshot (8 hex or more), whose newest gate is meant.

    Raises
    ------
    InputError
        When there is none.
    """
    is_number = reference.isdigit() and len(reference) < 8
    if not is_number and (len(reference) < 8 or set(reference) - set("0123456789abcdef")):
        raise InputError(f"gate {reference!r}: give its number, or 8 or more digits of a snapshot's key")
    asked = {"id": int(reference) if is_number else 0, "snapshot": f"{reference}%"}
    with engine.connect() as connection:
        row = connection.execute(_GATE, asked).mappings().first()
        if row is None:
            raise InputError(f"no gate {reference!r} is on record; the page Quality lists them")
        expectations = connection.execute(_EXPECTATIONS, {"gate": row["id"]}).mappings()
        return plain({**row, "expectations": [dict(one) for one in expectations]})


def observed(
    engine: sa.Engine, dataset: str, expectation: str, column: str | None, note: str | None
) -> list[dict[str, Any]]:
    """What one expectation of a dataset observed at each of its gates, oldest first.

    Returns
    -------
    list of dict
        ``gate, checked_at, snapshot, passed``, and ``value``: the observed number, else the share of failing rows.
    """
    asked = {"dataset": dataset, "expectation": expectation, "column": column, "note": note}
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(_OBSERVED, asked).mappings()]
    return [
        plain({name: row[name] for name in ("gate", "checked_at", "snapshot", "passed")} | _number(row)) for row in rows
    ]


def _number(row: dict[str, Any]) -> dict[str, Any]:
    """The number that an expectation's result comes down to, and what it is."""
    seen = row["observed"] or {}
    value = seen.get("value")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"value": float(value), "what": "observed value"}
    if isinstance(seen.get("unexpected_percent"), (int, float)):
        return {"value": float(seen["unexpected_percent"]), "what": "unexpected values, percent"}
    if row["failing"] is not None:
        return {"value": float(row["failing"]), "what": "failing rows"}
    return {"value": float(not row["passed"]), "what": "0 passed, 1 failed"}


def accounting(
    engine: sa.Engine, *, run: str | None = None, dataset: str | None = None, every: bool = False, limit: int = 200
) -> list[dict[str, Any]]:
    """Where the rows of each snapshot's input went: out, merged, filtered by a rule, quarantined.

    Parameters
    ----------
    run : str, optional
        Snapshots that this run committed, current or not.
    every : bool
        Former snapshots too.
    """
    asked = {"run": run, "dataset": dataset, "every": every or run is not None, "limit": limit}
    with engine.connect() as connection:
        return [plain(dict(row)) for row in connection.execute(_ACCOUNTING, asked).mappings()]


def runs(engine: sa.Engine, limit: int = 100) -> list[str]:
    """Runs that committed snapshots, newest first."""
    sql = sa.text(
        "SELECT run_id FROM lake.snapshot WHERE run_id IS NOT NULL"
        " GROUP BY run_id ORDER BY max(planned_at) DESC LIMIT :n"
    )
    with engine.connect() as connection:
        return list(connection.scalars(sql, {"n": limit}))


def data_docs(settings: Settings, name: str) -> Path:
    """Path of a page of the home's Data Docs.

    Raises
    ------
    InputError
        When there is none of this name, or the name leads out of the folder.
    """
    folder = (settings.home / "data_docs").resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder) or path.suffix != ".html" or not path.is_file():
        raise InputError(f"no page {name!r} in the Data Docs; its gate was run before pages were kept, or elsewhere")
    return path
