"""A process that answers the console's questions: `python -m stellar.serving.console_worker LIMITS`.

It reads tasks as JSON lines from its standard input and writes frames to its standard output: a letter, the length as
four bytes, the content. `H` (JSON) begins a download, `B` is a part of it, and each task ends with one `E` (JSON).
It ends itself when its input ends, which it does when the process that started it has gone.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from stellar.lake.id_index import Source
    from stellar.lake.sql import LakeConnection

    from .console_columns import Columns
    from .console_guard import Node

Task = dict[str, Any]
SCREEN_BATCH = 1000
FILE_BATCH = 20_000
#: Of one part of a download: what the server holds of it at once.
PART_BYTES = 1 << 20
#: An error may quote a value of any length.
ERROR_CHARACTERS = 2_000
#: The index of ids of so few files is made at once.
FEW_FILES = 24
#: How often a process that has nothing to do looks whether a promotion changed the lake, seconds.
LOOK_S = 3.0
_GIB = 1 << 30


class Stopped(Exception):  # noqa: N818 - what was asked for, no error
    """The task was stopped from outside."""


class Inbox:
    """Tasks as they come in; those that are to stop are interrupted at once, by the thread that reads."""

    def __init__(self, stream: BinaryIO) -> None:
        self._tasks: queue.Queue[Task] = queue.Queue()
        self._lock = threading.Lock()
        self._task: int | None = None
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._stopped: set[int] = set()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def next(self, idle_s: float, meanwhile: Callable[[], None] = lambda: None) -> Task:
        """The next task; `meanwhile` is called every few seconds, and the process ends after waiting so long."""
        until = time.monotonic() + idle_s
        while (left := until - time.monotonic()) > 0:
            try:
                return self._tasks.get(timeout=min(left, LOOK_S))
            except queue.Empty:
                meanwhile()
        os._exit(0)

    def begin(self, task: int, cursor: duckdb.DuckDBPyConnection) -> None:
        """From now on a stop interrupts the cursor."""
        with self._lock:
            self._task, self._cursor = task, cursor
            if task in self._stopped:
                raise Stopped

    def end(self) -> None:
        """No task is under way any more."""
        with self._lock:
            self._task = self._cursor = None

    def is_stopped(self, task: int) -> bool:
        """Whether a task was to stop."""
        return task in self._stopped

    def _read(self, stream: BinaryIO) -> None:
        for line in iter(stream.readline, b""):
            said = json.loads(line)
            if said["op"] != "stop":
                self._tasks.put(said)
                continue
            with self._lock:
                self._stopped.add(said["id"])
                if self._task == said["id"] and self._cursor is not None:
                    self._cursor.interrupt()
        os._exit(0)


class Desk:
    """The lake as it is current, and what a task needs of it."""

    def __init__(self, limits: dict[str, Any]) -> None:
        from stellar.ledger.connect import open_ledger
        from stellar.settings import load_settings

        from .console_ahead import Indexes

        self.settings = load_settings()
        self.engine = open_ledger(self.settings, "reader")
        self._limits = {
            "memory_limit": f"{limits['memory_mb']}MB",
            "max_temp_directory_size": f"{limits['spill_mb']}MB",
            "temp_directory": limits["spill"],
            "threads": str(limits["threads"]),
            "preserve_insertion_order": "true",
        }
        self._lake: LakeConnection | None = None
        self.current: dict[str, str] = {}
        self._known: dict[str, Columns | None] = {}
        self._ids: dict[str, tuple[str, bool] | None] = {}
        self._indexes = Indexes()

    def is_behind(self) -> bool:
        """Whether a promotion changed what is current since the lake was opened."""
        return self._promoted() != self.current

    def _promoted(self) -> dict[str, str]:
        import sqlalchemy as sa

        with self.engine.connect() as connection:
            return dict(connection.execute(sa.text("SELECT dataset, snapshot FROM lake.current")).all())

    def lake(self) -> LakeConnection:
        """SQL over what is current now: opened anew when a promotion changed it."""
        from stellar.lake.sql import connect

        current = self._promoted()
        if self._lake is None or current != self.current:
            if self._lake is not None:
                self._lake.close()
            self._known, self._ids = {}, {}
            self._lake, self.current = connect(self.settings, self.engine, limits=self._limits), current
        else:
            self._lake.forget_ledger()
        return self._lake

    def columns(self, dataset: str) -> Columns | None:
        """What is known of a dataset's columns."""
        if dataset not in self._known:
            catalog = self.lake_now.catalogs.get(dataset)
            self._known[dataset] = None if catalog is None else _columns(catalog.schema)
        return self._known[dataset]

    def id_column(self, dataset: str) -> tuple[str, bool] | None:
        """The column that identifies a dataset's rows, and whether it holds integers."""
        from .console_ids import id_column

        if dataset not in self._ids:
            self._ids[dataset] = id_column(self.lake_now, dataset)
        return self._ids[dataset]

    def indexed_column(self, dataset: str) -> tuple[str, bool] | None:
        """`id_column` where ids are found fast; an index that is lacking is made aside, for later questions."""
        known, source = self.id_column(dataset), self._large(dataset)
        return known if source is None or self._indexes.has(source) else None

    def index_ahead(self) -> None:
        """Begin to make the indexes that large datasets lack, before anybody asks for an id."""
        from .console_ahead import worth_an_index

        catalogs = self.lake_now.catalogs
        wanted = [self._large(name) for name, one in catalogs.items() if worth_an_index(one)]
        self._indexes.make(one for one in wanted if one is not None)

    def _large(self, dataset: str) -> Source | None:
        """What the index of a dataset's ids is made of; None where it has no ids, or so few files that all are read."""
        from stellar.lake.id_index import Source
        from stellar.lake.search import searchable

        known, catalog = self.id_column(dataset), self.lake_now.catalogs.get(dataset)
        if known is None or catalog is None or len(catalog.files) <= FEW_FILES:
            return None
        return Source(searchable(catalog), known[0], self.settings.cache / "ids")

    @property
    def lake_now(self) -> LakeConnection:
        """The lake as it was opened for this task."""
        assert self._lake is not None
        return self._lake


