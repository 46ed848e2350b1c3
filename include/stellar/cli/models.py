"""`stellar models`: versions, their figures and cards, and which of them is current."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from pathlib import Path
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
    if origin := version.config.get("imported"):
        typer.echo(
            f"{'imported':14} from {origin['from']} by {origin['by']}; exported by version {origin['version'][:16]}"
        )
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
def report(
    model: Reference,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write a copy, with the registry's verdict")
    ] = None,
) -> None:
    """The version's report, one HTML page: its path, or a copy that says how it stands beside the current version."""
    from stellar import flow
    from stellar.registry.store import ArtifactStore
    from stellar.training.report_copy import copy_of, report_in

    with flow.open_context() as ctx:
        version = _resolve(ctx.engine, model)
        path = report_in(ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256), version)
        if out is not None:
            path = copy_of(ctx.engine, version, path, out.absolute())
    typer.echo(path)


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
    from stellar.serving import model_acts

    with flow.open_context() as ctx:
        key = _resolve(ctx.engine, model).key
        made = model_acts.promote(ctx.settings, ctx.engine, key, who=getpass.getuser(), reason=reason, over_policy=True)
    typer.echo(f"{made['model']}@{made['number']} is current" + ("" if made["changed"] else " already"))


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    reason: Reason,
    to: Annotated[str | None, typer.Option(help="Version number, alias or key; the one before when not given")] = None,
) -> None:
    """Make the version before the current one current again."""
    from stellar import flow
    from stellar.serving import model_acts

    with flow.open_context() as ctx:
        target = _resolve(ctx.engine, f"{model}@{to}").key if to else None
        made = model_acts.rollback(ctx.settings, ctx.engine, model, who=getpass.getuser(), reason=reason, to=target)
    typer.echo(f"{model}: {made['key'][:16]} is current again")


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


@app.command("export")
def export_model(
    model: Reference,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder")],
    licence: Annotated[
        str, typer.Option(help="Of the model itself, as the Hub names it (apache-2.0, cc-by-4.0); your choice")
    ] = "other",
    dataset: Annotated[
        list[str] | None, typer.Option(help="USER/NAME of the Hub that holds the data, for the card; may be repeated")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in DIR")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a version as a folder for the Hugging Face Hub: card, bundle, ONNX, manifest. Nothing is uploaded."""
    from stellar import flow

    with flow.open_context() as ctx:
        version = _resolve(ctx.engine, model)
        made = flow.export_model(
            ctx, version, folder.absolute(), licence=licence, datasets=dataset or [], overwrite=overwrite
        )
    if as_json:
        typer.echo(json.dumps(made, indent=1))
        return
    typer.echo(f"{made['folder']}: {version}, {made['files']} files, {made['bytes']:,} bytes")
    if made["onnx"]:
        typer.echo(f"no model.onnx: {made['onnx']}", err=True)


@app.command("import")
def import_model(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `stellar models export` wrote")],
    as_json: AsJson = False,
) -> None:
    """Register an exported version of another home as a candidate here; `stellar models promote` makes it current."""
    from stellar import flow

    with flow.open_context() as ctx:
        made = flow.import_model(ctx, folder.absolute(), who=getpass.getuser())
    version = made.version
    if as_json:
        typer.echo(json.dumps({**_identity(version), "found": made.found}, indent=1))
        return
    typer.echo(f"{version} " + ("was here already" if made.found else f"is {version.state_reason}"))
    if version.state == "candidate":
        typer.echo(f"make it current: stellar models promote {version.model}@{version.number} --reason …")


def _identity(version: Any) -> dict[str, Any]:
    return {
        "model": version.model,
        "number": version.number,
        "key": version.key,
        "state": version.state,
        "state_reason": version.state_reason,
    }


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
        **_identity(version),
        "architecture": version.architecture,
        "features": version.config["features"],
        "trained_at": version.created_at.isoformat(),
        "training_rows": version.training_rows,
        "training_s": version.training_s,
        "seed": version.seed,
        "artifact_sha256": version.artifact_sha256,
        "metrics": {row.name: row.value for row in figures if row.name != "examples"},
    }
