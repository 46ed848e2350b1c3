"""How everything reaches the ledger: `ledger_session`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from stellar.settings import Settings


@contextmanager
def ledger_session(settings: Settings, role: str = "pipeline") -> Iterator[sa.Engine]:
    """Engine on this home's ledger, migrated; starts the embedded server when none is up and stops it at the end.

    `role` is `owner`, `pipeline` (writes rows) or `reader` (selects only).
    """
    raise NotImplementedError
    yield
