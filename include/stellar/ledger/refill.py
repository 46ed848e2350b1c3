"""Filling an empty ledger with rows that it once held: their own times, states and numbers, not those of today.

The triggers that lead a snapshot and a model version through its life are off meanwhile, since what is put back has
that life behind it; all others, foreign keys and the sums of a commit stay on and are checked before they come back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from stellar.errors import LedgerError
from stellar.ledger.migrate import Migration

#: Schemas with nothing in them that is not made again from the lake, by the migration that makes them and `publish`.
MADE_AGAIN = ("scores", "scores_rows", "stellar_sky")
#: The ledger's schemas; dropping them drops the ledger.
SCHEMAS = ("lake", "ingest", "quality", "registry", "lineage", "ledger", "optuna", *MADE_AGAIN)
_LIVES = ("lake.snapshot", "registry.version")
_NUMBERED = ("lake.promotion", "quality.gate", "quality.decision", "registry.promotion")


def drop_ledger(connection: sa.Connection) -> None:
    """Drop everything that the migrations made; in the caller's transaction."""
    for schema in SCHEMAS:
        connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))


@contextmanager
def lives_put_back(connection: sa.Connection) -> Iterator[None]:
    """Within, rows of snapshots and model versions may be inserted in any state; `connection` is the owner's.

    Raises
    ------
    LedgerError
        At the end, when what was inserted does not add up or names what is not there.
    """
    for table in _LIVES:
        connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER life"))
    yield
    try:
        connection.execute(sa.text("SET CONSTRAINTS ALL IMMEDIATE"))
    except sa.exc.DBAPIError as error:
        raise LedgerError(f"what the files say does not add up: {error.orig}".strip()) from error
    for table in _LIVES:
        connection.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER life"))
    for table in _NUMBERED:
        connection.execute(
            sa.text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table} HAVING max(id) > 0")  # noqa: S608
        )


def insert_rows(connection: sa.Connection, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows as JSON (a column's name -> its value); those of keys that are there already are left out.

    Names that the table has no column of are left out, and columns that a row does not name get their default: files
    of an older ledger fit a newer one.
    """
    columns = _columns(connection, table)
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[tuple(name for name in columns if name in row)].append(dict(row))
    for names, members in groups.items():
        listed = ", ".join(f'"{name}"' for name in names)
        connection.execute(
            sa.text(
                f"INSERT INTO {table} ({listed}) OVERRIDING SYSTEM VALUE"  # noqa: S608 - names are the table's own
                f" SELECT {listed} FROM jsonb_populate_recordset(NULL::{table}, :rows) ON CONFLICT DO NOTHING"
            ).bindparams(sa.bindparam("rows", type_=JSONB)),
            {"rows": members},
        )


def _columns(connection: sa.Connection, table: str) -> list[str]:
    schema, name = table.split(".")
    sql = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = :schema AND table_name = :name"
        " AND is_generated = 'NEVER' ORDER BY ordinal_position"
    )
    return list(connection.scalars(sa.text(sql), {"schema": schema, "name": name}))


def known(connection: sa.Connection, table: str, column: str) -> set[str]:
    """Values of a key column."""
    return set(connection.scalars(sa.text(f"SELECT {column} FROM {table}")))  # noqa: S608 - names are ours


def grant_again(connection: sa.Connection, migrations: Sequence[Migration]) -> None:
    """Give the roles their rights on tables that came back without them, and make the schemas that are not dumped.

    The migrations that do so may be repeated.
    """
    for one in migrations:
        if one.name.endswith(("_roles.sql", "_scores.sql")):
            connection.connection.cursor().execute(one.sql)
