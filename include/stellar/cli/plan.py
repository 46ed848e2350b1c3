"""`stellar plan`: what the stages would compute, before they do."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def command(
    stage: Annotated[str | None, typer.Argument(help="A stage (curate, match, …); every stage when not given")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON")] = False,
) -> None:
    """What would be rebuilt on the inputs that are current now, and what is found or carried over."""
    from stellar import flow

    with flow.open_context() as ctx:
        items = [item for name in ([stage] if stage else flow.STAGES) for item in flow.stage_plan(ctx, name)]
    steps = [item for item in items if item["batch"] is None]
    if as_json:
        typer.echo(json.dumps(steps, indent=1))
        return
    for step in steps:
        made = 0 if step["found"] else step["partitions"] - step["carried"]
        typer.echo(
            f"{step['stage']:10} {step['dataset']:32} {'found' if step['found'] else 'to build':9}"
            f" {made} of {step['partitions']} partitions to compute"
        )
    if not steps:
        typer.echo("nothing to plan: no survey has been synced yet")
