"""`stellar backup`: the home in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def command(
    file: Annotated[Path, typer.Argument(help="*.tar, or *.tar.zst to compress what is not compressed already")],
    secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Also passwords and keys, and Airflow's database; keep it safe then")
    ] = False,
    staged: Annotated[
        bool, typer.Option("--with-staged", help="Also the staged copies of imported files, as large as those")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON")] = False,
) -> None:
    """Write the home into one file: ledger, datasets, raw batches, model artifacts. Safe while the platform works.

    Left out is what can be made or fetched again: the simulated archive, caches, logs, staged copies of imported files;
    and, unless told otherwise, secrets. `stellar restore FILE` makes a home of it on another machine.
    """
    from stellar.cli.progress import percentage
    from stellar.engine.backup import backup
    from stellar.ledger.connect import ledger_session
    from stellar.settings import load_settings

    settings = load_settings()
    with ledger_session(settings, role="owner") as owner:
        report = backup(
            settings,
            owner,
            file.absolute(),
            secrets=secrets,
            staged=staged,
            overwrite=overwrite,
            progress=percentage(quiet=as_json),
        )
    if as_json:
        typer.echo(json.dumps(report, indent=1))
        return
    typer.echo(
        f"{report['file']}: {len(report['current'])} datasets, {report['snapshots']} snapshots, {report['batches']} "
        f"raw batches, {report['versions']} model versions; {report['size']:,} bytes"
    )
    for path in report["damaged"]:
        typer.echo(f"warning: {path} of a former snapshot is damaged; it went in as it is", err=True)
