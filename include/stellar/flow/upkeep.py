"""Maintenance as the DAG calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stellar.engine import maintain as keeper
from stellar.engine.context import Context


def maintain(ctx: Context, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Verify hashes, retire old snapshots, clear what was never committed.

    Parameters
    ----------
    params
        ``keep`` (snapshots kept per dataset, default 2) and ``dry_run`` (only say what would be done).
    """
    params = params or {}
    return keeper.maintain(ctx, keep=int(params.get("keep", 2)), dry_run=bool(params.get("dry_run", False)))
