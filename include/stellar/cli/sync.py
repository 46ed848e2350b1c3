"""`stellar sync`: one survey's sync in this process, as the DAG would run it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from stellar.errors import InputError

app = typer.Typer()


@app.command()
def command(
    survey: Annotated[str, typer.Argument(help="gaia, sdss, tess, labels or files")],
    release: Annotated[str | None, typer.Option(help="Data release; the configured one when not given")] = None,
    magnitude_limit: Annotated[float | None, typer.Option(help="Faintest magnitude in the survey's main band")] = None,
    ra: Annotated[float | None, typer.Option(help="Right ascension of a cone's centre, degrees")] = None,
    dec: Annotated[float | None, typer.Option(help="Declination of a cone's centre, degrees")] = None,
    radius: Annotated[float | None, typer.Option(help="Radius of the cone, degrees")] = None,
    cell: Annotated[
        list[str] | None, typer.Option(metavar="ORDER/PIXEL", help="Nested HEALPix cell; may be given several times")
    ] = None,
    row_cap: Annotated[int | None, typer.Option(help="Most rows per dataset, for trials")] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(help="Fetch this unit again, past the cache, and nothing else; may be given several times"),
    ] = None,
    list_units: Annotated[bool, typer.Option("--list-units", help="Only list the units that were fetched")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be fetched")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON")] = False,
) -> None:
    """Bring what is new from a survey: plan, fetch, commit, gate, promote."""
    from stellar import flow

    params: dict[str, Any] = {"release": release, "magnitude_limit": magnitude_limit, "row_cap": row_cap}
    params |= {"regions": _cone(ra, dec, radius), "cells": [_cell(text) for text in cell or []]}
    if unit and any(value for value in params.values()):
        raise InputError("units are fetched again as they were before: give --unit without region, release or limits")
    with flow.open_context() as ctx:
        if list_units:
            _list(ctx, survey, as_json)
            return
        if dry_run:
            batches = (
                flow.sync_again(ctx, survey, unit, dry_run=True)
                if unit
                else flow.sync_plan(ctx, survey, params, dry_run=True)
            )
            typer.echo(json.dumps(batches) if as_json else flow.sync_text(survey, batches))
            return
        changed = flow.run_sync(
            ctx, survey, params, units=unit or (), who="stellar sync", say=lambda line: typer.echo(line, err=True)
        )
    if as_json:
        typer.echo(json.dumps({"survey": survey, "changed": changed}))
        return
    for dataset, new in sorted(changed.items()):
        typer.echo(f"{dataset}: {'new rows are current' if new else 'nothing changed'}")


def _list(ctx: Any, survey: str, as_json: bool) -> None:
    """The units of a survey that count today."""
    from stellar.flow.sync import survey_of
    from stellar.ledger.batches import known_units

    survey_of(ctx, survey)
    found = known_units(ctx.engine, survey)
    if as_json:
        typer.echo(json.dumps(found, default=str))
        return
    for one in found:
        typer.echo(
            f"{one['dataset']:24} {one['unit']:32} {one['row_count']:>10,} rows  {one['release']:10} "
            f"{one['fetched_at']:%Y-%m-%d %H:%M}  {one['batch_id'][:16]}"
        )


def _cone(ra: float | None, dec: float | None, radius: float | None) -> list[dict[str, float]]:
    """The cone that the three options describe; none without them."""
    if ra is None and dec is None and radius is None:
        return []
    if ra is None or dec is None or radius is None:
        raise InputError("a cone needs --ra, --dec and --radius together")
    return [{"ra": ra, "dec": dec, "radius_deg": radius}]


def _cell(text: str) -> list[int]:
    """(order, pixel) from `ORDER/PIXEL`."""
    order, _, pixel = text.partition("/")
    if not (order.isdecimal() and pixel.isdecimal() and int(order) <= 29 and int(pixel) < 12 * 4 ** int(order)):
        raise InputError(f"--cell {text}: give ORDER/PIXEL, 0 <= order <= 29 and 0 <= pixel < 12 * 4^order")
    return [int(order), int(pixel)]
