"""`stellar datasets`: what there is, what is current, how big it is and where it lies."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from stellar.cli import EXIT_FAILED
from stellar.errors import InputError
from stellar.ledger import lineage, snapshots
from stellar.ledger.connect import ledger_session
from stellar.settings import load_settings

app = typer.Typer()


@app.callback(invoke_without_command=True)
def command(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="As a JSON list")] = False
) -> None:
    """Datasets with their current snapshot, state, rows, bytes and folder.

    A dataset of which nothing is current yet is shown with its newest snapshot and that one's state.
    """
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    with ledger_session(settings, role="reader") as engine:
        found = snapshots.list_datasets(engine)
    rows: list[dict[str, Any]] = [
        {
            "dataset": one["dataset"],
            "snapshot": one["snapshot"],
            "state": one["state"],
            "rows": one["rows"],
            "bytes": one["bytes"],
            "partitions": one["partitions"],
            "folder": str(settings.lake / one["path"]) if one["path"] else None,
            "content_hash": one["content_hash"],
            "committed_at": one["committed_at"].isoformat() if one["committed_at"] else None,
            "description": one["description"],
        }
        for one in found
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        typer.echo(f"no datasets yet in {settings.home}; `stellar run` or `stellar sync` brings the first")
        return
    width = max(len(row["dataset"]) for row in rows)
    typer.echo(f"{'DATASET':{width}}  {'SNAPSHOT':16}  {'STATE':9}  {'ROWS':>12}  {'BYTES':>14}  FOLDER")
    for row in rows:
        count, size = (f"{row[name]:,}" if row[name] is not None else "-" for name in ("rows", "bytes"))
        typer.echo(
            f"{row['dataset']:{width}}  {(row['snapshot'] or '-')[:16]:16}  {row['state'] or '-':9}  {count:>12}  "
            f"{size:>14}  {row['folder'] or '-'}"
        )


@app.command()
def rollback(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="NAME means own.NAME")],
    reason: Annotated[str, typer.Option(help="Kept in the ledger")],
    to: Annotated[str | None, typer.Option(help="Key of a former snapshot; the one replaced when not given")] = None,
) -> None:
    """Make the snapshot that the current one replaced current again, with its quarantine.

    A later run of the dataset's stage makes what its inputs give current again; mend those, or the step, before.
    """
    from stellar.engine import engine
    from stellar.flow.context import open_context
    from stellar.lake.names import full_name

    name = full_name(dataset)
    with open_context() as ctx:
        key = engine.rollback(ctx, name, who=getpass.getuser(), reason=reason, to=to)
    typer.echo(f"{name}: {key[:16]} is current again")


@app.command()
def promote(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="NAME means own.NAME")],
    reason: Annotated[str, typer.Option(help="Kept in the ledger")] = "by hand",
    key: Annotated[str | None, typer.Option(help="Key of the snapshot; the newest candidate when not given")] = None,
) -> None:
    """Make a candidate current, with its quarantine: one that was made with --no-promote and has passed its gate."""
    from stellar.engine import engine
    from stellar.engine.promote import newest_candidate
    from stellar.flow.context import open_context
    from stellar.lake.names import full_name

    name = full_name(dataset)
    with open_context() as ctx:
        key = lineage.resolve(ctx.engine, key)[1] if key else newest_candidate(ctx, name)
        if (owner := snapshots.dataset_of(ctx.engine, key)) != name:
            raise InputError(f"{key[:16]} is a snapshot of {owner}, not of {name}")
        changed = engine.promote(ctx, [key], who=getpass.getuser(), reason=reason)
    typer.echo(f"{name}: {key[:16]} is current" + ("" if changed[name] else "; its content is what it was"))


@app.command()
def publish(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Datasets of scores; all that are behind when none")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Copy all rows again, also where nothing changed")] = False,
) -> None:
    """Copy current scores into Postgres's tables `scores.…` where these are behind; a promotion does so by itself."""
    from stellar.engine import publish as publisher
    from stellar.flow.context import open_context

    with open_context() as ctx:
        known = {name for name in snapshots.current_keys(ctx.engine) if name.startswith("scores.")}
        wanted = {name if name.startswith("scores.") else f"scores.{name}" for name in names or known}
        if missing := sorted(wanted - known):
            there = ", ".join(sorted(known)) or "none yet"
            raise InputError(f"{', '.join(missing)}: no current scores of that name; there are: {there}")
        late = {one["dataset"] for one in publisher.behind(ctx.engine)}
        publisher.forget(ctx, wanted if whole else wanted & late)
        done = publisher.publish_behind(ctx, wanted)
    for one in done:
        typer.echo(f"{one.dataset}: {one.fault or f'{one.rows} rows of {one.snapshot[:16]}, {one.copied} copied'}")
    if not done:
        typer.echo("Postgres holds what is current")
    if any(one.fault for one in done):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def diff(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="NAME means own.NAME")],
    first: Annotated[
        str, typer.Argument(metavar="[FROM]", help="The beginning of a snapshot's key, a time, current or former")
    ] = "former",
    second: Annotated[str, typer.Argument(metavar="[TO]", help="As FROM")] = "current",
    rows: Annotated[int, typer.Option(min=0, help="Show so many changes of rows")] = 0,
    as_csv: Annotated[bool, typer.Option("--csv", help="All changes of rows as CSV")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The counts as JSON")] = False,
) -> None:
    """What changed from one snapshot of a dataset to another: rows added, removed and changed, column by column.

    Without FROM and TO, from the snapshot that the current one replaced. Rows are told apart by the dataset's id, and
    values are the same when their bits are. Only partitions that are not the same file in both are read.
    """
    import sys

    from stellar.cli.sql import show, write_csv
    from stellar.lake.changes import changed_columns
    from stellar.lake.names import full_name
    from stellar.lake.sql import connect
    from stellar.lake.sql_text import quoted

    name, settings = full_name(dataset), load_settings()
    with ledger_session(settings, role="reader") as engine, connect(settings, engine) as connection:
        sides = [connection.history.find(name, one) for one in (first, second)]
        changes = connection.history.changes_sql(*sides)
        if as_csv:
            write_csv(iter(connection.arrow(changes).to_batches()), sys.stdout)
            return
        key = quoted(str(connection.history.id_column(name)))
        counts = connection.arrow(
            f"SELECT change, column_name, grouping(column_name) AS whole, count(*) AS n, count(DISTINCT {key}) AS ids"  # noqa: S608
            f" FROM ({changes}) GROUP BY GROUPING SETS ((change), (change, column_name))"
        ).to_pylist()
        columns = changed_columns(*(connection.history.catalog(one).schema for one in sides))
        rows_of = {one["change"]: one["ids" if one["change"] == "changed" else "n"] for one in counts if one["whole"]}
        report = {
            "dataset": name,
            "from": sides[0].key,
            "to": sides[1].key,
            "rows": {what: rows_of.get(what, 0) for what in ("added", "removed", "changed")},
            "values": {one["column_name"]: one["n"] for one in counts if one["column_name"] is not None},
            "columns": columns,
        }
        if as_json:
            typer.echo(json.dumps(report, indent=1))
            return
        typer.echo(f"{name}  {sides[0].key[:16]} -> {sides[1].key[:16]}")
        typer.echo("rows: " + ", ".join(f"{count:,} {what}" for what, count in report["rows"].items()))
        for what, names in columns.items():
            if names:
                typer.echo(f"columns {what}: {', '.join(names)}")
        for column, count in sorted(report["values"].items(), key=lambda one: -one[1]):
            typer.echo(f"  {column}: {count:,} changed")
        if rows:
            show(connection, f"SELECT * FROM ({changes}) ORDER BY ALL LIMIT {rows}")  # noqa: S608


@app.command()
def profile(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="NAME means own.NAME")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", help="Where; in the home's cache when not given")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Key of a snapshot; the current one when not given")] = None,
) -> None:
    """Measure a snapshot and write one HTML page of it: sky, magnitudes, columns, histograms. Prints its path."""
    from stellar.lake.names import full_name
    from stellar.quality.profile_page import write_profile

    name, settings = full_name(dataset), load_settings()
    with ledger_session(settings, role="reader") as engine:
        path = write_profile(settings, engine, name, key=key, out=out.absolute() if out else None)
    typer.echo(path)
