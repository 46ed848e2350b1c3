"""`stellar datasets`: what there is, what is current, how big it is and where it lies."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from stellar.ledger import snapshots
from stellar.ledger.connect import ledger_session
from stellar.settings import load_settings

app = typer.Typer()


@app.command()
def command(as_json: Annotated[bool, typer.Option("--json", help="As a JSON list")] = False) -> None:
    """Datasets with their current snapshot, state, rows, bytes and folder.

    A dataset of which nothing is current yet is shown with its newest snapshot and that one's state.
    """
    settings = load_settings()
    with ledger_session(settings, role="reader") as engine:
        found = snapshots.list_datasets(engine)
    rows: list[dict[str, Any]] = [
        {
            "dataset": one["dataset"],
            "snapshot": one["snapshot"],
            "state": one["state"],
            "rows": one["rows"],
            "bytes": one["bytes"],
            "partitions": one["partitions"],
            "folder": str(settings.lake / one["path"]) if one["path"] else None,
            "content_hash": one["content_hash"],
            "committed_at": one["committed_at"].isoformat() if one["committed_at"] else None,
            "description": one["description"],
        }
        for one in found
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        typer.echo(f"no datasets yet in {settings.home}; `stellar run` or `stellar sync` brings the first")
        return
    width = max(len(row["dataset"]) for row in rows)
    typer.echo(f"{'DATASET':{width}}  {'SNAPSHOT':16}  {'STATE':9}  {'ROWS':>12}  {'BYTES':>14}  FOLDER")
    for row in rows:
        count, size = (f"{row[name]:,}" if row[name] is not None else "-" for name in ("rows", "bytes"))
        typer.echo(
            f"{row['dataset']:{width}}  {(row['snapshot'] or '-')[:16]:16}  {row['state'] or '-':9}  {count:>12}  "
            f"{size:>14}  {row['folder'] or '-'}"
        )
