"""The whole sentence in one process: plan, build, commit, gate, promote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stellar.engine.build import build_batch
from stellar.engine.commit import commit
from stellar.engine.context import Context
from stellar.engine.plan import Plan, plan
from stellar.engine.promote import gate, promote
from stellar.engine.step import Step
from stellar.errors import GateFailed
from stellar.ledger import snapshots

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
    """Build every batch of a plan, on as many processes as the settings allow."""
    tell = progress or (lambda dataset, done, total: None)
    total = len(planned.batches)
    tell(step.dataset, 0, total)
    if total <= 1 or ctx.settings.workers == 1:
        for number in range(total):
            build_batch(ctx.settings, step, planned, number)
            tell(step.dataset, number + 1, total)
        return
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=min(ctx.settings.workers, total), return_as="generator_unordered", batch_size=1)
    jobs = (delayed(build_batch)(ctx.settings, step, planned, number) for number in range(total))
    for done, _ in enumerate(pool(jobs), start=1):
        tell(step.dataset, done, total)
