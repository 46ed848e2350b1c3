"""`stellar run`: the whole flow once."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command()
def command() -> None:
    """Run the whole flow through Airflow: syncs, catalogue, features, models, scores; print a summary; stop."""
    from rich.console import Console

    from stellar.platform.run import run
    from stellar.settings import load_settings

    run(load_settings(), Console())
