"""From fetched work units to raw snapshots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stellar.engine.context import Context

if TYPE_CHECKING:
    from stellar.surveys.base import Fetched, WorkUnit


@dataclass(frozen=True)
class RawCommit:
    """A raw snapshot's key and whether its content differs from the current one's."""

    key: str
    changed: bool


def done_signs(ctx: Context, survey: str) -> dict[tuple[str, str], str]:
    """(dataset, unit) -> sign of the units that are done: what `Survey.plan` takes as `done`."""
    raise NotImplementedError


def plan_units(ctx: Context, survey: str, units: Iterable[WorkUnit]) -> list[WorkUnit]:
    """Record units as planned and return those not done under the same sign."""
    raise NotImplementedError


def pending_units(ctx: Context, survey: str) -> list[WorkUnit]:
    """Units planned or failed and not yet done: what a new run resumes with."""
    raise NotImplementedError


def record_batch(ctx: Context, unit: WorkUnit, fetched: Fetched) -> str:
    """Keep what a unit brought, in one transaction; returns the batch id. Same content twice is the same batch."""
    raise NotImplementedError


def fail_unit(ctx: Context, unit: WorkUnit, error: str) -> None:
    """Note that a unit failed and why."""
    raise NotImplementedError


def commit_raw(ctx: Context, dataset: str) -> RawCommit:
    """Snapshot of a raw dataset's active batches, state candidate; gate and promote it like any other."""
    raise NotImplementedError
