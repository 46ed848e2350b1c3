"""The whole sentence in one process: plan, build, commit, gate, promote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stellar.engine.context import Context
from stellar.engine.step import Step


@dataclass(frozen=True)
class Outcome:
    """What one step came to: its snapshot, whether it was found, how many partitions were made or carried."""

    dataset: str
    key: str
    found: bool
    changed: bool
    built: int
    carried: int
    rows: int


def run(
    ctx: Context,
    steps: Sequence[Step],
    *,
    who: str = "stellar",
    reason: str = "run",
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Outcome]:
    """Run steps in order, each on the current snapshots. A failed gate raises GateFailed and stops there.

    `progress` is called as (dataset, batches done, batches).
    """
    raise NotImplementedError
