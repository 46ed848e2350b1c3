"""`stellar predict`: one row per object of a user's own files, or of a dataset."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from stellar.cli.progress import percentage
from stellar.errors import InputError

app = typer.Typer()

SHOWN = 20


@app.command()
def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL[@ALIAS|@NUMBER|@KEY]|DIR", help="DIR: what `stellar models export` wrote")
    ],
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
    """Predict for each object of the inputs, in their order; `id` comes first, model version and file last.

    The id of a file of one object is its name without the extension. Files that cannot be used are listed with the
    reason, and the rest is done. With an exported DIR no home and no database is needed; its inputs are tables.
    """
    import pyarrow.parquet as pq

    _check(out, inputs)
    made = _predict(model, inputs, out)
    fresh = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        pq.write_table(made.table, fresh)
        fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)
    for name, why in made.refused[:SHOWN]:
        typer.echo(f"not used: {name}: {why}", err=True)
    if len(made.refused) > SHOWN:
        typer.echo(f"not used: {len(made.refused) - SHOWN} more", err=True)
    left = f"; {len(made.refused)} files could not be used" if made.refused else ""
    typer.echo(f"{len(made.table)} rows by {made.version} in {out}{left}")


def _predict(model: str, inputs: list[str], out: Path) -> Any:
    from stellar.registry import standalone

    if standalone.is_export(model):
        return standalone.predict(Path(model), inputs, percentage())
    from stellar import flow

    with flow.open_context() as ctx:
        made = flow.predict(ctx, model, inputs, percentage(), out=out)
    if made.warning:
        typer.echo(f"warning: {made.warning}", err=True)
    return made


def _check(out: Path, inputs: list[str]) -> None:
    """Refuse, before any work, an output that cannot be written or would replace an input; its folder is made."""
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a file in it")
    if out.exists() and any(Path(given).exists() and out.samefile(given) for given in inputs):
        raise InputError(f"--out {out} is one of the inputs; name another file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(f"--out {out}: {out.parent} cannot be made a folder: {fault.strerror}") from None
