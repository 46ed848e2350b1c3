"""The lake as queries see it: one set of snapshots each, opened once and shared by the queries that read it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from stellar.lake.sql import LakeConnection, connect
from stellar.lake.sql_text import quoted

from .adql.geometry import MACROS
from .adql.names import Table
from .published import LAYERS, TAP_SCHEMA, dataset_table, own_tables, tap_schema

if TYPE_CHECKING:
    from stellar.settings import Settings

_CURRENT = sa.text(
    "SELECT c.dataset, c.snapshot, d.description FROM lake.current c JOIN lake.dataset d ON d.name = c.dataset"
)


@dataclass
class Release:
    """What was current at one time.

    Attributes
    ----------
    snapshots : mapping
        Published dataset -> key of its snapshot.
    tables : mapping
        `schema.table` in lower case -> Table.
    connection : LakeConnection
    """

    snapshots: Mapping[str, str]
    tables: Mapping[str, Table]
    connection: LakeConnection
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class Releases:
    """Releases by what is current; a promotion makes a new one, and the last query on an old one closes it.

    Parameters
    ----------
    settings : Settings
    engine : sqlalchemy.Engine
        On the ledger; the role `reader` is enough.
    """

    def __init__(self, settings: Settings, engine: sa.Engine) -> None:
        self._settings, self._engine = settings, engine
        self._lock = threading.Lock()
        self._newest: Release | None = None

    @contextmanager
    def current(self) -> Iterator[Release]:
        """What is current now; it stays open until the end of the block, whatever is promoted meanwhile.

        Raises
        ------
        sqlalchemy.exc.DBAPIError
            When the ledger does not answer.
        """
        release = self._use()
        try:
            yield release
        finally:
            with self._lock:
                release.users -= 1
                self._close_unused(release)

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            if self._newest is not None:
                self._newest.connection.close()
            self._newest = None

    def _use(self) -> Release:
        with self._engine.connect() as connection:
            rows = [row for row in connection.execute(_CURRENT) if row.dataset.split(".")[0] in LAYERS]
        keys = {row.dataset: row.snapshot for row in rows}
        with self._lock:
            if self._newest is None or self._newest.snapshots != keys:
                old, self._newest = self._newest, self._open(keys, {row.dataset: row.description for row in rows})
                self._close_unused(old)
            self._newest.users += 1
            return self._newest

    def _close_unused(self, release: Release | None) -> None:
        if release is not None and release is not self._newest and not release.users:
            release.connection.close()

    def _open(self, keys: dict[str, str], descriptions: Mapping[str, str]) -> Release:
        options = {"memory_limit": self._settings.tap_memory}
        connection = connect(self._settings, self._engine, keys, options)
        shown = [name for name in sorted(keys) if name in connection.catalogs and name not in connection.faults]
        tables = [dataset_table(name, connection.catalogs[name], descriptions[name] or "") for name in shown]
        tables = [*tables, *own_tables()]
        for statement in (*MACROS, f"CREATE SCHEMA {TAP_SCHEMA}"):
            connection.duckdb.execute(statement)
        for name, rows in tap_schema(tables).items():
            connection.duckdb.register("_rows", rows)
            connection.duckdb.execute(f"CREATE TABLE {TAP_SCHEMA}.{quoted(name)} AS SELECT * FROM _rows")  # noqa: S608
            connection.duckdb.unregister("_rows")
        return Release(keys, {table.name.lower(): table for table in tables}, connection)
