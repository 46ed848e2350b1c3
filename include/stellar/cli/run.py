"""`stellar run`: the whole flow once."""

from __future__ import annotations

import typer

app = typer.Typer()
PIPE_WIDTH = 160


@app.command()
def command() -> None:
    """Run the whole flow through Airflow: syncs, catalogue, features, models, scores; print a summary; stop."""
    from rich.console import Console

    from stellar.platform.run import run
    from stellar.settings import load_settings

    console = Console()
    run(load_settings(), console if console.is_terminal else Console(width=PIPE_WIDTH))
