"""The whole sentence in one process: plan, build, commit, gate, promote."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from stellar.engine import events
from stellar.engine.build import build_batch
from stellar.engine.commit import commit
from stellar.engine.context import Context
from stellar.engine.executors import map_unordered
from stellar.engine.plan import Plan, load_staged, plan, staging
from stellar.engine.promote import gate, promote
from stellar.engine.step import Step
from stellar.errors import GateFailed, InputError
from stellar.ledger import snapshots
from stellar.settings import Settings

Progress = Callable[[str, int, int], None]


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
    progress: Progress | None = None,
) -> list[Outcome]:
    """Run steps in order, each on the current snapshots.

    Parameters
    ----------
    progress : callable, optional
        Called as (dataset, batches done, batches).

    Raises
    ------
    GateFailed
        Naming dataset and expectations; what was promoted before stays, the failed snapshot is rejected.
    """
    return [_run_one(ctx, step, who, reason, progress) for step in steps]


def _run_one(ctx: Context, step: Step, who: str, reason: str, progress: Progress | None) -> Outcome:
    planned = plan(ctx, step)
    if not planned.found:
        build_all(ctx, step, planned, progress)
        commit(ctx, step, planned)
    result = gate(ctx, [planned.key])[0]
    if not result.passed:
        raise GateFailed(f"{step.dataset}, snapshot {planned.key[:16]}, did not pass: " + "; ".join(result.reasons()))
    changed = promote(ctx, [planned.key], who=who, reason=reason)[step.dataset]
    carried = sum(one.carried for one in planned.partitions)
    rows = snapshots.get(ctx.engine, planned.key).rows or 0
    built = 0 if planned.found else len(planned.partitions) - carried
    return Outcome(step.dataset, planned.key, planned.found, changed, built, carried, rows)


def build_all(ctx: Context, step: Step, planned: Plan, progress: Progress | None = None) -> None:
    """Build every batch of a plan, wherever the settings say (`stellar.engine.executors`)."""

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(step.dataset, done, total)

    settings = ctx.settings
    if settings.engine == "dask":  # a build needs no ledger, so its address stays here
        work = partial(_build_staged, settings.without_secrets(), step, planned.key)
    else:
        work = partial(build_batch, settings, step, planned)
    with events.telling_failure(ctx, step, planned.key):
        batches, threads = range(len(planned.batches)), getattr(step, "threads", False)
        map_unordered(settings, work, batches, threads=threads, progress=tell)


def _build_staged(settings: Settings, step: Step, key: str, number: int) -> None:
    """`build_batch` where only the lake is shared: the plan, which may be large, is read there."""
    planned = load_staged(settings, key)
    if planned is None:
        raise InputError(
            f"{staging(settings, key)} holds no plan on {platform.node()}: a Dask worker has to see the folder "
            "STELLAR_HOME under the same path as the command that asks it"
        )
    build_batch(settings, step, planned, number)
