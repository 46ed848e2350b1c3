"""Gate, promote, reject and roll back snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stellar.engine.context import Context

if TYPE_CHECKING:
    from stellar.quality.gate import GateResult


def gate(ctx: Context, keys: Iterable[str], snapshots: Mapping[str, str] | None = None) -> list[GateResult]:
    """Run each snapshot's gate, keep the results in the ledger, and reject what failed. Already gated: read back."""
    raise NotImplementedError


def promote(ctx: Context, keys: Iterable[str], *, who: str, reason: str) -> dict[str, bool]:
    """Make snapshots current, all in one transaction; dataset -> whether its content changed."""
    raise NotImplementedError


def reject(ctx: Context, key: str, *, who: str, reason: str) -> None:
    """Refuse a candidate for a reason that the gate does not know."""
    raise NotImplementedError


def rollback(ctx: Context, dataset: str, *, who: str, reason: str, to: str | None = None) -> str:
    """Make an earlier snapshot current again (the one before, or `to`); returns its key."""
    raise NotImplementedError
