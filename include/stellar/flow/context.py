"""The context that every call of the flow takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from stellar import store
from stellar.engine.context import Context
from stellar.ledger import outbox
from stellar.ledger.connect import ledger_session
from stellar.ledger.server import Server
from stellar.settings import Settings, load_settings


@contextmanager
def open_context(
    run_id: str | None = None,
    settings: Settings | None = None,
    postgres: Server | None = None,
    ol_parent: tuple[str, str] | None = None,
    engine: sa.Engine | None = None,
) -> Iterator[Context]:
    """Open settings and a ledger connection with the pipeline's role; starts the ledger where none is up.

    Parameters
    ----------
    run_id
        Who asks, for the ledger: an Airflow run, or None for the command.
    postgres, engine
        As `ledger_session` takes them.
    ol_parent
        Run and job of the task in Airflow's own OpenLineage events, where it sends any.
    """
    settings = settings or load_settings()
    store.check_reachable(settings.lake)
    with ledger_session(settings, postgres=postgres, engine=engine) as ledger:
        try:
            yield Context(settings, ledger, run_id, ol_parent)
        finally:
            outbox.send_within(ledger, settings)
