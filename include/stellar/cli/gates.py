"""`stellar gates`: what each dataset's gate checked, what it found, and the rows that failed."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from stellar.errors import InputError
from stellar.ledger import gates, snapshots
from stellar.ledger.connect import ledger_session
from stellar.settings import load_settings

app = typer.Typer()


@app.command()
def command(
    dataset: Annotated[
        str | None, typer.Argument(help="One dataset, expectation by expectation; all when not given")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON, failing rows included")] = False,
) -> None:
    """Gate results, row by row, with the rows that failed. The page for people is in the column DOCS."""
    settings = load_settings()
    with ledger_session(settings, role="reader") as engine:
        known = {one["dataset"] for one in snapshots.list_datasets(engine)}
        if dataset is not None and dataset not in known:
            raise InputError(f"no dataset {dataset!r}; there are {', '.join(sorted(known)) or 'none yet'}")
        found = gates.report(engine, dataset)
    for one in found:
        one["data_docs"] = str(settings.home / one["data_docs"]) if one["data_docs"] else None
    if as_json:
        typer.echo(json.dumps(found, indent=1, default=str))
        return
    if not found:
        typer.echo("no gate has run yet" if dataset is None else f"no gate of {dataset} has run yet")
    for one in found:
        _show(one, every=dataset is not None)


def _show(one: dict[str, Any], *, every: bool) -> None:
    checks = one["expectations"]
    failed = sum(not row["passed"] for row in checks)
    follows = one["evidence"].get("follows")
    what = f"follows {follows[:16]}" if follows else f"{len(checks)} expectations, {failed} failed"
    verdict = "passed" if one["passed"] else "FAILED"
    page = f"  {one['data_docs']}" if one["data_docs"] else ""
    typer.echo(f"{verdict}  {one['dataset']:32} {one['snapshot'][:16]}  {one['state']:9}  {what}{page}")
    for row in checks:
        if not every and row["passed"]:
            continue
        limits = {k: v for k, v in row["kwargs"].items() if k not in ("column", "column_list") and v is not None}
        said = " ".join(f"{name}={value}" for name, value in limits.items())
        typer.echo(
            f"  {'ok' if row['passed'] else 'FAILED':6}  {row['column_name'] or '':24} "
            f"{row['expectation'].removeprefix('expect_')} {said}"
            f"{'' if row['passed'] else '  failing: ' + str(row['failing'])}"
        )
        for sample in [] if row["passed"] else row["failing_rows"]:
            typer.echo(f"          {json.dumps(sample, default=str)}")