def _columns(schema: pa.Schema) -> Columns:
    return {
        one.name: {key.decode(): value.decode() for key, value in (one.metadata or {}).items()
                   if key in (b"unit", b"ucd", b"description")}
        for one in schema
    }  # fmt: skip


class Answerer:
    """Does the tasks, one after another."""

    def __init__(self, desk: Desk, inbox: Inbox, out: BinaryIO) -> None:
        self.desk, self.inbox, self._out = desk, inbox, out
        self._fault = ""  # what was told last

    def frame(self, letter: bytes, content: bytes) -> None:
        """Write one frame."""
        self._out.write(letter + struct.pack(">I", len(content)) + content)
        self._out.flush()

    def answer(self, task: Task) -> None:
        """Do one task; whatever happens, its last frame is an `E`."""
        import duckdb
        import pyarrow as pa

        from stellar.errors import StellarError
        from stellar.lake.sql_answers import told

        try:
            found = {"query": self._query, "download": self._download, "names": self._names}[task["op"]](task)
        except (Stopped, duckdb.InterruptException):
            found = {"stopped": True}
        except StellarError as error:
            found = {"error": str(error)}
        except duckdb.Error as error:
            found = {"error": _plain(told(self.desk.lake_now, error))}
        except (pa.ArrowException, OSError) as error:
            stopped = self.inbox.is_stopped(task["id"]) or "INTERRUPT" in str(error)
            found = {"stopped": True} if stopped else {"error": _plain(str(error))}
        except MemoryError:
            found = {"error": "Out of Memory: this needs more memory than a question may take"}
        except Exception as error:
            print(f"console: {type(error).__name__}: {error}", file=sys.stderr)
            found = {"error": f"{type(error).__name__}: {error}"}
        finally:
            self.inbox.end()
        if "error" in found:
            found["error"] = _cut(found["error"])
        self.frame(b"E", json.dumps(found).encode())

    def warm_up(self) -> None:
        """Ask once, by the way that questions take, for what takes long the first time."""
        import duckdb

        from stellar.errors import StellarError

        from .console_ahead import first_questions

        for statement in first_questions(self.desk.lake()):
            with suppress(duckdb.Error, StellarError):
                self._query({"id": 0, "statement": statement, "rows": 1})
            self.inbox.end()
        with suppress(StellarError, OSError):
            self.desk.index_ahead()

    def look_around(self) -> None:
        """While nobody asks: what a promotion changed is opened now, so that a later question need not wait for it."""
        fault = ""
        try:
            if self.desk.is_behind():
                self.warm_up()
        except Exception as error:  # the ledger is away, files are being removed: the next question tells
            fault = f"console: {type(error).__name__}: {error}\n"
        sys.stderr.write(fault if fault != self._fault else "")  # once, not every few seconds
        self._fault = fault

    def _query(self, task: Task) -> dict[str, Any]:
        from .console_answers import screen

        started = time.perf_counter()
        node, reader, schema = self._asked(task, SCREEN_BATCH)
        found = screen(reader, schema, int(task["rows"]))
        return found | {"ms": round(1000 * (time.perf_counter() - started), 1), "snapshots": self._read_from(node)}

    def _download(self, task: Task) -> dict[str, Any]:
        from .console_answers import write

        _, reader, schema = self._asked(task, FILE_BATCH)
        first = next(reader, None)  # what is wrong with a question shows before anything was sent
        self.frame(b"H", b"{}")

        def batches() -> Iterator[pa.RecordBatch]:
            if first is not None:
                yield first
                yield from reader

        rows, more = write(task["form"], batches(), schema, self._parts(task["id"]), int(task["rows"]))
        return {"rows": rows, "more": more}

    def _parts(self, task: int) -> Any:
        def sink(part: bytes) -> None:
            for start in range(0, len(part), PART_BYTES):
                if self.inbox.is_stopped(task):
                    raise Stopped
                self.frame(b"B", part[start : start + PART_BYTES])

        return sink

    def _names(self, task: Task) -> dict[str, Any]:
        from .console_ahead import start_question
        from .console_guard import TABLE_FUNCTIONS

        lake = self.desk.lake()
        datasets = {}
        for name, catalog in lake.catalogs.items():
            known = self.desk.columns(name) or {}
            columns = [{"name": one.name, "type": str(one.type)} | known.get(one.name, {}) for one in catalog.schema]
            datasets[name] = {"columns": columns, "id": (self.desk.id_column(name) or ("",))[0]}
        functions = lake.duckdb.cursor().execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate')"
            " AND regexp_matches(function_name, '^[a-z][a-z0-9_]*$') ORDER BY 1"
        )
        return {
            "datasets": datasets,
            "ledger": {name.removeprefix("ledger."): names for name, names in lake.ledger_columns().items()},
            "macros": sorted(TABLE_FUNCTIONS),
            "functions": [row[0] for row in functions.fetchall()],
            "faults": lake.faults,
            "start": start_question(lake),
        }

    def _asked(self, task: Task, rows: int) -> tuple[Node, Any, pa.Schema]:
        """A question looked at and begun: its node, the reader of its result, and the result's columns."""
        import duckdb

        from .console_answers import described
        from .console_columns import columns_of
        from .console_guard import looked_at
        from .console_ids import by_index

        statement = str(task["statement"])
        node = looked_at(statement)
        lake = self.desk.lake()
        cursor = lake.duckdb.cursor()
        self.inbox.begin(int(task["id"]), cursor)
        faster = None
        if statement.lstrip()[:7].lower() != "explain":
            faster = by_index(node, self.desk.indexed_column, lake.duckdb.cursor())
        try:
            reader = lake.reader(faster or statement, rows=rows, cursor=cursor)
        except duckdb.InterruptException:
            raise
        except duckdb.Error:
            # Once more as it was written, by the call whose messages mark the place.
            reader = cursor.execute(statement).to_arrow_reader(rows)
        try:
            about = columns_of(node, self.desk.columns)
        except RecursionError:
            about = {}
        schema = described(reader.schema, about)
        return node, iter(reader), schema

    def _read_from(self, node: Node) -> dict[str, str]:
        from .console_guard import datasets_named

        return {name: self.desk.current[name] for name in sorted(datasets_named(node)) if name in self.desk.current}


def _cut(message: str) -> str:
    return message if len(message) <= ERROR_CHARACTERS else f"{message[:ERROR_CHARACTERS]}…"


def _plain(message: str) -> str:
    """DuckDB's words without advice on settings, which a question cannot change."""
    kept = message.split("\n\nPossible solutions:")[0].replace(" (allocate)", "")
    return kept.strip() or message


def _bound(limits: dict[str, Any]) -> None:
    """Bound what the process may take: the kernel ends it first when memory is short, others go before it."""
    os.nice(5)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("1000")
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    most = mapped + int(limits["memory_mb"] * 2.5) * (1 << 20) + _GIB
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Answer tasks until the input ends."""
    limits = json.loads(sys.argv[1])
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not for the frames
    inbox = Inbox(sys.stdin.buffer)
    answerer = Answerer(Desk(limits), inbox, out)
    answerer.warm_up()
    _bound(limits)
    answerer.frame(b"E", json.dumps({"ready": True}).encode())
    while True:
        answerer.answer(inbox.next(float(limits["idle_s"]), answerer.look_around))


if __name__ == "__main__":
    main()
