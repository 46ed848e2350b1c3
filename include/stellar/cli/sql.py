"""`stellar sql`: questions over the current datasets and the ledger; reads only."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import duckdb
import typer

from stellar.cli.sql_plot import USAGE, plot_text
from stellar.errors import InputError
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
PAGED_ROWS = 10_000


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
    plot: Annotated[str | None, typer.Option(metavar="WHAT", help=f"Plot the result on the terminal: {USAGE}")] = None,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Do not page long or wide results")] = False,
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
    if as_csv + as_json + (parquet is not None) + (plot is not None) > 1:
        raise InputError("choose one of --csv, --json, --parquet and --plot")
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
        pages = sys.stdout.isatty() and not no_pager
        if statements is None:
            from stellar.cli.sql_prompt import Prompt

            Prompt(
                connection,
                show=lambda one: show(connection, one, pages=pages),
                split=split_statements,
                snapshots=lambda: snapshots_text(connection),
                questions=settings.root / "sql" / "queries",
                history=settings.cache / "sql_history",
            ).run()
            return
        import pyarrow as pa

        for number, one in enumerate(statements):
            if as_csv:
                sys.stdout.write("\n" if number else "")
                write_csv(batches_of(connection, one), sys.stdout)
            elif as_json:
                write_json(batches_of(connection, one), sys.stdout)
            elif parquet is not None:
                typer.echo(f"{_write_parquet(batches_of(connection, one), parquet)} rows to {parquet}", err=True)
            elif plot is not None:
                size = shutil.get_terminal_size((100, 34))
                rows = pa.Table.from_batches(batches_of(connection, one))
                typer.echo(plot_text(rows, plot, width=size.columns, height=max(12, min(size.lines - 3, 40))))
            else:
                show(connection, one, pages=pages)


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


def show(connection: LakeConnection, text: str, *, pages: bool = False) -> int:
    """The first rows as a table for people, `pages` through a pager where they do not fit; how many rows are shown."""
    from stellar.cli.sql_prompt import run_interruptibly

    most = PAGED_ROWS if pages else SHOWN_ROWS
    try:
        rows, result = run_interruptibly(connection, text, _first(most + 1))
    except duckdb.Error as error:
        raise InputError(told(connection, error)) from None
    names = [column[0] for column in result.description]
    if names == ["explain_key", "explain_value"]:
        typer.echo("\n".join(row[1] for row in rows))
        return len(rows)
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, column in zip(names, result.description, strict=True):
        numeric = str(column[1]) in ("BIGINT", "INTEGER", "DOUBLE", "FLOAT", "HUGEINT", "UBIGINT", "SMALLINT")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
    for row in rows[:most]:
        table.add_row(*(_cell(value) for value in row))
    console = Console(markup=False, highlight=False)
    # A table that is wider than the terminal runs over its lines: better than columns or digits that are not there.
    console.width = max(console.width, console.measure(table, options=console.options.update(width=WIDEST)).maximum)
    note = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
    if len(rows) > most:
        note = f"first {most} rows; --csv, --json or --parquet give all"
    size = shutil.get_terminal_size()
    if pages and (len(rows) + 5 > size.lines or console.width > size.columns):
        with console.capture() as captured:
            console.print(table)
        _page(captured.get() + note)
    else:
        console.print(table)
    console.print(note, style="dim")
    return min(len(rows), most)


def _first(count: int) -> Callable[[Any, str], tuple[list[Any], Any]]:
    def fetch(cursor: Any, statement: str) -> tuple[list[Any], Any]:
        return cursor.execute(statement).fetchmany(count), cursor

    return fetch


def _page(text: str) -> None:
    """Show a text that is longer or wider than the terminal in `less` (or $PAGER), where there is one."""
    command = shlex.split(os.environ.get("PAGER", "")) or ["less", "-S", "-R", "-X"]
    if shutil.which(command[0]) is None:
        typer.echo(text)
        return
    # Ctrl-C is the pager's while it is shown
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        subprocess.run(command, input=text, text=True, check=False)  # noqa: S603 - the user's own pager
    finally:
        signal.signal(signal.SIGINT, former)


def _cell(value: Any) -> str:
    if value is None:
        return "·"
    if isinstance(value, float):
        return f"{value:.8g}" if abs(value) < 1e5 else f"{value:.12g}"
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
