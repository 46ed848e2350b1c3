"""SQL over the current snapshots and the ledger: DuckDB, in memory, reading only.

Every dataset is a view of its name (`curated.gaia`), the ledger's tables are `ledger.<table>` (loaded when a statement
first names one), and `cone('curated.gaia', ra, dec, radius_deg)`, `box` and `polygon` read only the partitions and row
groups that they touch; so does `by_id('curated.gaia', ['id', …])`, by the index of ids. `as_of`, `snapshot` and
`changes` look back (`sql_history`). Which snapshots the views show is decided when the connection is opened: all its
statements read the same ones, whatever is promoted meanwhile.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa

from stellar.errors import InputError, StellarError
from stellar.store import is_remote

from .read import Catalog
from .sql_history import Chosen, History, create_history_macros, current_at
from .sql_ids import create_id_macro
from .sql_ledger import ledger_catalog, ledger_table
from .sql_regions import create_macros
from .sql_text import dotted, literal, named_in, quoted, scan, words_of

if TYPE_CHECKING:
    import sqlalchemy as sa

    from stellar.settings import Settings

_EACH = re.compile(r"^--\s*each:\s*(\S+)(?:\s+with\s+(\w+))?\s*$", re.MULTILINE)
_WRITES = re.compile(r"\b((insert|merge) (into|or)|delete from|update\b.*\bset)\b", re.DOTALL)
_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?(\s*\([^)]*\))?\s", re.IGNORECASE)


class LakeConnection:
    """A DuckDB connection that sees the lake and the ledger and changes nothing. Use it in a `with`."""

    def __init__(
        self,
        settings: Settings,
        engine: sa.Engine,
        snapshots: Mapping[str, str] | None = None,
        limits: Mapping[str, str] | None = None,
        *,
        as_of: datetime | None = None,
    ) -> None:
        self._engine = engine
        self.history = History(settings, engine)
        self._views = settings.root / "sql" / "views"
        self._loaded: set[str] = set()
        self._ledger_columns: dict[str, tuple[str, list[tuple[str, str]]]] | None = None
        #: What could not be shown: dataset -> why.
        self.faults: dict[str, str] = {}
        #: The snapshots that every statement reads: they are chosen here, once.
        self.snapshots: dict[str, Chosen]
        #: Datasets whose files of the time asked for were removed: dataset -> what to do; and that did not exist yet.
        self.gone: dict[str, str]
        self.absent: dict[str, str]
        self.snapshots, self.gone, self.absent = _chosen_snapshots(engine, snapshots or {}, as_of)
        with engine.connect() as connection:
            self._ids = _id_columns(connection)
        self.catalogs = self._open_catalogs(settings.lake, {name: one.path for name, one in self.snapshots.items()})
        #: Datasets in an object store whose views have no rows yet: files are fetched when a statement names them.
        self._to_fetch = set(self.catalogs) if is_remote(settings.lake) else set()
        self.duckdb = _locked_down(settings, limits or {})
        # DuckDB complains at the interpreter's exit about functions of connections that are still open.
        self._close = weakref.finalize(self, self.duckdb.close)
        self._create_views()
        create_macros(self.duckdb, self.catalogs)
        create_id_macro(self.duckdb, self.catalogs, settings.cache / "ids")
        create_history_macros(self.duckdb, self.history)
        self.duckdb.execute("SET lock_configuration = true")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; results that were not fetched are gone."""
        self._close()

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """Run one reading statement.

        Returns
        -------
        duckdb.DuckDBPyConnection
            To fetch from: `fetchall()`, `fetchone()`, `to_arrow_table()`, `to_arrow_reader()`, `description`.

        Raises
        ------
        InputError
            When the statement is not one SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN of one.
        duckdb.Error
            When the statement is wrong.
        """
        return self.cursor(statement).execute(statement, parameters)

    def cursor(self, statement: str) -> duckdb.DuckDBPyConnection:
        """A cursor for one reading statement, which it has not run yet; for who wants to `interrupt` it."""
        self._prepare(statement)
        # A cursor each: DuckDB runs nothing on a connection whose last result was not read to its end.
        return self.duckdb.cursor()

    def reader(
        self,
        statement: str,
        parameters: Sequence[Any] | None = None,
        *,
        rows: int = 50_000,
        cursor: duckdb.DuckDBPyConnection | None = None,
    ) -> Any:
        """Result of one reading statement as a pyarrow.RecordBatchReader with batches of at most `rows`.

        With a `cursor` of `duckdb` of one's own, another thread may interrupt it.
        """
        self._prepare(statement)
        # Through a relation, since the cursor that `execute` returns would copy the rows once more.
        return (cursor or self.duckdb.cursor()).sql(statement, params=parameters).to_arrow_reader(rows)

    def forget_ledger(self) -> None:
        """Load the ledger's tables anew when a statement next names them: they change while the lake does not."""
        for name in self._loaded - set(self._ledger_columns or ()):
            self.duckdb.execute(f"DROP VIEW IF EXISTS views.{quoted(name)}")
        for name in self._loaded & set(self._ledger_columns or ()):
            self.duckdb.execute(f"DROP TABLE IF EXISTS ledger.{quoted(name)}")
            self.duckdb.execute(f"DROP VIEW IF EXISTS views.{quoted(name)}")
        self._loaded.clear()

    def arrow(self, statement: str, parameters: Sequence[Any] | None = None) -> pa.Table:
        """Result of one reading statement as an Arrow table."""
        return self.reader(statement, parameters).read_all()

    def ledger_tables(self) -> list[str]:
        """Names of the ledger's tables and views, each to be used as `ledger.<name>`."""
        return sorted(self._ledger())

    def ledger_columns(self) -> dict[str, list[str]]:
        """Columns of every table of the ledger, by the name that it has here."""
        return {f"ledger.{name}": [column for column, _ in fields] for name, (_, fields) in self._ledger().items()}

    def columns(self) -> dict[str, list[str]]:
        """Columns of every dataset."""
        return {name: catalog.schema.names for name, catalog in self.catalogs.items()}

    def _open_catalogs(self, lake: Path, paths: Mapping[str, str]) -> dict[str, Catalog]:
        catalogs = {}
        for dataset, path in sorted(paths.items()):
            try:
                catalog = Catalog(lake / path)
                _ = catalog.schema, catalog.partitions
            except (StellarError, OSError, ValueError, pa.ArrowInvalid) as error:
                self.faults[dataset] = str(error)
            else:
                catalogs[dataset] = catalog
        return catalogs

    def _create_views(self) -> None:
        for schema in sorted({name.split(".")[0] for name in self.catalogs} | {"ledger", "views"}):
            self.duckdb.execute(f"CREATE SCHEMA {quoted(schema)}")
        for name, catalog in self.catalogs.items():
            try:
                source = scan(catalog, rows=name not in self._to_fetch)
                self.duckdb.execute(f"CREATE VIEW {dotted(name)} AS SELECT * FROM {source}")  # noqa: S608
            except duckdb.Error as error:
                self.faults[name] = str(error)

    def _prepare(self, statement: str) -> None:
        refuse_writing(statement)
        self._load_views(statement)
        self._fetch(statement)
        self._load_ledger(statement)

    def _load_views(self, statement: str) -> None:
        """Create the views of `sql/views/` that a statement names."""
        for name in named_in(statement, "views") - self._loaded:
            path = self._views / f"{name}.sql"
            if re.fullmatch(r"\w+", name) and path.is_file():
                text = self._rendered(path.read_text(encoding="utf-8"))
                self._fetch(text)
                self._load_ledger(text)
                self.duckdb.execute(f"CREATE VIEW views.{quoted(name)} AS {text}")
                self._loaded.add(name)

    def _fetch(self, statement: str) -> None:
        """Give the views of datasets that a statement may name their rows, where those lie in an object store."""
        # Not in strings: cone('own.gaia', …) fetches what it touches by itself.
        words = set(re.findall(r"\w+", _keywords(statement)))
        for name in sorted(self._to_fetch):
            if words.issuperset(name.split(".")):
                source = scan(self.catalogs[name])
                self.duckdb.execute(f"CREATE OR REPLACE VIEW {dotted(name)} AS SELECT * FROM {source}")  # noqa: S608
                self._to_fetch.discard(name)

    def _rendered(self, text: str) -> str:
        """A view's SELECT, with its part behind `-- each: pattern` written out for every dataset that matches."""
        head, *found = _EACH.split(text)
        if not found:
            return text.rstrip().rstrip(";")
        pattern, column, part = found
        parts = []
        for name, catalog in self.catalogs.items():
            if fnmatch(name, pattern) and (column is None or column in catalog.schema.names):
                subject, id_column = name.split(".")[1], self._ids.get(name) or "id"
                # of quarantine without rows the columns are not all known
                id_column = quoted(id_column) if id_column in catalog.schema.names else "NULL"
                parts.append(part.format(name=name, subject=subject, dataset=dotted(name), id=id_column))
        return "\n".join([head, *parts])

    def _load_ledger(self, statement: str) -> None:
        """Load the ledger's tables that a statement names."""
        for name in named_in(statement, "ledger"):
            if name not in self._loaded and name in self._ledger():
                source, columns = self._ledger()[name]
                shown = ", ".join(
                    f"CAST({quoted(c)} AS JSON) AS {quoted(c)}" if t == "jsonb" else quoted(c) for c, t in columns
                )
                self.duckdb.register("_rows", ledger_table(self._engine, source, columns))
                self.duckdb.execute(f"CREATE TABLE ledger.{quoted(name)} AS SELECT {shown} FROM _rows")  # noqa: S608
                self.duckdb.unregister("_rows")
                self._loaded.add(name)

    def _ledger(self) -> dict[str, tuple[str, list[tuple[str, str]]]]:
        if self._ledger_columns is None:
            self._ledger_columns = ledger_catalog(self._engine)
        return self._ledger_columns


