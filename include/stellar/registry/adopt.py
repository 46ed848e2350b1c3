"""A version that another home exported, as a candidate of this one's registry.

Its key here is made of the artifact's address and the exporter's key: what a folder says of itself can be checked
against itself alone, so it is never taken for a version that this home trained.
"""

from __future__ import annotations

import hashlib
import math
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from stellar.errors import InputError, IntegrityError
from stellar.registry.bundle import Bundle
from stellar.registry.description import check_description
from stellar.registry.manifest import BUNDLE, CONFIG, KIND, MANIFEST, REGISTRY, read_json, read_manifest, take
from stellar.registry.store import ArtifactStore, address_of, list_files
from stellar.registry.versions import (
    MetricRow,
    NewVersion,
    Version,
    find_version,
    get_version,
    insert_candidate,
    lock_model,
    target_of,
)

_KEY = re.compile(r"[0-9a-f]{64}")
_REGISTRY_FIELDS: dict[str, Any] = {
    "family": str, "target": str, "description": str, "seed": int, "frame_hash": str,
    "training_rows": (int, type(None)), "training_s": (int, float, type(None)), "snapshots": dict, "sources": list,
    "figures": list,
}  # fmt: skip


@dataclass(frozen=True)
class Adopted:
    """What an import did: the version, and whether it was there before."""

    version: Version
    found: bool


def import_model(
    engine: sa.Engine,
    artifacts: Path,
    folder: Path,
    *,
    who: str,
    check_config: Callable[[Mapping[str, Any]], None],
    run_id: str | None = None,
) -> Adopted:
    """Check a folder whole, and register it as a candidate.

    Parameters
    ----------
    artifacts : Path
        The home's artifact store.
    check_config : callable
        Raises where a model's configuration is none that this version of the platform reads.

    Raises
    ------
    InputError
        When the folder is no export of a format that is read here, or its model's name stands for another target.
    IntegrityError
        When anything of it is not what it says: files, hashes, libraries, descriptions. Nothing is registered then.
    """
    manifest = read_manifest(folder, KIND)
    _check_libraries(folder / MANIFEST, manifest.get("libraries"))
    with tempfile.TemporaryDirectory(prefix="stellar-import-") as scratch:
        copy = Path(scratch)
        take(folder, manifest, copy)
        new = _checked(folder, copy, manifest, who, check_config)
        if (known := _found(engine, manifest, new)) is not None:
            return Adopted(known, True)
        ArtifactStore(artifacts).put(copy / BUNDLE)
    with engine.begin() as connection:
        said = target_of(connection, new.model)
        if said is not None and said != (new.family, new.target):
            raise InputError(
                f"{folder}: model {new.model} predicts {new.target} from {new.family}, and this home's model of that "
                f"name {said[1]} from {said[0]}; it is another model, so it cannot be a version of that one"
            )
        lock_model(connection, new.model, family=new.family, target=new.target, description=new.description,
                   create=said is None)  # fmt: skip
        if (known := get_version(connection, new.key)) is not None:
            return Adopted(known, True)
        reason = f"imported from {folder.name}, exported by version key {new.config['imported']['version'][:16]}"
        insert_candidate(connection, new, reason, run_id)
    registered = find_version(engine, new.key)
    assert registered is not None
    return Adopted(registered, False)


