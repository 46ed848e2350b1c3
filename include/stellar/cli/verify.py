"""`stellar verify`: do the stored files still hold what the ledger says?"""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from stellar.cli import EXIT_FAILED

app = typer.Typer()


@app.command()
def command(
    datasets: Annotated[list[str] | None, typer.Argument(help="Datasets; all current ones when none is given")] = None,
    rows: Annotated[
        bool, typer.Option("--rows", help="Also read every row: inside its cell, sorted, index of its position")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Move damaged snapshots aside, so that the next run makes them again")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the faults as JSON")] = False,
) -> None:
    """Compare the files of current snapshots with the ledger: sizes, hashes, footers, columns, partitions.

    Ends with exit code 1 when something is damaged. What to do then: `--repair` and `stellar run`, which makes the same
    snapshot again from its inputs; or `stellar datasets rollback` to the snapshot before. Raw data can only be put
    back from a copy.
    """
    from stellar.engine.maintain import set_aside, verify
    from stellar.flow.context import open_context

    def progress(dataset: str, done: int, total: int) -> None:
        if not as_json and sys.stderr.isatty():
            typer.echo(f"\r\033[K{done}/{total} {dataset}", nl=done == total, err=True)

    with open_context() as ctx:
        faults = verify(ctx, datasets or None, rows=rows, progress=progress)
        moved = set_aside(ctx, faults) if repair else {}
    if as_json:
        typer.echo(json.dumps(faults, indent=1))
    else:
        for fault in faults:
            typer.echo(f"{fault['dataset']} {fault['snapshot'][:16]}  {fault['file']}: {fault['what']}")
        typer.echo(f"{len(faults)} faults" if faults else "all files are as they were committed")
    for dataset, folder in moved.items():
        typer.echo(f"{dataset}: moved to {folder}; `stellar run` makes it again", err=True)
    if faults:
        raise typer.Exit(EXIT_FAILED)
