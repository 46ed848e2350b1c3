"""Which layout a home has: a new one gets the present, an older one is brought to it, a newer one is refused.

The ledger's tables have their own numbers (`stellar.ledger.migrate`). The layout is what else lies in the home: what
must be found where, for this program to work with it. It is kept in the home's file `version`, with the program that
wrote it; homes from before that file are of layout 1.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

import sqlalchemy as sa

from stellar.errors import LedgerError
from stellar.ledger import history
from stellar.ledger import layout as layout_file
from stellar.ledger.layout import FILE, LAYOUT, read_layout
from stellar.settings import Settings

__all__ = ["FILE", "LAYOUT", "bring_home_up_to_date", "read_layout", "refuse_empty_ledger"]


def bring_home_up_to_date(settings: Settings, owner: sa.Engine) -> None:
    """Bring an older home to the present layout, step by step, and note that it is; `owner` is on its migrated ledger.

    Two processes at once do the same twice, which does no harm. A crash leaves the old number, and the next command
    goes on from there.
    """
    layout = read_layout(settings)
    if layout == LAYOUT:
        return
    for number in range(layout or LAYOUT, LAYOUT):
        _STEPS[number](settings, owner)
    settings.home.mkdir(parents=True, exist_ok=True)
    fresh = settings.home / f".{FILE}.{uuid.uuid4().hex}"
    fresh.write_text(layout_file.text(), encoding="utf-8")
    fresh.replace(settings.home / FILE)


def refuse_empty_ledger(settings: Settings, owner: sa.Engine) -> None:
    """Raise when the ledger knows nothing, but the lake holds datasets: it would forget them with the first commit."""
    with owner.connect() as connection:
        if connection.scalar(sa.text("SELECT EXISTS (SELECT FROM lake.dataset)")):
            return
    if any(settings.lake.glob(f"*/*/{history.HISTORY}")):
        raise LedgerError(
            f"the ledger is empty, but {settings.lake} holds datasets: the database was lost, or is another home's. "
            "`stellar ledger rebuild` makes it again from the lake"
        )


def _keep_histories(settings: Settings, owner: sa.Engine) -> None:
    history.write_all(owner, settings.lake, settings.artifacts)


_STEPS: dict[int, Callable[[Settings, sa.Engine], None]] = {1: _keep_histories}