def connect(
    settings: Settings,
    engine: sa.Engine,
    snapshots: Mapping[str, str] | None = None,
    limits: Mapping[str, str] | None = None,
    *,
    as_of: datetime | None = None,
) -> LakeConnection:
    """Open the lake for SQL.

    Parameters
    ----------
    settings : Settings
    engine : sqlalchemy.Engine
        On the ledger; the role `reader` is enough.
    snapshots : mapping, optional
        Dataset -> key of a snapshot to show in place of (or beside) the current one.
    limits : mapping, optional
        DuckDB's settings that bound what a statement may take: `memory_limit`, `threads`, `temp_directory`,
        `max_temp_directory_size`.
    as_of : datetime, optional
        Show each dataset as it was current then, not now; with its zone. The ledger's tables are those of now.

    Returns
    -------
    LakeConnection
    """
    return LakeConnection(settings, engine, snapshots, limits, as_of=as_of)


def refuse_writing(statement: str) -> None:
    """Raise InputError unless a text is exactly one statement that reads."""
    try:
        statements = duckdb.extract_statements(statement)
    except duckdb.Error as error:
        raise InputError(str(error)) from None
    if len(statements) != 1:
        raise InputError(f"one statement at a time, please; this is {len(statements)}")
    kind = statements[0].type.name
    if kind == "EXPLAIN":
        # EXPLAIN ANALYZE runs what it explains.
        inner = _EXPLAIN.sub("", statements[0].query, count=1)
        if not _EXPLAIN.match(inner):
            refuse_writing(inner)
            return
    if kind == "MULTI":
        raise InputError("PIVOT must name its values here: PIVOT … ON column IN (value, …) USING …")
    # A SELECT may hold a WITH part that writes.
    if kind != "SELECT" or _WRITES.search(_keywords(statement)):
        raise InputError(f"{kind}: SQL here only reads; use SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN")


