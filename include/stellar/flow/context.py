"""The context that every call of the flow takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    ready: bool = False,
) -> Iterator[Context]:
    """Open settings and a ledger connection with the pipeline's role; starts the ledger where none is up.

    Parameters
    ----------
    run_id
        Who asks, for the ledger: an Airflow run, or None for the command.
    postgres, ready
        As `ledger_session` takes them.
    ol_parent
        Run and job of the task in Airflow's own OpenLineage events, where it sends any.
    """
    settings = settings or load_settings()
    store.check_reachable(settings.lake)
    with ledger_session(settings, postgres=postgres, ready=ready) as engine:
        try:
            yield Context(settings, engine, run_id, ol_parent)
        finally:
            outbox.send_within(engine, settings)
