"""Committing: a staged plan becomes a candidate snapshot, in one transaction."""

from __future__ import annotations

from stellar.engine.context import Context
from stellar.engine.plan import Plan
from stellar.engine.step import Step


def commit(ctx: Context, step: Step, plan: Plan) -> str:
    """Commit a built plan and return the snapshot's key; done before, it only returns the key."""
    raise NotImplementedError
