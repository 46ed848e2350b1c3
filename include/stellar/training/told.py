"""A training as events of OpenLineage tell it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stellar.engine import events
from stellar.engine.context import Context
from stellar.ledger.openlineage import new_run

if TYPE_CHECKING:
    from stellar.training.config import ModelConfig
    from stellar.training.frame import Frame
    from stellar.training.train import TrainingResult


@contextmanager
def told(ctx: Context, config: ModelConfig, frame: Frame) -> Iterator[Callable[[TrainingResult], None]]:
    """Tell that a training began and, where it raises, that it failed; the function given tells how it ended."""
    run, about = new_run(), config.description.strip()

    def end(result: TrainingResult) -> None:
        if result.version_key is None:
            events.training(ctx, "FAIL", run, config.name, frame.snapshots, error="; ".join(result.reasons))
            return
        events.training(
            ctx,
            "COMPLETE",
            run,
            config.name,
            frame.snapshots,
            key=result.version_key,
            description=about,
            figures={name: one.value for name, one in result.metrics.items() if math.isfinite(one.value)},
            promoted=result.promoted,
            rows=frame.table.num_rows,
        )

    events.training(ctx, "START", run, config.name, frame.snapshots, description=about)
    try:
        yield end
    except Exception as error:
        events.training(ctx, "FAIL", run, config.name, frame.snapshots, error=events.said_of(ctx, error))
        raise
