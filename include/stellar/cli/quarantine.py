"""`stellar quarantine`: refused rows, why, and what people decide about them."""

from __future__ import annotations

import getpass
import json
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON")]
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="quarantine.NAME, or NAME")]
Rows = Annotated[list[str] | None, typer.Argument(metavar="ROW...", help="Ids of rows, as `rows` shows them")]
Why = Annotated[str, typer.Option("--why", "-w", help="Kept with the decision")]
OfReason = Annotated[str | None, typer.Option("--reason", help="Instead of rows: all that were refused for this")]
OfBatch = Annotated[str | None, typer.Option("--batch", help="With --reason: of this batch alone")]


@app.command("list")
def list_reasons(as_json: AsJson = False) -> None:
    """Rows in quarantine by dataset, reason, survey and batch, and how many of them are still open."""
    from stellar import flow
    from stellar.serving import quarantine

    with flow.open_context() as ctx:
        found = quarantine.overview(ctx.settings, ctx.engine)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for one in found:
        counts = ", ".join(f"{one[state]:,} {state}" for state in ("open", "released", "discarded") if one[state])
        typer.echo(f"{one['dataset']:28} {one['survey'] or '-':8} {one['batch_id'][:16]}  {counts}: {one['reason']}")
        if one["kept"]:
            typer.echo(f"{'':28} cannot be released: {one['kept']}")
    if not found:
        typer.echo("no row is in quarantine")


@app.command()
def rows(
    dataset: Dataset,
    reason: Annotated[str | None, typer.Option(help="Only rows refused for this")] = None,
    state: Annotated[str | None, typer.Option(help="Only open, released or discarded ones")] = None,
    limit: Annotated[int, typer.Option(help="At most so many")] = 20,
    as_json: AsJson = False,
) -> None:
    """The refused rows of a dataset, as their survey published them."""
    from stellar import flow
    from stellar.serving import quarantine

    with flow.open_context() as ctx:
        found = quarantine.rows_of(ctx.settings, ctx.engine, _full(dataset), reason=reason, state=state, limit=limit)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for one in found["rows"]:
        typer.echo(f"{one['row_id']}  {one['state']}: {one['reason']}")
        typer.echo(f"  {json.dumps(one['values'])}")
    typer.echo(f"{len(found['rows'])} of {found['total']} rows")


@app.command()
def release(dataset: Dataset, why: Why, ids: Rows = None, reason: OfReason = None, batch: OfBatch = None) -> None:
    """Overrule the reason: the next `build_catalog` takes the rows into the curated dataset."""
    _decide("release", dataset, why, ids, reason, batch)


@app.command()
def discard(dataset: Dataset, why: Why, ids: Rows = None, reason: OfReason = None, batch: OfBatch = None) -> None:
    """Say that the rows were refused rightly: they no longer count as open."""
    _decide("discard", dataset, why, ids, reason, batch)


@app.command()
def reopen(dataset: Dataset, why: Why, ids: Rows = None, reason: OfReason = None, batch: OfBatch = None) -> None:
    """Take a decision back; a row that was released goes into quarantine again with the next `build_catalog`."""
    _decide("reopen", dataset, why, ids, reason, batch)


def _decide(
    decision: Any, dataset: str, why: str, ids: list[str] | None, reason: str | None, batch: str | None
) -> None:
    from stellar import flow
    from stellar.serving import quarantine

    with flow.open_context() as ctx:
        made = quarantine.decide(
            ctx.settings, ctx.engine, _full(dataset), decision, who=getpass.getuser(), why=why, rows=ids or None,
            reason=reason, batch=batch,
        )  # fmt: skip
    typer.echo(made["said"])


def _full(dataset: str) -> str:
    return dataset if "." in dataset else f"quarantine.{dataset}"
