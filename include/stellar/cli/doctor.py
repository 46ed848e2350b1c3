"""`stellar doctor`: is everything there and well."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer()
MARKS = {"ok": "ok  ", "off": "-   ", "warn": "warn", "bad": "BAD "}


@app.command()
def command(as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON")] = False) -> None:
    """What is installed, running, reachable and healthy, and what to do about what is not; exit 1 if a thing is bad."""
    from stellar.platform.doctor import as_dicts, examine
    from stellar.settings import load_settings

    findings = examine(load_settings())
    if as_json:
        typer.echo(json.dumps(as_dicts(findings), indent=1))
    else:
        for finding in findings:
            typer.echo(f"{MARKS[finding.state]} {finding.what:24} {finding.says}")
            if finding.todo:
                typer.echo(f"{'':30}-> {finding.todo}")
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)
