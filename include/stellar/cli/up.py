"""`stellar up`: the platform, kept up."""

from __future__ import annotations

import time

import typer

app = typer.Typer()


@app.command()
def command() -> None:
    """Start the database, the archive, Airflow and the TAP service, keep them alive, and stop them all on Ctrl-C."""
    from stellar.platform import bootstrap
    from stellar.platform.progress import clock
    from stellar.platform.supervisor import Supervisor
    from stellar.settings import load_settings

    settings = load_settings()
    started = time.monotonic()

    def report(line: str) -> None:
        typer.echo(f"[{clock(time.monotonic() - started)}] {line}")

    try:
        with Supervisor(settings, report, services=True) as supervisor:
            supervisor.wait_ready()
            report(f"ready: {supervisor.url}  (Ctrl-C stops everything)")
            report(f"TAP service for TOPCAT, STILTS and pyvo: {supervisor.tap_url}")
            _passwords(bootstrap.passwords_to_show(settings))
            supervisor.watch()
    except KeyboardInterrupt:
        report("stopped")


def _passwords(shown: dict[str, str] | None) -> None:
    """Print them once in a home's life; later the files tell."""
    if shown is None:
        typer.echo("sign in as admin, operator or viewer; the passwords lie in the home's secrets/airflow_user_*")
        return
    for user, password in shown.items():
        typer.echo(f"  {user:9} {password}")
    typer.echo("these are shown once; they are kept in the home's secrets/airflow_user_* (readable by you only)")
