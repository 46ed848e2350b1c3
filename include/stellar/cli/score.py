"""`stellar score`: the scores of every model that has a current version, in this process."""

from __future__ import annotations

import getpass
import json
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def command(as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON")] = False) -> None:
    """Score the current features: only partitions whose features or model changed are computed."""
    from stellar import flow

    with flow.open_context() as ctx:
        changed = flow.run_stages(
            ctx, "score_catalog", who=getpass.getuser(), say=lambda line: typer.echo(line, err=True)
        )
    if as_json:
        typer.echo(json.dumps(changed))
        return
    for dataset, new in sorted(changed.items()):
        typer.echo(f"{dataset}: {'new scores are current' if new else 'nothing changed'}")
    if not changed:
        typer.echo("nothing to score: no model has a current version; run `stellar train`")