def _keywords(statement: str) -> str:
    """A statement's words in lower case, without comments and strings."""
    return " ".join(" ".join(words_of(statement)).lower().split())


def _locked_down(settings: Settings, limits: Mapping[str, str]) -> duckdb.DuckDBPyConnection:
    """DuckDB that reads files of the lake and nothing else of the machine or the network."""
    spill = settings.cache / "duckdb"
    readable = settings.cache / "lake" if is_remote(settings.lake) else settings.lake
    connection = duckdb.connect(config={"python_enable_replacements": "false", "threads": str(settings.workers)})
    for statement in (
        f"SET temp_directory = {literal(str(spill))}",
        *(f"SET {name} = {literal(value)}" for name, value in limits.items()),
        f"SET allowed_directories = [{literal(f'{readable}/')}]",
        "SET enable_external_access = false",
        "SET TimeZone = 'UTC'",
    ):
        connection.execute(statement)
    return connection


def _id_columns(connection: sa.Connection) -> dict[str, str | None]:
    import sqlalchemy as sa

    return {name: column for name, column in connection.execute(sa.text("SELECT name, id_column FROM lake.dataset"))}


def _chosen_snapshots(
    engine: sa.Engine, chosen: Mapping[str, str], as_of: datetime | None
) -> tuple[dict[str, Chosen], dict[str, str], dict[str, str]]:
    """The snapshot of each dataset: current, or so at a time, or asked for; and why others have none to show."""
    import sqlalchemy as sa

    gone: dict[str, str] = {}
    absent: dict[str, str] = {}
    if as_of is not None:
        found, gone, absent = current_at(engine, as_of)
    with engine.connect() as connection:
        if as_of is None:
            rows = connection.execute(sa.text("SELECT dataset, snapshot, path, since FROM lake.current"))
            found = {row.dataset: Chosen(*row) for row in rows}
        for dataset, key in chosen.items():
            row = connection.execute(
                sa.text("SELECT path FROM lake.snapshot WHERE dataset = :dataset AND key = :key AND path IS NOT NULL"),
                {"dataset": dataset, "key": key},
            ).one_or_none()
            if row is None:
                raise InputError(f"no committed snapshot {key} of {dataset}")
            found[dataset] = Chosen(dataset, key, row.path)
    return found, gone, absent
