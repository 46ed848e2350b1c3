"""Rows of a survey brought into a lake as a sync does: planned, recorded, committed, gated, promoted."""

from __future__ import annotations

from stellar.engine import engine, ingest
from stellar.engine.context import Context
from stellar.surveys.base import Fetched, WorkUnit

Answer = tuple[WorkUnit, Fetched]


def bring(ctx: Context, survey: str, *answers: Answer, dataset: str = "stars", reason: str = "sync") -> str:
    """Record answers, one after another, and make them current in `raw.<dataset>`; the key of its snapshot."""
    for unit, answer in answers:
        ingest.plan_units(ctx, survey, [unit])
        ingest.record_batch(ctx, unit, answer)
    commit = ingest.commit_raw(ctx, f"raw.{dataset}")
    assert commit is not None, "the rows are there already"
    assert all(result.passed for result in engine.gate(ctx, [commit.key]))
    engine.promote(ctx, [commit.key], who="test", reason=reason)
    return commit.key
