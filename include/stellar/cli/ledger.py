"""`stellar ledger`: the database that knows what exists, made again from the lake when it is lost."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from stellar.cli import EXIT_FAILED

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """The ledger: the database that knows what exists, where it came from and what is current."""


@app.command()
def rebuild(
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop what the ledger holds first; a dump of it is kept in the home")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was restored as JSON")] = False,
) -> None:
    """Make the ledger again from the files of the home: manifests, histories, batches' origins, the registry's files.

    For a home whose database was lost. Ends with exit code 1 when something could not be restored, and names it.
    Afterwards `stellar verify` compares the files with it, and a run finds what was made before.
    """
    from stellar.engine.publish import publish_behind
    from stellar.engine.rebuild import keep_dump
    from stellar.engine.rebuild import rebuild as restore
    from stellar.flow.context import open_context
    from stellar.ledger.connect import lost_ledger
    from stellar.settings import load_settings

    settings = load_settings()
    with lost_ledger(settings) as owner:
        kept = keep_dump(settings, owner) if replace else None
        report = restore(settings, owner, replace=replace)
    with open_context(settings=settings) as ctx:
        publish_behind(ctx)
    if as_json:
        typer.echo(json.dumps({**report, "dump": str(kept) if kept else None}, indent=1))
    else:
        if kept:
            typer.echo(f"what the ledger held is kept in {kept}")
        counts = ("datasets", "snapshots", "partitions", "batches", "versions")
        names = {"batches": "raw batches", "versions": "model versions"}
        typer.echo(", ".join(f"{report[name]} {names.get(name, name)}" for name in counts) + " restored")
        for dataset in report["assumed"]:
            typer.echo(f"{dataset}: no history was kept; its newest snapshot is taken for the current one")
    for one in report["skipped"]:
        typer.echo(f"{one['file']}: {one['what']}", err=True)
    if report["skipped"]:
        raise typer.Exit(EXIT_FAILED)
