"""One model version as a folder in the layout of the Hub's model repositories.

The same version gives the same bytes:

    README.md       model card with the Hub's metadata
    config.json     inputs, outputs, units, classes (`stellar.registry.description`)
    features.json   the inputs in order
    metrics.json    figures of the test part
    model.onnx      where the architecture has a converter (`stellar.registry.onnx_export`)
    bundle/         the version's artifact, file by file as the store holds it
    boosters/       XGBoost's UBJ files of the bundle as JSON
    registry.json   what another registry needs to know of the version
    LICENSE.md      terms of the data
    MANIFEST.json   size and SHA-256 of each of these (`stellar.registry.manifest`)
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from stellar import __version__
from stellar.errors import InputError
from stellar.licences import FILE as LICENCE_FILE
from stellar.licences import licence_text
from stellar.registry.bundle import Bundle
from stellar.registry.description import describe
from stellar.registry.hub_card import OTHER, model_card
from stellar.registry.manifest import BUNDLE, CONFIG, KIND, ONNX, REGISTRY, check_free, clear, holds, write_manifest
from stellar.registry.store import list_files
from stellar.registry.versions import MetricRow, Version

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{1,39}")


@dataclass(frozen=True)
class Subject:
    """What is exported.

    Attributes
    ----------
    artifact : Path
        The version's folder in the artifact store, checked.
    figures : sequence of MetricRow
        All that the registry has of the version.
    sources : sequence of mapping
        As `stellar.ledger.lineage.sources_of` gives them.
    snapshots : mapping
        Role in the training frame -> snapshot key.
    schema : sequence of mapping, optional
        Columns of the features' dataset (`stellar.lake.schema.describe`).
    datasets : sequence of str
        Repositories of the Hub that hold the data.
    """

    version: Version
    family: str
    target: str
    description: str
    artifact: Path
    figures: Sequence[MetricRow]
    sources: Sequence[Mapping[str, Any]]
    snapshots: Mapping[str, str]
    schema: Sequence[Mapping[str, str]] | None = None
    datasets: Sequence[str] = field(default=())
    licence: str = OTHER


def export_model(subject: Subject, folder: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Write the folder, whole or not at all.

    Parameters
    ----------
    overwrite : bool
        Whether an earlier export in the folder is replaced. Anything else in it is never touched.

    Returns
    -------
    dict
        ``model, version, folder, files, bytes, onnx`` (why there is none, or None).

    Raises
    ------
    InputError
        When the folder holds something, or the licence is no identifier.
    """
    if not _LICENCE.fullmatch(subject.licence):
        raise InputError(
            f"--licence {subject.licence}: give an identifier of the Hub such as apache-2.0, cc-by-4.0 or `{OTHER}`"
        )
    check_free(folder, overwrite=overwrite, is_ours=holds(folder, KIND), what="export of a model")
    draft = folder / f".export-{uuid.uuid4().hex}"
    draft.mkdir(parents=True)
    try:
        why = _fill(draft, subject)
        if overwrite:
            clear(folder, keep=draft)
        for part in sorted(draft.iterdir()):
            part.rename(folder / part.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    files = [one for one in folder.rglob("*") if one.is_file()]
    return {
        "model": subject.version.model,
        "version": subject.version.key,
        "folder": str(folder),
        "files": len(files),
        "bytes": sum(one.stat().st_size for one in files),
        "onnx": why,
    }


def _fill(folder: Path, subject: Subject) -> str | None:
    """Write every file; returns why there is no ONNX."""
    version = subject.version
    shutil.copytree(subject.artifact, folder / BUNDLE)
    bundle = Bundle.load(folder / BUNDLE)
    onnx = _write_onnx(folder, bundle, version.key)
    _write_boosters(folder)
    config = describe(bundle, version.key, subject.schema, onnx)
    _write(folder / CONFIG, config)
    _write(folder / "features.json", config["features"])
    shutil.copyfile(folder / BUNDLE / "metrics.json", folder / "metrics.json")
    _write(folder / REGISTRY, _registry(subject))
    own = (
        "The publisher has not chosen a licence for the model itself; what follows are the terms of the data."
        if subject.licence == OTHER
        else f"The model itself: {subject.licence}, chosen by its publisher. What follows are the terms of the data."
    )
    (folder / LICENCE_FILE).write_text(licence_text(subject.sources, own), encoding="utf-8")
    card = model_card(
        bundle,
        config,
        json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
        (folder / BUNDLE / "card.md").read_text(encoding="utf-8"),
        licence=subject.licence,
        datasets=subject.datasets,
        sources=subject.sources,
        plots=sorted(one.name for one in (folder / BUNDLE).glob("*.png")),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    write_manifest(
        folder,
        {
            "kind": KIND,
            "model": version.model,
            "version": version.key,
            "architecture": version.architecture,
            "code_version": version.code_version,
            "platform_version": __version__,
            "artifact_sha256": version.artifact_sha256,
            "libraries": libraries_of(folder / BUNDLE),
            "licence": subject.licence,
        },
    )
    return onnx.get("why_not")


def libraries_of(bundle: Path) -> dict[str, str]:
    """Versions of the libraries that the weights were written with, of members of a blend too."""
    found: dict[str, str] = {}
    for path in sorted((bundle / "model").rglob("model.json")):
        found |= json.loads(path.read_text(encoding="utf-8"))["libraries"]
    return dict(sorted(found.items()))


def _write_onnx(folder: Path, bundle: Bundle, key: str) -> dict[str, Any]:
    from stellar.registry.onnx_export import INPUT, to_onnx, why_not

    if why := why_not(bundle):
        return {"file": None, "why_not": why}
    model = to_onnx(bundle, {"model": bundle.meaning.model, "version": key})
    (folder / ONNX).write_bytes(model.SerializeToString(deterministic=True))
    return {
        "file": ONNX,
        "written_with": metadata.version("onnx"),
        "input": {
            "name": INPUT,
            "type": "float32",
            "missing": "NaN",
            "columns": "the model's prepared columns: `features`, in their order",
        },
        "outputs": [one.name for one in model.graph.output],
    }


def _write_boosters(folder: Path) -> None:
    for path in sorted((folder / BUNDLE / "model").rglob("*.ubj")):
        import xgboost as xgb

        target = folder / "boosters" / path.relative_to(folder / BUNDLE / "model").with_suffix(".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(xgb.Booster(model_file=path).save_raw("json"))


def _registry(subject: Subject) -> dict[str, Any]:
    version = subject.version
    return {
        "family": subject.family,
        "target": subject.target,
        "description": subject.description,
        "seed": version.seed,
        "frame_hash": version.frame_hash,
        "training_rows": version.training_rows,
        "training_s": version.training_s,
        "snapshots": dict(subject.snapshots),
        "sources": [dict(one) for one in subject.sources],
        "artifact_files": {name: digest for name, digest, _ in list_files(subject.artifact)},
        "figures": [asdict(row) for row in subject.figures],
    }


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
