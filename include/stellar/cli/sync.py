"""`stellar sync`: one survey's sync in this process, as the DAG would run it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def command(
    survey: Annotated[str, typer.Argument(help="gaia, sdss, tess, labels or files")],
    release: Annotated[str | None, typer.Option(help="Data release; the configured one when not given")] = None,
    magnitude_limit: Annotated[float | None, typer.Option(help="Faintest magnitude in the survey's main band")] = None,
    row_cap: Annotated[int | None, typer.Option(help="Most rows per dataset, for trials")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON")] = False,
) -> None:
    """Bring what is new from a survey: plan, fetch, commit, gate, promote."""
    from stellar import flow

    params = {"release": release, "magnitude_limit": magnitude_limit, "row_cap": row_cap}
    with flow.open_context() as ctx:
        changed = flow.run_sync(ctx, survey, params, who="stellar sync", say=lambda line: typer.echo(line, err=True))
    if as_json:
        typer.echo(json.dumps({"survey": survey, "changed": changed}))
        return
    for dataset, new in sorted(changed.items()):
        typer.echo(f"{dataset}: {'new rows are current' if new else 'nothing changed'}")