def _checked(
    folder: Path, copy: Path, manifest: Mapping[str, Any], who: str, check_config: Callable[[Mapping[str, Any]], None]
) -> NewVersion:
    """The version that a folder holds, after all of it was found to agree."""
    for name in (CONFIG, REGISTRY, f"{BUNDLE}/config.json", f"{BUNDLE}/bundle.json"):
        if name not in manifest["files"]:
            raise IntegrityError(f"{folder}: {MANIFEST} lists no {name}, so it is no whole export; export it again")
    try:
        listing = list_files(copy / BUNDLE)
    except InputError as fault:
        raise IntegrityError(str(fault).replace(str(copy), str(folder))) from None
    address = address_of(listing)
    if address != manifest.get("artifact_sha256"):
        raise IntegrityError(f"{folder / BUNDLE}: its files are not the artifact that {MANIFEST} names; get it again")
    config = read_json(copy / BUNDLE / "config.json")
    check_config(config)
    try:
        bundle = Bundle.load(copy / BUNDLE)
        check_description(read_json(copy / CONFIG), bundle, str(folder / CONFIG))
    except (IntegrityError, InputError) as fault:
        raise IntegrityError(str(fault).replace(str(copy), str(folder))) from None
    except (
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as fault:  # a part lacks, or is another thing
        raise IntegrityError(f"{folder / BUNDLE}: cannot be read ({type(fault).__name__}: {fault})") from None
    said = [manifest.get("model"), config.get("name"), manifest.get("architecture")]
    key = str(manifest.get("version"))
    if said != [bundle.meaning.model, bundle.meaning.model, bundle.model.architecture] or not _KEY.fullmatch(key):
        raise IntegrityError(f"{folder / MANIFEST}: model, version or architecture is not the bundle's; get it again")
    about = _registry(folder / REGISTRY, read_json(copy / REGISTRY))
    origin = {
        "by": who,
        "from": folder.name,
        "version": key,
        "code_version": str(manifest.get("code_version")),
        "platform_version": str(manifest.get("platform_version")),
        "libraries": manifest.get("libraries"),
        "snapshots": about["snapshots"],
        "sources": about["sources"],
    }
    return NewVersion(
        key=hashlib.sha256(f"imported {key} {address}".encode()).hexdigest(),
        model=bundle.meaning.model,
        family=about["family"],
        target=about["target"],
        description=about["description"],
        architecture=bundle.model.architecture,
        config={**config, "reads": list(bundle.reads), "imported": origin},
        code_version=str(manifest.get("code_version")),
        seed=about["seed"],
        frame_hash=about["frame_hash"],
        artifact_sha256=address,
        artifact_files={name: digest for name, digest, _ in listing},
        training_rows=about["training_rows"],
        training_s=about["training_s"],
        metrics=tuple(_figures(folder / REGISTRY, about["figures"])),
        snapshots={},  # they are another home's; their keys stand in the configuration's `imported`
    )


def _found(engine: sa.Engine, manifest: Mapping[str, Any], new: NewVersion) -> Version | None:
    """The version that is here already: imported before, or this home's own that was exported."""
    own = find_version(engine, str(manifest["version"]))
    if own is not None and own.artifact_sha256 == new.artifact_sha256:
        return own
    return find_version(engine, new.key)


def _registry(path: Path, about: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, kind in _REGISTRY_FIELDS.items():
        if name not in about or not isinstance(about[name], kind):
            raise IntegrityError(f"{path}: {name} is missing or of another type; get the folder again")
    return about


def _figures(path: Path, rows: list[Any]) -> list[MetricRow]:
    try:
        found = [MetricRow(**row) for row in rows]
        numbers = [value for row in found for value in (row.value, row.lower, row.upper) if value is not None]
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
            raise TypeError("a figure is no number")
    except TypeError as fault:
        raise IntegrityError(f"{path}: figures cannot be read ({fault}); get the folder again") from None
    return found


def _check_libraries(path: Path, recorded: Any) -> None:
    """As `load_model` checks a model's own, before anything of the folder is opened."""
    if not isinstance(recorded, dict):
        raise IntegrityError(f"{path}: `libraries` is missing; get the folder again")
    for name, version in recorded.items():
        try:
            installed = metadata.version(name)
        except (metadata.PackageNotFoundError, ValueError):
            raise IntegrityError(f"{path}: written with {name} {version}, which is not installed") from None
        if installed.partition(".")[0] != str(version).partition(".")[0]:
            raise IntegrityError(
                f"{path}: written with {name} {version}, and {installed} is installed; install {name} "
                f"{str(version).partition('.')[0]}.x, or train the model here"
            )
