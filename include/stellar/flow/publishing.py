"""Models out of a home and into another one, and what is recorded of where they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from stellar.engine.context import Context
from stellar.errors import IntegrityError
from stellar.lake.read import Catalog
from stellar.lake.schema import describe
from stellar.ledger.history import write_model
from stellar.ledger.lineage import sources_of
from stellar.registry.adopt import Adopted
from stellar.registry.versions import Version, metrics_of, target_of

_PARENTS = sa.text("""
    SELECT e.role, e.parent, s.path, s.files_removed_at IS NULL AS is_there
      FROM lineage.edge e JOIN lake.snapshot s ON s.key = e.parent WHERE e.child = :key ORDER BY e.role""")


def export_model(
    ctx: Context,
    version: Version,
    folder: Path,
    *,
    licence: str = "other",
    datasets: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a version as a folder for the Hub; see `stellar.registry.publish`.

    Parameters
    ----------
    licence : str
        Of the model itself: an identifier of the Hub.
    datasets : sequence of str
        Repositories of the Hub that hold the data, for the card.

    Returns
    -------
    dict
        ``model, version, folder, files, bytes, onnx``.
    """
    from stellar.registry.publish import Subject
    from stellar.registry.publish import export_model as write
    from stellar.registry.store import ArtifactStore

    imported = version.config.get("imported") or {}
    with ctx.engine.connect() as connection:
        parents = [dict(row) for row in connection.execute(_PARENTS, {"key": version.key}).mappings()]
        said = target_of(connection, version.model)
        description = connection.execute(
            sa.text("SELECT description FROM registry.model WHERE name = :name"), {"name": version.model}
        ).scalar_one()
    assert said is not None
    subject = Subject(
        version=version,
        family=said[0],
        target=said[1],
        description=description,
        artifact=ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256),
        figures=metrics_of(ctx.engine, version.key),
        sources=sources_of(ctx.engine, version.key) or imported.get("sources", []),
        snapshots={one["role"]: one["parent"] for one in parents} or imported.get("snapshots", {}),
        schema=_schema(ctx, parents),
        datasets=datasets,
        licence=licence,
    )
    return write(subject, folder, overwrite=overwrite)


def import_model(ctx: Context, folder: Path, *, who: str) -> Adopted:
    """Register an exported folder as a candidate version; see `stellar.registry.adopt`."""
    from stellar.registry.adopt import import_model as adopt

    made = adopt(ctx.engine, ctx.settings.artifacts, folder, who=who, check_config=_check_config, run_id=ctx.run_id)
    write_model(ctx.engine, ctx.settings.artifacts, made.version.model)
    return made


def _schema(ctx: Context, parents: Sequence[Mapping[str, Any]]) -> list[dict[str, str]] | None:
    """Columns of the features that a version learned from, while their files are there."""
    for one in parents:
        if one["role"] == "features" and one["is_there"]:
            return describe(Catalog(ctx.settings.lake / one["path"]).schema)
    return None


def _check_config(config: Mapping[str, Any]) -> None:
    from stellar.training.config import ModelConfig

    own = {name: value for name, value in config.items() if name not in ("imported", "reads")}
    target = own.get("target")
    bands = target.get("bands") if isinstance(target, dict) else None
    if isinstance(bands, dict) and all(isinstance(edge, int | float) for edge in bands.values()):
        # the file's keys are sorted, so the order of the bands is lost in it
        own["target"] = {**own["target"], "bands": dict(sorted(bands.items(), key=lambda one: one[1]))}
    try:
        ModelConfig.model_validate(own)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise IntegrityError(
            f"bundle/config.json: {where}: {first['msg']}; it was written by another version of the platform"
        ) from None
