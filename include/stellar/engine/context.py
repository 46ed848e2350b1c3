"""What every engine function is given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from stellar.ledger import snapshots
from stellar.settings import Settings


@dataclass(frozen=True)
class Context:
    """Settings, an engine on the ledger (`stellar.ledger.connect.ledger_session`) and the run that asks, if any."""

    settings: Settings
    engine: sa.Engine
    run_id: str | None = None
    #: Run (UUID) and job that Airflow's own OpenLineage events have for the task that asks, where there are any.
    ol_parent: tuple[str, str] | None = None


def read_manifest(ctx: Context, row: snapshots.Snapshot) -> dict[str, Any] | None:
    """The manifest of a snapshot, None where it has no files."""
    try:
        text = (ctx.settings.lake / str(row.path) / "manifest.json").read_text(encoding="utf-8")
        manifest: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    return manifest
