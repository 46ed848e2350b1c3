"""Maintenance as the DAG calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stellar.engine import maintain as keeper
from stellar.engine.context import Context
from stellar.errors import IntegrityError


def maintain(ctx: Context, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Verify hashes, retire old snapshots, clear what was never committed and what killed trainings left.

    Parameters
    ----------
    params
        ``keep`` (former snapshots kept per dataset beside the current one, default 2), ``keep_days`` (those that were
        current within so many days are kept too, and as long the checkpoints of killed trainings; default 0) and
        ``dry_run`` (only say what would be done, faults included).

    Raises
    ------
    IntegrityError
        When current files are not what the ledger says; names them. Nothing was deleted then.
    """
    params = params or {}
    dry_run = bool(params.get("dry_run", False))
    report = keeper.maintain(
        ctx, keep=int(params.get("keep", 2)), keep_days=float(params.get("keep_days", 0)), dry_run=dry_run
    )
    if report["faults"] and not dry_run:
        said = "\n".join(
            f"{one['dataset']} {one['snapshot'][:16]}  {one['file']}: {one['what']}" for one in report["faults"]
        )
        raise IntegrityError(
            f"{len(report['faults'])} faults in stored files; nothing was deleted. Put the files back from a copy, or "
            f"`stellar verify DATASET --repair` and run again\n{said}"
        )
    return report
