"""`stellar lineage`: from a score to the survey queries that brought its star, and the other way round."""

from __future__ import annotations

import json
import re
import sys
import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stellar.errors import InputError, LedgerError
from stellar.ledger import lineage
from stellar.ledger.connect import ledger_session
from stellar.settings import Settings, load_settings

if TYPE_CHECKING:
    import sqlalchemy as sa
    from rich.tree import Tree

app = typer.Typer()

#: Batches shown below one node of the tree; --json has all.
SHOWN = 12
PIPE_WIDTH = 10_000
_KEY = re.compile(r"[0-9a-f]{8,64}")


@app.command()
def command(
    ref: Annotated[str, typer.Argument(help="Dataset, snapshot, model, model version, batch, or an object's id")],
    down: Annotated[
        bool, typer.Option("--down", help="What was made from it, instead of what it was made from")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with everything that the ledger knows")] = False,
) -> None:
    """The tree from a dataset, model or object to the batches with their queries; with --down, to the scores."""
    settings = load_settings()
    with ledger_session(settings, role="reader") as engine, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        tree = _walk(settings, engine, ref, down)
    for one in said:
        if one.category is UserWarning:
            typer.echo(f"warning: {one.message}", err=True)
    if as_json:
        typer.echo(json.dumps(tree, indent=1, default=str))
        return
    from rich.console import Console

    # in a pipe a line is as long as it is; on a terminal it wraps
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)
    console.print(_object_tree(tree) if tree["kind"] == "object" else _tree(tree))


def _walk(settings: Settings, engine: sa.Engine, ref: str, down: bool) -> lineage.Node:
    try:
        return lineage.downstream(engine, ref) if down else lineage.upstream(engine, ref)
    except InputError as unknown:
        if down or "." in ref or _KEY.fullmatch(ref):
            raise
        from stellar.lake.sql import connect

        with connect(settings, engine) as connection:
            try:
                return lineage.object_lineage(engine, connection, ref)
            except LedgerError:  # there are no objects yet
                raise unknown from None


def _label(node: lineage.Node) -> str:
    from rich.markup import escape

    role = f"[dim]{escape(node['role'])}:[/] " if node.get("role", "batch") != "batch" else ""
    short = f"[cyan]{node['id'][:16]}[/]"
    if node["kind"] == "snapshot":
        text = f"[bold]{node['dataset']}[/] {short} step {node['step']} v{node['step_version']}, {node['state']}"
        text += f", {node['rows']:,} rows" if node.get("rows") is not None else ""
    elif node["kind"] == "version":
        text = (
            f"model [bold]{node['model']}[/] version {node['number']} {short} {node['architecture']}, {node['state']}"
        )
    else:
        query = " ".join(str(node.get("query", "")).split())
        text = f"batch {short} {node.get('survey')} {escape(str(node.get('unit')))}, {node.get('rows')} rows, "
        text += escape(f"{node.get('service')}: {query[:160]}")
    return role + text + (" [dim](shown above)[/]" if node.get("repeated") else "")


def _tree(node: lineage.Node, parent: Tree | None = None) -> Tree:
    from rich.tree import Tree

    branch = Tree(_label(node)) if parent is None else parent.add(_label(node))
    following: list[dict[str, Any]] = node.get("parents") or node.get("children") or []
    batches = 0
    for one in following:
        batches += one["kind"] == "batch"
        if one["kind"] != "batch" or batches <= SHOWN:
            _tree(one, branch)
    hidden = max(0, batches - SHOWN)
    if hidden:
        branch.add(f"[dim]{hidden} more batches; --json names them[/]")
    if node.get("other_batches"):
        branch.add(f"[dim]{node['other_batches']} other batches, which did not bring this object[/]")
    return branch


def _object_tree(node: lineage.Node) -> Tree:
    from rich.markup import escape
    from rich.tree import Tree

    tree = Tree(f"object [bold]{escape(node['id'])}[/]")
    sources = tree.add("rows that form it")
    for one in node["sources"]:
        away = f", {one['separation_arcsec']:.3f} arcsec away" if one["separation_arcsec"] is not None else ""
        branch = sources.add(f"[bold]{one['dataset']}[/] {escape(str(one['survey_id']))}{away}")
        if one.get("batch"):
            branch.add(_label(one["batch"]))
    for one in node["scores"]:
        shown = ", ".join(f"{name}={value}" for name, value in one["row"].items() if name not in ("object_id", "model"))
        _tree(one["lineage"], tree.add(f"[bold]{one['dataset']}[/] {escape(shown[:300])}"))
    return tree
