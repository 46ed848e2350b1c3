"""`stellar plan`: what would be rebuilt, and why, before it is."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|STAGE]", help="A dataset (NAME means own.NAME) or a stage; all when not given"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON, every partition with why")] = False,
) -> None:
    """What would be rebuilt on the inputs that are current now, partition by partition, and why; nothing is begun.

    For a dataset, also what it is made from and has to be made first. A partition is rebuilt when an input's partition
    or margin that it reads changed, when its cell is new (rows came, a cell was split or merged), or when a parameter,
    a model, the step, the writer or the layout changed; all others are carried over.
    """
    from stellar import flow
    from stellar.flow.plans import dry_plan, told

    with flow.open_context() as ctx:
        items = dry_plan(ctx, name)
    if as_json:
        typer.echo(json.dumps(items, indent=1))
        return
    for item in items:
        for line in told(item):
            typer.echo(line)
    if not items:
        typer.echo("nothing to plan: no survey has been synced yet")
