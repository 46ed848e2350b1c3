"""`stellar import`: tables on disk become a dataset of the lake."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stellar.cli.timing import timed_context

if TYPE_CHECKING:
    from stellar.settings import Settings

app = typer.Typer()

MODULES = ("stellar.flow.tables", "stellar.surveys.readers.chunks", "stellar.quality.numbers")
WITHOUT = ("pandas",)  # 0.2 s: pyarrow would import it to know its types


@app.command()
def command(
    files: Annotated[
        list[Path], typer.Argument(help="Parquet, CSV, FITS, VOTable or ECSV files, or folders of them (HATS too)")
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the dataset; a bare NAME becomes own.NAME")],
    id_column: Annotated[str, typer.Option("--id", help="Column that identifies a row: whole numbers or text")],
    ra: Annotated[str, typer.Option(help="Column with the right ascension, degrees")] = "ra",
    dec: Annotated[str, typer.Option(help="Column with the declination, degrees")] = "dec",
    margin: Annotated[
        float, typer.Option(min=0, help="Width of the margins to keep, arcsec: the largest radius of later matches")
    ] = 10.0,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Make it current once its gate is passed")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON")] = False,
) -> None:
    """Make a dataset of tables on disk, larger than memory if need be: cells of the sky, margins, gate, current.

    Stopped half way, the same command goes on where it was. Called again after files changed, it reads those files and
    builds the cells that changed. Rows without an id or a place on the sky go to quarantine.own_NAME.
    """
    seconds: dict[str, Any] = {}
    ahead: dict[str, float] = {}

    def stage_ahead(settings: Settings) -> None:
        from stellar.flow.tables import Clock, stage_files
        from stellar.lake.names import own_name

        with Clock(ahead)("stage"):
            stage_files(settings, files, own_name(name), {"id": id_column, "ra": ra, "dec": dec}, tell)

    tell = None if as_json else progress
    with timed_context(seconds, modules=MODULES, without=WITHOUT, meanwhile=stage_ahead) as ctx:
        from stellar.flow.tables import import_table

        outcome = import_table(
            ctx,
            files,
            name,
            id_column=id_column,
            ra=ra,
            dec=dec,
            margin_arcsec=margin,
            promote=promote,
            progress=tell,
        )
    for phase, took in ahead.items():
        outcome["seconds"][phase] = round(outcome["seconds"][phase] + took, 4)
    outcome["seconds"] |= seconds
    if as_json:
        typer.echo(json.dumps(outcome))
    else:
        say(outcome, promote)


def progress(phase: str, done: int, total: int) -> None:
    """Show how far a phase is, on a terminal only."""
    if sys.stderr.isatty():
        typer.echo(f"\r\033[K{phase} {done}/{total}", nl=done == total, err=True)


def say(outcome: dict[str, Any], promote: bool) -> None:
    """One paragraph on what became of a dataset."""
    state = "current" if promote else "candidate (promote it with `stellar datasets promote`)"
    typer.echo(f"{outcome['dataset']}: {outcome['rows']:,} rows in {outcome['partitions']} partitions, {state}")
    if outcome["found"]:
        typer.echo("nothing changed since it was made")
    else:
        typer.echo(f"{outcome['built']} partitions built, {outcome['carried']} carried over")
    if outcome["quarantined"]:
        quarantine = f"quarantine.{outcome['dataset'].replace('.', '_')}"
        typer.echo(f"{outcome['quarantined']:,} rows have no id or no place on the sky; they are in {quarantine}")
    took = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in outcome["seconds"].items())
    typer.echo(f"{outcome['path']}\n{took}")
