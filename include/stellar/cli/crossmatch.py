"""`stellar crossmatch`: the pairs of two catalogues become a dataset of the lake."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from stellar.cli.timing import timed_context
from stellar.errors import InputError

app = typer.Typer()

MODULES = ("stellar.flow.matching", "stellar.sky.kernel", "stellar.quality.numbers")
WITHOUT = ("pandas",)  # 0.3 s: pyarrow would import it to know its types

CATALOGUE = "a dataset (NAME means own.NAME), or a HATS folder with a / in its name"


@app.command()
def command(
    left: Annotated[str, typer.Argument(metavar="LEFT", help=CATALOGUE)],
    right: Annotated[str, typer.Argument(metavar="RIGHT", help=CATALOGUE)],
    radius: Annotated[float, typer.Option(help="Largest separation, arcsec")],
    name: Annotated[str, typer.Option("--name", help="Name of the result; a bare NAME becomes own.NAME")],
    k: Annotated[int, typer.Option("--k", help="How many nearest right rows a left row gets at most")] = 1,
    how: Annotated[
        str, typer.Option(help="inner: pairs; left: and unmatched left rows; outer: and right rows")
    ] = "inner",
    mutual: Annotated[
        bool, typer.Option("--mutual", help="Only where the left row is the right one's nearest too")
    ] = False,
    min_separation: Annotated[float, typer.Option(help="Rows nearer than this are no candidates, arcsec")] = 0.0,
    epoch_left: Annotated[str | None, typer.Option(help="Julian year or column; MJD with mjd: in front")] = None,
    epoch_right: Annotated[str | None, typer.Option(help="The same; positions move where both are given")] = None,
    id_left: Annotated[str | None, typer.Option(help="Id column; the dataset's own when not given")] = None,
    id_right: Annotated[str | None, typer.Option(help="Id column; the dataset's own when not given")] = None,
    columns_left: Annotated[str | None, typer.Option(help="Columns to keep, a,b,c; all when not given")] = None,
    columns_right: Annotated[str | None, typer.Option(help="Columns to keep, a,b,c; all when not given")] = None,
    sigma_left: Annotated[str | None, typer.Option(help="Error of a position: arcsec or column (mas:COL)")] = None,
    sigma_right: Annotated[str | None, typer.Option(help="Error of a position: arcsec or column (mas:COL)")] = None,
    pm_left: Annotated[
        str | None, typer.Option(help="Columns PMRA,PMDEC[,PARALLAX,RV]; found by name if not given")
    ] = None,
    pm_right: Annotated[str | None, typer.Option(help="Columns PMRA,PMDEC[,PARALLAX,RV]; none: no motion")] = None,
    margin: Annotated[
        float, typer.Option(help="Margins to keep with the result, arcsec, for later matches of it")
    ] = 0.0,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Make it current once its gate passed")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON")] = False,
) -> None:
    """For each LEFT row its nearest RIGHT row within the radius, as a dataset; rows of any number, in bounded memory.

    Columns: id_left, id_right, separation_arcsec, match_probability, n_candidates, then left's with _left and right's
    with _right, and runner_up_arcsec. Called again after a catalogue changed, it builds the cells that changed.
    """
    seconds: dict[str, Any] = {}
    with timed_context(seconds, modules=MODULES, without=WITHOUT) as ctx:
        from stellar.flow.matching import crossmatch

        outcome = crossmatch(
            ctx,
            left,
            right,
            name,
            radius_arcsec=radius,
            k=k,
            how=how,
            mutual=mutual,
            min_separation_arcsec=min_separation,
            epoch_left=epoch_left,
            epoch_right=epoch_right,
            id_left=id_left,
            id_right=id_right,
            columns_left=_names("--columns-left", columns_left),
            columns_right=_names("--columns-right", columns_right),
            sigma_left=sigma_left,
            sigma_right=sigma_right,
            pm_left=_motion(pm_left),
            pm_right=_motion(pm_right),
            margin_arcsec=margin,
            promote=promote,
            progress=None if as_json else progress,
        )
    outcome["seconds"] |= seconds
    typer.echo(json.dumps(outcome) if as_json else told(outcome, promote))


def _names(option: str, given: str | None) -> list[str] | None:
    if given is None:
        return None
    names = [name.strip() for name in given.split(",")]
    if not all(names):
        raise InputError(f"{option} {given!r}: give names of columns with commas between them")
    return names


def _motion(given: str | None) -> list[str] | None:
    return [] if given == "none" else None if given is None else given.split(",")


def progress(phase: str, done: int, total: int) -> None:
    """Show how far a phase is, on a terminal only."""
    if sys.stderr.isatty():
        typer.echo(f"\r\033[K{phase} {done}/{total}", nl=done == total, err=True)


def told(outcome: dict[str, Any], promote: bool) -> str:
    """What became of it, for people."""
    state = "current" if promote else "candidate (promote it with `stellar datasets promote`)"
    work = f"{outcome['built']} partitions built, {outcome['carried']} carried over"
    alone = ""
    if outcome["unmatched"] is not None:
        alone = f"; {outcome['unmatched']:,} rows of {outcome['left']} have no partner in {outcome['right']}"
    took = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in outcome["seconds"].items())
    return "\n".join(
        [
            f"{outcome['dataset']}: {outcome['rows']:,} rows in {outcome['partitions']} partitions, {state}{alone}",
            "nothing changed since it was made" if outcome["found"] else work,
            outcome["path"],
            took,
        ]
    )
