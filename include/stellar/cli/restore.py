"""`stellar restore`: a home from a backup."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from stellar.cli import EXIT_FAILED

app = typer.Typer()


@app.command()
def command(
    file: Annotated[Path, typer.Argument(help="As `stellar backup` wrote it")],
    quick: Annotated[
        bool, typer.Option("--quick", help="At the end check sizes and hashes only, not every row")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was restored as JSON")] = False,
) -> None:
    """Make a home of a backup in STELLAR_HOME, which has to be new or empty, and verify it.

    Passwords and keys are made anew unless the backup holds them. Ends with exit code 1 when the check finds a fault.
    """
    from stellar.cli.progress import percentage
    from stellar.engine.restore import restore
    from stellar.settings import load_settings

    settings = load_settings()
    report = restore(settings, file.absolute(), rows=not quick, progress=percentage(quiet=as_json))
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        typer.echo(
            f"{report['home']}: {len(report['current'])} datasets, {report['snapshots']} snapshots, "
            f"{report['batches']} raw batches, {report['versions']} model versions, of {report['created']}"
        )
        for fault in report["faults"]:
            typer.echo(f"{fault['dataset']} {fault['snapshot'][:16]}  {fault['file']}: {fault['what']}")
    if report["faults"]:
        raise typer.Exit(EXIT_FAILED)
