"""`stellar predict`: one row per object of a user's own files, or of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stellar.cli.progress import percentage

app = typer.Typer()

SHOWN = 20


@app.command()
def command(
    model: Annotated[str, typer.Argument(metavar="MODEL[@ALIAS|@NUMBER|@KEY]")],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT…",
            help="Spectra or light curves (FITS, text), folders, tar and zip archives of them; tables of features "
            "(Parquet, CSV); a dataset's name",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write")],
) -> None:
    """Predict for each object of the inputs, in their order; `id` comes first, the model version last.

    The id of a file of one object is its name without the extension. Files that cannot be used are listed with the
    reason, and the rest is done.
    """
    import pyarrow.parquet as pq

    from stellar import flow

    with flow.open_context() as ctx:
        made = flow.predict(ctx, model, inputs, percentage())
    if made.warning:
        typer.echo(f"warning: {made.warning}", err=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(made.table, out)
    for name, why in made.refused[:SHOWN]:
        typer.echo(f"not used: {name}: {why}", err=True)
    if len(made.refused) > SHOWN:
        typer.echo(f"not used: {len(made.refused) - SHOWN} more", err=True)
    left = f"; {len(made.refused)} files could not be used" if made.refused else ""
    typer.echo(f"{len(made.table)} rows by {made.version} in {out}{left}")
