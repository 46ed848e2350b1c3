"""`stellar sql`: questions over the current datasets and the ledger; reads only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import duckdb
import typer

from stellar.errors import InputError, StellarError
from stellar.lake.sql import LakeConnection, connect
from stellar.lake.sql_answers import batches_of, split_statements, told, write_csv, write_json
from stellar.lake.sql_history import moment_of
from stellar.ledger.connect import ledger_session
from stellar.settings import load_settings

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer()

#: Rows of the table that is shown on a terminal; files, --csv and --json have all.
WIDEST = 100_000
SHOWN_ROWS = 50
WORDS = """
SELECT FROM WHERE GROUP BY ORDER LIMIT JOIN LEFT USING ON AND OR NOT IN IS NULL AS WITH HAVING DISTINCT QUALIFY UNION
ALL CASE WHEN THEN ELSE END BETWEEN LIKE DESCRIBE SUMMARIZE SHOW TABLES EXPLAIN
cone( box( polygon( count( avg( median(
"""


@app.command()
def command(
    statement: Annotated[
        str | None, typer.Argument(help="One or more, with `;` between them; without any, a prompt opens")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read statements from a file")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="All rows as CSV: header and rows only")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All rows as a JSON list of objects")] = False,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write all rows to a Parquet file")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Datasets as they were then: 2026-11-01 (its end), 2026-11-01T12:00, 3 days ago"
        ),
    ] = None,
    show_snapshots: Annotated[
        bool, typer.Option("--show-snapshots", help="Say (to stderr) which snapshots all statements read")
    ] = False,
) -> None:
    r"""Ask a question in SQL (DuckDB's) over the current datasets and the ledger. Nothing can be changed.

    Datasets are views of their names (curated.gaia), the ledger's tables are ledger.<table>, and these read only what a
    region touches: cone('curated.gaia', ra, dec, radius_deg), box('curated.gaia', ra_min, ra_max, dec_min, dec_max),
    polygon('curated.gaia', \[ra, …], \[dec, …]). as_of('curated.objects', '2026-11-01T12:00') and
    snapshot('curated.objects', 'beginning of its key') give the rows of former snapshots, and
    changes('curated.objects', 'former', 'current') what differs, by keys or times. All statements read the same
    snapshots; --as-of takes those of an earlier time (the ledger's tables are always those of now). Questions to start
    from: sql/queries/.
    """
    if as_csv + as_json + (parquet is not None) > 1:
        raise InputError("choose one of --csv, --json and --parquet")
    text = _text(statement, file)
    statements = None if text is None else split_statements(text)
    if parquet is not None and statements is not None and len(statements) != 1:
        raise InputError(f"--parquet takes the rows of one statement; these are {len(statements)}")
    settings = load_settings()
    moment = moment_of(as_of) if as_of is not None else None
    with ledger_session(settings, role="reader") as engine, connect(settings, engine, as_of=moment) as connection:
        for dataset, why in {**connection.faults, **connection.gone}.items():
            typer.echo(f"warning: {dataset} cannot be shown: {why}", err=True)
        if show_snapshots:
            typer.echo(snapshots_text(connection), err=True)
        if statements is None:
            _prompt(connection, settings.cache / "sql_history")
            return
        for number, one in enumerate(statements):
            if as_csv:
                sys.stdout.write("\n" if number else "")
                write_csv(batches_of(connection, one), sys.stdout)
            elif as_json:
                write_json(batches_of(connection, one), sys.stdout)
            elif parquet is not None:
                typer.echo(f"{_write_parquet(batches_of(connection, one), parquet)} rows to {parquet}", err=True)
            else:
                show(connection, one)


def snapshots_text(connection: LakeConnection) -> str:
    """A line for each dataset: the snapshot that is read, and since when it was current."""
    width = max(map(len, connection.snapshots), default=0)
    lines = [
        f"{name:{width}}  {one.key[:16]}"
        + (f"  since {one.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if one.since else "")
        for name, one in sorted(connection.snapshots.items())
    ]
    return "\n".join(lines) or "no datasets"


def _text(statement: str | None, file: Path | None) -> str | None:
    """What to run; None to open a prompt."""
    if statement is not None and file is not None:
        raise InputError("give a statement or --file, not both")
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read: {error}") from None
    if statement is None and not sys.stdin.isatty():
        return sys.stdin.read()
    return statement


def _write_parquet(batches: Iterator[pa.RecordBatch], path: Path) -> int:
    import pyarrow.parquet as pq

    rows = 0
    first = next(batches)
    try:
        with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
            for batch in (first, *batches):
                writer.write_batch(batch)
                rows += batch.num_rows
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error}") from None
    return rows


def show(connection: LakeConnection, text: str) -> None:
    """The first rows as a table for people."""
    try:
        result = connection.execute(text)
        rows = result.fetchmany(SHOWN_ROWS + 1)
    except duckdb.Error as error:
        raise InputError(told(connection, error)) from None
    names = [column[0] for column in result.description]
    if names == ["explain_key", "explain_value"]:
        typer.echo("\n".join(row[1] for row in rows))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, column in zip(names, result.description, strict=True):
        numeric = str(column[1]) in ("BIGINT", "INTEGER", "DOUBLE", "FLOAT", "HUGEINT", "UBIGINT", "SMALLINT")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
    for row in rows[:SHOWN_ROWS]:
        table.add_row(*(_cell(value) for value in row))
    console = Console(markup=False, highlight=False)
    # A table that is wider than the terminal runs over its lines: better than columns or digits that are not there.
    console.width = max(console.width, console.measure(table, options=console.options.update(width=WIDEST)).maximum)
    console.print(table)
    note = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
    if len(rows) > SHOWN_ROWS:
        note = f"first {SHOWN_ROWS} rows; --csv, --json or --parquet give all"
    console.print(note, style="dim")


def _cell(value: Any) -> str:
    if value is None:
        return "·"
    if isinstance(value, float):
        return f"{value:.8g}" if abs(value) < 1e5 else f"{value:.12g}"
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}…"


def _prompt(connection: LakeConnection, history: Path) -> None:
    """Read statements until the end of input; one ends with `;` or an empty line."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory

    columns = {column for names in connection.columns().values() for column in names}
    tables = [f"ledger.{name}" for name in connection.ledger_tables()]
    words = [*WORDS.split(), *connection.catalogs, *tables, *sorted(columns)]
    history.parent.mkdir(parents=True, exist_ok=True)
    session: PromptSession[str] = PromptSession(
        history=FileHistory(str(history)), completer=WordCompleter(words, ignore_case=True, WORD=True)
    )
    typer.echo(
        "End a statement with ; and the session with Ctrl-D. Names complete with Tab; SHOW ALL TABLES lists them."
    )
    lines: list[str] = []
    while True:
        try:
            lines.append(session.prompt("...> " if lines else "sql> "))
        except KeyboardInterrupt:
            lines = []
            continue
        except EOFError:
            return
        text = "\n".join(lines).strip()
        if not text or text in ("quit", "exit", "\\q"):
            if text:
                return
            lines = []
        elif text.endswith(";") or not lines[-1].strip():
            lines = []
            try:
                for one in split_statements(text):
                    show(connection, one)
            except StellarError as error:
                typer.echo(f"error: {error}", err=True)
