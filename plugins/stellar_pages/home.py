"""The home that the pages show: its settings and one engine on its ledger for each role, opened when first asked."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa

    from stellar.settings import Settings


@cache
def settings() -> "Settings":
    """Settings that the API server was started with."""
    from stellar.settings import load_settings

    return load_settings()


@cache
def engine(role: str = "reader") -> "sa.Engine":
    """Engine on the ledger, which runs as long as the API server does."""
    from stellar.ledger.connect import open_ledger

    return open_ledger(settings(), role)
