"""`stellar export`: a dataset out of the lake, for other tools and other people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Dataset; a bare NAME means own.NAME")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="hats; or parquet, csv, fits, votable: files in one folder, for datasets without positions too; "
            "huggingface: Parquet with a card for the Hub",
        ),
    ] = "hats",
    missing: Annotated[
        float | None,
        typer.Option(
            "--missing",
            metavar="NUMBER",
            help="Write NUMBER, such as -999, where a numeric column has no value (not with hats)",
        ),
    ] = None,
    one_file: Annotated[
        bool, typer.Option("--one-file", help="All rows in one file DIR/NAME.fits, .csv, …; not with hats")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in DIR")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON")] = False,
) -> None:
    """Copy a dataset's current snapshot out of the lake: a plain HATS collection, margins included, or files.

    DIR/collection.properties names DIR/NAME and its margins DIR/NAME_10arcs; `lsdb.open_catalog("DIR")` opens both. The
    files are copies, checked against the ledger's hashes. Other formats have a file per partition, or --one-file; a
    value that is missing is null, empty or NaN there, as the format has it, or the NUMBER of --missing.
    """
    from stellar.cli.progress import percentage
    from stellar.engine.export import export
    from stellar.flow.context import open_context
    from stellar.lake.names import full_name

    with open_context() as ctx:
        report = export(
            ctx,
            full_name(name),
            folder.absolute(),
            form=form,
            overwrite=overwrite,
            missing=missing,
            one_file=one_file,
            progress=percentage(quiet=as_json),
        )
    if as_json:
        typer.echo(json.dumps(report, indent=1))
        return
    margins = f", margins of {report['margin_arcsec']:g} arcsec" if report["margin_arcsec"] else ""
    typer.echo(
        f"{report['folder']}: {report['dataset']} {report['snapshot'][:16]}, {report['rows']:,} rows in "
        f"{report['partitions']} partitions{margins}, {report['bytes']:,} bytes"
    )
