"""Gates over time, what is in quarantine, how fresh everything is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Mapping

_GATES = sa.text("""
    SELECT g.id, s.dataset, g.snapshot, g.passed, g.rows_checked, g.checked_at, g.run_id,
           count(e.*) FILTER (WHERE NOT e.passed) AS failed, count(e.*) AS expectations
      FROM quality.gate g JOIN lake.snapshot s ON s.key = g.snapshot
      LEFT JOIN quality.expectation e ON e.gate = g.id
     GROUP BY g.id, s.dataset ORDER BY g.id DESC LIMIT :limit""")


def gates(engine: sa.Engine, limit: int) -> list[dict[str, Any]]:
    """The newest gate reports, with how many of their expectations failed.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        On the ledger.
    limit : int

    Returns
    -------
    list of dict
    """
    with engine.connect() as connection:
        return [_plain(row) for row in connection.execute(_GATES, {"limit": limit}).mappings()]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in row.items()}
