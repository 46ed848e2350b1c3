"""One query from its text to a file: read against one set of snapshots, in bounded time, memory and rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from stellar import __version__
from stellar.errors import InputError, StellarError
from stellar.serving.results import Cut, plain, plain_type, typed

from . import formats
from .adql.translate import translate
from .uploads import Room, read_uploads

if TYPE_CHECKING:
    from .lake import Release, Releases

BATCH_ROWS = 20_000


@dataclass(frozen=True)
class Query:
    """What is asked.

    Attributes
    ----------
    text : str
        ADQL.
    format : Format
    most : int
        Rows of the answer at most.
    uploads : mapping
        Name -> file of a VOTable.
    upload_bytes, upload_rows : int
        Memory and rows of all uploads together at most.
    """

    text: str
    format: formats.Format
    most: int
    uploads: Mapping[str, Path] = field(default_factory=dict)
    upload_bytes: int = 256 << 20
    upload_rows: int = 5_000_000


@dataclass(frozen=True)
class Answer:
    """What came of it: rows, whether there were more, and the snapshots that were read (dataset -> key)."""

    rows: int
    overflow: bool
    snapshots: Mapping[str, str]


class Stop:
    """Whether a query should end, and what to interrupt when it should."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cursor: duckdb.DuckDBPyConnection | None = None
        #: Why the query should end; None while it may go on.
        self.why: str | None = None

    def stop(self, why: str) -> None:
        """End the query, now or as soon as it begins."""
        with self._lock:
            self.why = self.why or why
            if self._cursor is not None:
                self._cursor.interrupt()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Stop what takes longer than some time."""
        patience = threading.Timer(seconds, self.stop, [f"the query was stopped after {seconds:g} seconds"])
        patience.daemon = True
        patience.start()
        try:
            yield
        finally:
            patience.cancel()

    @contextmanager
    def watching(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Interrupt what a cursor does when `stop` is called."""
        with self._lock:
            self._cursor = cursor
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._cursor = None

    def check(self) -> None:
        """Raise InputError when the query should end."""
        if self.why is not None:
            raise InputError(self.why)


def run(releases: Releases, query: Query, path: Path, seconds: float, stop: Stop | None = None) -> Answer:
    """Answer a query into a file.

    Parameters
    ----------
    releases : Releases
    query : Query
    path : Path
        Where the answer is written.
    seconds : float
        Longest time.
    stop : Stop, optional
        By which another thread can end the query.

    Raises
    ------
    InputError
        When the query is wrong, or took too long, or too much: what to do.
    StellarError
        When the lake cannot be read.
    """
    stop = stop or Stop()
    stop.check()
    with stop.within(seconds), releases.current() as release:
        uploaded = read_uploads(query.uploads, Room(query.upload_bytes, query.upload_rows, stop.check))
        tables = {**release.tables, **{table.name.lower(): table for table, _ in uploaded}}
        translated = translate(query.text, tables)
        snapshots = {name: release.snapshots[name] for name in sorted(translated.tables) if name in release.snapshots}
        sql = translated.sql(query.most + 1)
        with release.lock:
            cursor = release.connection.cursor(sql)
        try:
            with stop.watching(cursor):
                for table, rows in uploaded:
                    name = table.sql.rpartition(".")[2]
                    cursor.register("_rows", rows)
                    cursor.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM _rows")  # noqa: S608  quoted
                    cursor.unregister("_rows")
                    stop.check()  # an interrupt between two statements is lost
                result = cursor.sql(sql).to_arrow_reader(BATCH_ROWS)
                columns = [typed(c, f.type) for c, f in zip(translated.columns, result.schema, strict=True)]
                schema = pa.schema([pa.field(field.name, plain_type(field.type)) for field in result.schema])
                rows = Cut(plain(result, result.schema), query.most)
                formats.write(path, query.format, columns, rows, _infos(query, snapshots), schema)
            return Answer(rows.rows, rows.overflow, snapshots)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise _told(error, stop, release) from error
        finally:
            cursor.close()


def _infos(query: Query, snapshots: Mapping[str, str]) -> list[tuple[str, str]]:
    read = [("snapshot", f"{dataset} {key}") for dataset, key in snapshots.items()]
    return [("QUERY", query.text), ("server", f"stellar-platform {__version__}"), *read]


def _told(error: Exception, stop: Stop, release: Release) -> StellarError:
    """DuckDB's fault as ours; files and the SQL that was written are no business of who asked."""
    if stop.why is not None:
        return InputError(f"{stop.why}; ask for less, in a smaller region, or as an asynchronous job")
    if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in str(error):
        return InputError("the query needs more memory than queries have here; ask for fewer rows or columns at once")
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    kinds = (
        duckdb.ConversionException,
        duckdb.OutOfRangeException,
        duckdb.BinderException,
        duckdb.InvalidInputException,
    )
    if isinstance(error, kinds):
        return InputError(f"the query cannot be answered: {first}")
    if isinstance(error, duckdb.IOException | OSError):
        return StellarError("the lake's files cannot be read now; see the service's log, and `stellar verify`")
    return StellarError(f"the query failed: {first}")
