"""What every engine function is given."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from stellar.settings import Settings


@dataclass(frozen=True)
class Context:
    """Settings, an engine on the ledger (`stellar.ledger.connect.ledger_session`) and the run that asks, if any."""

    settings: Settings
    engine: sa.Engine
    run_id: str | None = None
