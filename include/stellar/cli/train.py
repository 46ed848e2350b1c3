"""`stellar train`: one model from its config, or all of the profile's."""

from __future__ import annotations

import getpass
import json
import os
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def command(
    configs: Annotated[
        list[str] | None, typer.Argument(help="Model names or YAML files; the profile's when none")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; STELLAR_SEED when not given")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON")] = False,
) -> None:
    """Train, evaluate, register and judge; a version that exists is found and not trained again."""
    # as for Airflow's tasks: a version is then the same whoever trains it, and threads of linear algebra that wait for
    # each other on a busy machine take ten times as long as the work
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from stellar import flow

    results = []
    with flow.open_context() as ctx:
        for name in configs or flow.train_plan(ctx):
            typer.echo(f"{name}: training", err=True)
            results.append(flow.train_model(ctx, name, seed=seed, who=getpass.getuser()))
    if as_json:
        typer.echo(json.dumps([result.to_dict() for result in results], indent=1))
        return
    for result in results:
        state = "promoted" if result.promoted else "not promoted"
        version = f" {result.version_key[:16]}, {state}" if result.version_key else ""
        typer.echo(f"{result.model}: {result.outcome}{version}")
        for reason in result.reasons:
            typer.echo(f"  {reason}")
        for name, figure in result.metrics.items():
            interval = f"  [{figure.lower:.4g}, {figure.upper:.4g}]" if figure.lower == figure.lower else ""
            typer.echo(f"  {name:24} {figure.value:.4g}{interval}")
