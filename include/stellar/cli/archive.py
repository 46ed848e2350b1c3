"""`stellar archive build|serve`: the embedded archive as a process of its own, as the supervisor starts it.

`stellar archive eclipsing-binaries` writes a simulated catalogue that the archive does not serve.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from stellar.cli.progress import percentage
from stellar.errors import InputError
from stellar.platform.supervisor import archive_build_command, archive_options, archive_serve_command
from stellar.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="The embedded archive: a simulated sky over the surveys' own protocols.")


@app.command()
def build(
    scale: Annotated[
        float | None, typer.Option(help="1 is about 30,000 Gaia sources; the profile's where not given")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where it goes; this home's archive where not given")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random; the setting's where not given")] = None,
) -> None:
    """Generate the simulated sky, or find it there."""
    settings = load_settings()
    settings = settings.model_copy(update={} if seed is None else {"seed": seed})
    command = archive_build_command(settings, _options(scale))
    target = folder.expanduser().resolve() if folder else settings.archive
    command = [str(target) if part == str(settings.archive) else part for part in command]
    target.parent.mkdir(parents=True, exist_ok=True)
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own interpreter and module
        raise InputError(f"the archive could not be generated into {target}; the reason stands above")
    typer.echo(f"archive in {target}")


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="0 chooses a free one")] = 0,
    folder: Annotated[Path | None, typer.Option(help="Archive to serve; this home's where not given")] = None,
) -> None:
    """Serve it on loopback until stopped; its URL is written to run/archive.json of this home."""
    settings = load_settings()
    target = folder.expanduser().resolve() if folder else settings.archive
    if not (target / "archive.json").is_file():
        raise InputError(f"no archive in {target}; make it by `stellar archive build`")
    command = [str(target) if part == str(settings.archive) else part for part in archive_serve_command(settings, port)]
    typer.echo(f"serving {target}; address in {settings.run / 'archive.json'}")
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - the command becomes the service, so that signals reach it


@app.command()
def eclipsing_binaries(
    out: Annotated[Path, typer.Option(help="Parquet file of the catalogue")],
    truth: Annotated[
        Path | None, typer.Option(help="Parquet file of what the stars really are; none where not given")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="How many; the first rows of the whole set")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random")] = None,
) -> None:
    """Write a simulated catalogue of eclipsing binaries with catalogue temperatures (docs/eclipsing_binaries.md)."""
    from stellar.archive.eclipsing import constants, generate

    rows = constants.ROWS if rows is None else rows
    seed = constants.SEED if seed is None else seed
    generate.write_catalogue(out, truth=truth, rows=rows, seed=seed, tell=percentage())
    typer.echo(f"{rows:,} eclipsing binaries in {out}" + (f", the truth in {truth}" if truth else ""))


def _options(scale: float | None) -> dict[str, float]:
    return {"scale": scale} if scale is not None else archive_options(load_settings()) or {"scale": 1.0}
