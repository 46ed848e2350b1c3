"""The ledger's schema: plain SQL files in `sql/ledger`, in order, each in a transaction, recorded with checksum."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from stellar.errors import LedgerError

_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_LOCK = 0x57E11A  # advisory lock of migrations; any constant of our own


@dataclass(frozen=True)
class Migration:
    """One file: its name, text and SHA-256."""

    name: str
    sql: str
    checksum: str


def read_migrations(folder: Path) -> list[Migration]:
    """The files of a folder in order.

    Raises
    ------
    LedgerError
        When a name is not NNNN_name.sql, a number is used twice, or there is none.
    """
    found = []
    for path in sorted(folder.glob("*.sql")):
        if not _NAME.fullmatch(path.name):
            raise LedgerError(f"{path}: a migration is named NNNN_name.sql")
        data = path.read_bytes()
        found.append(Migration(path.name, data.decode("utf-8"), hashlib.sha256(data).hexdigest()))
    numbers = [one.name[:4] for one in found]
    for number in numbers:
        if numbers.count(number) > 1:
            raise LedgerError(f"{folder}: two migrations have the number {number}")
    if not found:
        raise LedgerError(f"{folder} holds no migrations; is STELLAR_ROOT the project's root?")
    return found


def _landed(connection: sa.Connection) -> dict[str, str]:
    if not connection.scalar(sa.text("SELECT to_regclass('ledger.migration') IS NOT NULL")):
        return {}
    return dict(connection.execute(sa.text("SELECT name, checksum FROM ledger.migration ORDER BY name")).all())


def check(landed: dict[str, str], files: list[Migration], folder: Path) -> None:
    """Refuse a folder whose landed files were edited, are missing, or were slipped in before landed ones."""
    checksums = {one.name: one.checksum for one in files}
    for name, checksum in landed.items():
        if name not in checksums:
            raise LedgerError(
                f"migration {name} is applied to this ledger but missing in {folder}: the ledger was made by another "
                "version of the platform; check that version out, or bring the file back"
            )
        if checksums[name] != checksum:
            raise LedgerError(f"{folder / name} was edited after it was applied; restore it and add a new migration")
    if landed:
        newest = max(landed)
        for one in files:
            if one.name not in landed and one.name < newest:
                raise LedgerError(
                    f"{folder / one.name} comes before {newest}, which is applied; give it a later number"
                )


def migrate(engine: sa.Engine, folder: Path) -> list[str]:
    """Apply what is missing and return its names; nothing missing costs one query.

    `engine` connects as the owner. Two processes at once apply each file once.
    """
    files = read_migrations(folder)
    with engine.connect() as connection:
        landed = _landed(connection)
        check(landed, files, folder)
        if len(landed) == len(files):
            return []
        connection.commit()
        # The lock is the session's, so that what follows begins a new transaction: within the one that waited, the
        # names that another process has just made are not seen yet.
        connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        try:
            return _apply(connection, files, folder)
        finally:
            connection.rollback()
            connection.execute(sa.text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
            connection.commit()


def _apply(connection: sa.Connection, files: list[Migration], folder: Path) -> list[str]:
    with connection.begin():
        landed = _landed(connection)
        check(landed, files, folder)
        connection.exec_driver_sql(
            "CREATE SCHEMA IF NOT EXISTS ledger;"
            "CREATE TABLE IF NOT EXISTS ledger.migration (name text PRIMARY KEY, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
    missing = [one for one in files if one.name not in landed]
    for one in missing:
        with connection.begin():
            try:
                # the driver's own cursor: '%' and ':' in a file are SQL, not parameters
                connection.connection.cursor().execute(one.sql)
            except Exception as error:
                raise LedgerError(f"migration {folder / one.name} failed and was undone: {error}") from error
            connection.execute(
                sa.text("INSERT INTO ledger.migration (name, checksum) VALUES (:name, :checksum)"),
                {"name": one.name, "checksum": one.checksum},
            )
    return [one.name for one in missing]
