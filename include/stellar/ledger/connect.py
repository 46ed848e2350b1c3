"""How everything reaches the ledger: `ledger_session`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from stellar.errors import InputError, LedgerError
from stellar.ledger import home, server
from stellar.ledger.migrate import migrate
from stellar.settings import Settings


def migrations(settings: Settings) -> Path:
    return settings.root / "sql" / "ledger"


def ledger_url(settings: Settings, role: str = "pipeline") -> sa.URL:
    """URL of the ledger for `owner`, `pipeline` or `reader`; an external server has one user for all."""
    if settings.postgres_url is None:
        return server.url(settings, role)
    try:
        url = sa.make_url(settings.postgres_url.get_secret_value())
    except sa.exc.ArgumentError:
        raise InputError(
            "STELLAR_POSTGRES_URL is no URL; it looks like postgresql://owner:password@host/stellar"
        ) from None
    if url.get_backend_name() != "postgresql":
        raise InputError(f"STELLAR_POSTGRES_URL: {url.get_backend_name()} is not postgresql")
    return url.set(drivername="postgresql+psycopg2")


def airflow_url(settings: Settings) -> sa.URL:
    """URL of Airflow's own database on the embedded server."""
    return server.url(settings, "airflow", "airflow")


def _engine(settings: Settings, role: str) -> sa.Engine:
    engine = sa.create_engine(
        ledger_url(settings, role),
        pool_pre_ping=True,  # a server that was restarted under us costs a new connection, not an error
        pool_size=2,
        connect_args={"connect_timeout": 10, "application_name": f"stellar {role}"},
    )
    if settings.postgres_url is not None and role != "owner":

        @sa.event.listens_for(engine, "connect")
        def assume(connection, record) -> None:  # type: ignore[no-untyped-def]
            """Drop to the role's rights where this server has it and lets the user."""
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_has_role(current_user, oid, 'SET') FROM pg_roles WHERE rolname = %s",
                    (server.ROLES[role],),
                )
                if (found := cursor.fetchone()) and found[0]:
                    cursor.execute(f"SET ROLE {server.ROLES[role]}")
            connection.commit()

    return engine


@contextmanager
def ledger_session(
    settings: Settings,
    role: str = "pipeline",
    postgres: server.Server | None = None,
    *,
    engine: sa.Engine | None = None,
) -> Iterator[sa.Engine]:
    """Engine on this home's ledger, migrated; starts the embedded server when none is up and lets go of it at the end.

    A server that somebody else uses (a supervisor, another command) is used with them and left to them.

    Parameters
    ----------
    settings : Settings
        `postgres_url` names an external server; else the embedded one of `settings.home`.
    role : str
        `owner`, `pipeline` (writes rows) or `reader` (selects only).
    postgres : Server, optional
        The use of the embedded server to go on with, where the caller has begun to start it; it ends here.
    engine : sqlalchemy.Engine, optional
        One with the role, of a caller that has started `postgres` and brought the ledger up to date
        (`bring_up_to_date`) already, and whose process ends with the session: the server's stop is not waited for.

    Raises
    ------
    InputError
        When the home or URL cannot be used (a newer program made it, too), with what to do.
    LedgerError
        When the server does not start, the ledger is of another version of the platform, or was lost.
    """
    if role not in ("owner", "pipeline", "reader"):
        raise InputError(f"ledger role {role!r} is none of owner, pipeline, reader")
    if engine is not None:
        try:
            yield engine
        finally:
            engine.dispose()
            if postgres:
                postgres.leave()
        return
    postgres = postgres or server.embedded(settings)
    home.read_layout(settings)
    if postgres:
        postgres.start()
    try:
        bring_up_to_date(settings)
        engine = _engine(settings, role)
        try:
            yield engine
        finally:
            engine.dispose()
    finally:
        if postgres:
            postgres.stop()


@contextmanager
def lost_ledger(settings: Settings) -> Iterator[sa.Engine]:
    """Owner's engine on a ledger as it is found: neither migrated nor asked what it holds; made where there is none.

    For what makes a ledger again; the rest of the platform uses `ledger_session`.
    """
    home.read_layout(settings)
    postgres = server.embedded(settings)
    if postgres:
        postgres.start()
        postgres.bootstrap()  # a server that was up already does not know that its database was dropped
    engine = _engine(settings, "owner")
    try:
        if postgres is None:
            _make_database(engine)
        yield engine
    finally:
        engine.dispose()
        if postgres:
            postgres.stop()


def _make_database(engine: sa.Engine) -> None:
    """Make the database of an external server where it is missing, if its user may."""
    try:
        engine.connect().close()
    except sa.exc.OperationalError as error:
        if "does not exist" not in str(error.orig):
            raise LedgerError(f"the ledger's server cannot be reached: {str(error.orig).strip()}") from error
        server_engine = sa.create_engine(engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        try:
            with server_engine.connect() as connection:
                name = connection.dialect.identifier_preparer.quote(str(engine.url.database))
                connection.execute(sa.text(f"CREATE DATABASE {name}"))
        except sa.exc.DBAPIError as refused:
            raise LedgerError(
                f"the database {engine.url.database} does not exist, and cannot be made: {str(refused.orig).strip()}"
            ) from refused
        finally:
            server_engine.dispose()


def bring_up_to_date(settings: Settings) -> list[str]:
    """Apply the migrations that are missing to a server that is up, and to the home; returns the names of the former.

    Raises
    ------
    InputError
        When a newer program made the home.
    LedgerError
        When the ledger cannot be reached, is of another version of the platform, or was lost.
    """
    home.read_layout(settings)
    owner = _engine(settings, "owner")
    try:
        applied = migrate(owner, migrations(settings))
        home.refuse_empty_ledger(settings, owner)
        home.bring_home_up_to_date(settings, owner)
        return applied
    except sa.exc.OperationalError as error:
        where = owner.url.render_as_string(hide_password=True)
        hint = "; `stellar ledger rebuild` makes it again from the lake" if "does not exist" in str(error.orig) else ""
        raise LedgerError(f"the ledger at {where} cannot be reached: {str(error.orig).strip()}{hint}") from error
    finally:
        owner.dispose()


def open_ledger(settings: Settings, role: str = "pipeline") -> sa.Engine:
    """Engine on a ledger that is up already (inside Airflow's tasks); the caller disposes of it."""
    return _engine(settings, role)
