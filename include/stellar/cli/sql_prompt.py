"""The prompt of `stellar sql`: statements over several lines, completion, plots, examples; Ctrl-C ends a query only."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import typer

from stellar.cli.sql_completion import SqlCompleter
from stellar.errors import InputError, StellarError
from stellar.lake.schema import describe
from stellar.lake.sql import LakeConnection

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

HELP = """\
End a statement with ; or an empty line. Ctrl-C ends a running query, Ctrl-D the session; Tab completes.
\\d                       datasets and the ledger's tables
\\d NAME                  columns with type, unit and description
\\examples [NAME]         questions to start from; NAME puts one into the prompt
\\plot COLUMN             histogram of a column of the newest result; also: X Y, hr COLOUR MAGNITUDE, sky [RA DEC]
\\snapshots               which snapshots all statements read
\\q                       leave"""
#: Rows of a result that a plot is made of.
PLOTTED_ROWS = 2_000_000


class Prompt:
    r"""Reads statements and commands until the end of input.

    Parameters
    ----------
    connection : LakeConnection
    show : callable
        Runs a statement and shows its first rows.
    split : callable
        Statements of a text; raises InputError where one does not only read.
    snapshots : callable
        Text for `\snapshots`.
    questions : Path
        Folder of examples.
    history : Path
        File of former lines.
    """

    def __init__(
        self,
        connection: LakeConnection,
        *,
        show: Callable[[str], object],
        split: Callable[[str], list[str]],
        snapshots: Callable[[], str],
        questions: Path,
        history: Path,
        source: Input | None = None,
        sink: Output | None = None,
    ) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.filters import Condition
        from prompt_toolkit.history import FileHistory

        self._connection, self._show, self._split, self._snapshots = connection, show, split, snapshots
        self._questions = questions
        self._last = ""
        self._next = ""
        self.completer = SqlCompleter.of(connection, questions)
        history.parent.mkdir(parents=True, exist_ok=True)
        self._session: PromptSession[str] = PromptSession(
            history=FileHistory(str(history)),
            completer=self.completer,
            multiline=Condition(lambda: not is_complete(self._session.default_buffer.text)),
            prompt_continuation="...> ",
            complete_while_typing=False,
            input=source,
            output=sink,
        )

    def run(self) -> None:
        r"""Until Ctrl-D or `\q`."""
        typer.echo("End a statement with ; and the session with Ctrl-D; \\help lists commands, Tab completes names.")
        while True:
            default, self._next = self._next, ""
            try:
                text = self._session.prompt("sql> ", default=default).strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if text.rstrip(";").strip() in ("quit", "exit", "\\q"):
                return
            try:
                self._do(text)
            except StellarError as error:
                typer.echo(f"error: {error}", err=True)
            except KeyboardInterrupt:
                typer.echo("interrupted", err=True)

    def _do(self, text: str) -> None:
        if not text:
            return
        if text.startswith("\\"):
            command, _, rest = text.rstrip(";").partition(" ")
            self._command(command, rest.strip())
            return
        for one in self._split(text):
            started = time.monotonic()
            self._show(one)
            typer.echo(f"{time.monotonic() - started:.3f} s")
            self._last, self.completer.result = one, self._names(one)

    def _names(self, statement: str) -> list[str]:
        try:
            return [row[0] for row in self._connection.execute(f"DESCRIBE {statement.strip().rstrip(';')}").fetchall()]
        except (duckdb.Error, StellarError):  # of an EXPLAIN or a DESCRIBE there are no columns to plot
            return []

    def _command(self, command: str, rest: str) -> None:
        commands: dict[str, Callable[[str], str]] = {
            "\\d": self._describe,
            "\\examples": self._examples,
            "\\plot": self._plot,
            "\\snapshots": lambda _: self._snapshots(),
            "\\help": lambda _: HELP,
            "\\?": lambda _: HELP,
        }
        if command not in commands:
            raise InputError(f"{command}: no such command\n{HELP}")
        typer.echo(commands[command](rest))

    def _describe(self, name: str) -> str:
        if not name:
            rows = [f"{dataset}  {one.rows:,} rows" for dataset, one in self._connection.catalogs.items()]
            return "\n".join([*rows, *(f"ledger.{table}" for table in self._connection.ledger_tables())])
        if name in self._connection.catalogs:
            columns = describe(self._connection.catalogs[name].schema)
            table = [[one["name"], one["type"], one["unit"], one["description"]] for one in columns]
            return "\n".join(aligned([["column", "type", "unit", "description"], *table]))
        if name in (there := self._connection.ledger_columns()):
            return "\n".join(there[name])
        raise InputError(f"{name}: no such dataset or table; \\d lists them")

    def _examples(self, name: str) -> str:
        file = self._questions / f"{name}.sql"
        if name and not file.is_file():
            raise InputError(f"{name}: no such example; \\examples lists them")
        if name:
            self._next = file.read_text(encoding="utf-8").strip()
            return ""
        first = [[one.stem, one.read_text(encoding="utf-8").splitlines()[0].removeprefix("-- ")]
                 for one in sorted(self._questions.glob("*.sql"))]  # fmt: skip
        return "\n".join(aligned(first))

    def _plot(self, wanted: str) -> str:
        from stellar.cli.sql_plot import plot_text

        if not self._last:
            raise InputError("nothing to plot yet; ask a question first")
        table = run_interruptibly(
            self._connection,
            f"SELECT * FROM ({self._last.strip().rstrip(';')}) LIMIT {PLOTTED_ROWS}",  # noqa: S608
            lambda cursor, sql: cursor.sql(sql).to_arrow_table(),
        )
        size = shutil.get_terminal_size((100, 34))
        return plot_text(table, wanted, width=min(size.columns, 160), height=max(12, min(size.lines - 4, 40)))


def is_complete(text: str) -> bool:
    """Whether Enter ends a text: a command, a statement with its `;`, an empty last line, or a word to leave by."""
    stripped = text.strip()
    ends = stripped.endswith(";") or (bool(stripped) and not text.rpartition("\n")[2].strip())
    return not stripped or stripped.startswith("\\") or ends or stripped in ("quit", "exit")


def run_interruptibly(connection: LakeConnection, statement: str, fetch: Callable[[Any, str], Any]) -> Any:
    """Run a statement in a thread, so that Ctrl-C ends the statement and not the session.

    Parameters
    ----------
    connection : LakeConnection
    statement : str
    fetch : callable
        Called as (cursor, statement); runs the statement and returns what is wanted of its result.

    Raises
    ------
    KeyboardInterrupt
        After the query has stopped.
    """
    cursor = connection.cursor(statement)
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["rows"] = fetch(cursor, statement)
        except BaseException as error:  # raised again below
            outcome["error"] = error

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    interrupted = False
    while thread.is_alive():
        try:
            thread.join(0.1)
        except KeyboardInterrupt:
            interrupted = True
            cursor.interrupt()
    if interrupted:
        raise KeyboardInterrupt
    if "error" in outcome:
        raise outcome["error"]
    return outcome["rows"]


def aligned(rows: list[list[str]]) -> list[str]:
    """Lines of a table without lines; its last column is as long as it is."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)] if rows else []
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
