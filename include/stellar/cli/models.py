"""`stellar models`: versions, their figures and cards, and which of them is current."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON")]
Reference = Annotated[str, typer.Argument(metavar="MODEL[@ALIAS|@NUMBER|@KEY]")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; kept in the promotion log")]
HEADLINES = ("accuracy", "macro_f1", "subtype_mae", "ece", "mae", "interval_coverage")


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Every version of every model, newest first, with its main figures."""
    from stellar import flow
    from stellar.registry import versions

    with flow.open_context() as ctx:
        found = [_summary(ctx.engine, version) for version in versions.list_versions(ctx.engine)]
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for one in found:
        figures = "  ".join(f"{name} {value:.4g}" for name, value in one["metrics"].items() if name in HEADLINES)
        typer.echo(f"{one['model']:24} {one['number']:>3}  {one['key'][:16]}  {one['state']:9}  {figures}")
    if not found:
        typer.echo("no model is trained yet; run `stellar train`")


@app.command()
def show(model: Reference, as_json: AsJson = False) -> None:
    """One version: state, reasons, figures, aliases, training snapshots, and the model's promotion log."""
    from stellar import flow
    from stellar.registry import promotion, versions

    with flow.open_context() as ctx:
        version = _resolve(ctx.engine, model)
        about = _summary(ctx.engine, version) | {
            "aliases": versions.list_aliases(ctx.engine, version.model),
            "slices": [vars(row) for row in versions.metrics_of(ctx.engine, version.key) if row.slice != "all"],
            "config": version.config,
            "history": [
                {**vars(line), "promoted_at": line.promoted_at.isoformat()}
                for line in promotion.history(ctx.engine, version.model)
            ],
        }
    if as_json:
        typer.echo(json.dumps(about, indent=1))
        return
    for key in (
        "model",
        "number",
        "key",
        "state",
        "state_reason",
        "architecture",
        "trained_at",
        "training_rows",
        "seed",
    ):
        typer.echo(f"{key:14} {about[key]}")
    typer.echo("metrics")
    for name, value in about["metrics"].items():
        typer.echo(f"  {name:24} {value:.4g}")
    typer.echo("promotions")
    for line in about["history"]:
        before = (line["from_version"] or "none")[:16]
        typer.echo(
            f"  {line['promoted_at'][:19]}  {before} -> {line['to_version'][:16]}  {line['who']}: {line['reason']}"
        )


@app.command()
def card(model: Reference) -> None:
    """The version's model card, in Markdown, and what the registry decided about it."""
    from stellar import flow
    from stellar.registry.store import ArtifactStore

    with flow.open_context() as ctx:
        version = _resolve(ctx.engine, model)
        folder = ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256)
    typer.echo((folder / "card.md").read_text(encoding="utf-8"))
    typer.echo(f"## Registry\n\n{version.state}: {version.state_reason}\n\nPlots and files: `{folder}`")


@app.command()
def compare(
    models: Annotated[list[str], typer.Argument(metavar="MODEL[@ALIAS|@NUMBER|@KEY]...", help="Two or more")],
    seed: Annotated[int, typer.Option(help="Of the bootstrap")] = 0,
    as_json: AsJson = False,
) -> None:
    """Versions side by side on the test examples that they share, with paired differences from the first."""
    from stellar import flow
    from stellar.errors import InputError
    from stellar.registry.store import ArtifactStore
    from stellar.training.compare import compare_versions

    if len(models) < 2:
        raise InputError("name two versions or more; `stellar models list` shows them")
    with flow.open_context() as ctx:
        chosen = [_resolve(ctx.engine, model) for model in models]
        found = compare_versions(ArtifactStore(ctx.settings.artifacts), chosen, seed)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=1))
        return
    typer.echo(f"{found[0].examples} test examples that all were tested on; 95% bootstrap intervals over stars")
    for one in found:
        typer.echo(one.version)
        for name, figure in one.figures.items():
            text = f"  {name:10} {figure.value:.4g} [{figure.lower:.4g}, {figure.upper:.4g}]"
            if name in one.minus_first:
                paired = one.minus_first[name]
                text += f"   minus the first {paired.value:+.4g} [{paired.lower:+.4g}, {paired.upper:+.4g}]"
            typer.echo(text)


@app.command()
def promote(model: Reference, reason: Reason) -> None:
    """Make a version current, whatever its policy said."""
    from stellar import flow
    from stellar.ledger.history import write_model
    from stellar.registry import promotion

    with flow.open_context() as ctx:
        version = _resolve(ctx.engine, model)
        changed = promotion.promote(ctx.engine, version.model, version.key, who=getpass.getuser(), reason=reason)
        write_model(ctx.engine, ctx.settings.artifacts, version.model)
    typer.echo(f"{version.model}@{version.number} is current" + ("" if changed else " already"))


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    reason: Reason,
    to: Annotated[str | None, typer.Option(help="Version number, alias or key; the one before when not given")] = None,
) -> None:
    """Make the version before the current one current again."""
    from stellar import flow
    from stellar.ledger.history import write_model
    from stellar.registry import promotion

    with flow.open_context() as ctx:
        target = _resolve(ctx.engine, f"{model}@{to}").key if to else None
        key = promotion.rollback(ctx.engine, model, who=getpass.getuser(), reason=reason, to=target)
        write_model(ctx.engine, ctx.settings.artifacts, model)
    typer.echo(f"{model}: {key[:16]} is current again")


@app.command()
def alias(model: Reference, name: Annotated[str, typer.Argument(help="Alias")], reason: Reason) -> None:
    """Point an alias at a version, to be used as MODEL@ALIAS."""
    from stellar import flow
    from stellar.ledger.history import write_model
    from stellar.registry import promotion

    with flow.open_context() as ctx:
        version = _resolve(ctx.engine, model)
        promotion.set_alias(ctx.engine, version.model, name, version.key, who=getpass.getuser(), reason=reason)
        write_model(ctx.engine, ctx.settings.artifacts, version.model)
    typer.echo(f"{version.model}@{name} is {version.model}@{version.number}")


def _resolve(engine: Any, reference: str) -> Any:
    from stellar.registry import versions

    found = versions.resolve(engine, reference)
    if found.warning:
        typer.echo(f"warning: {found.warning}", err=True)
    return found.version


def _summary(engine: Any, version: Any) -> dict[str, Any]:
    from stellar.registry import versions

    figures = [row for row in versions.metrics_of(engine, version.key) if row.slice == "all" and row.split == "test"]
    return {
        "model": version.model,
        "number": version.number,
        "key": version.key,
        "state": version.state,
        "state_reason": version.state_reason,
        "architecture": version.architecture,
        "features": version.config["features"],
        "trained_at": version.created_at.isoformat(),
        "training_rows": version.training_rows,
        "training_s": version.training_s,
        "seed": version.seed,
        "artifact_sha256": version.artifact_sha256,
        "metrics": {row.name: row.value for row in figures if row.name != "examples"},
    }
