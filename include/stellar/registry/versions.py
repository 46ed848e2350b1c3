"""Model versions in the ledger: registering one, finding one by a reference, listing them with their metrics."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from stellar.errors import LedgerError
from stellar.ledger.snapshots import add_edges

CURRENT = "current"
_COLUMNS = """key, model, number, state, state_reason, architecture, config, code_version, seed, frame_hash,
    artifact_sha256, training_rows, training_s, created_at"""


@dataclass(frozen=True)
class Version:
    """One row of `registry.version`. `config` is the configuration that it was trained with, whole."""

    key: str
    model: str
    number: int
    state: str
    state_reason: str | None
    architecture: str
    config: dict[str, Any]
    code_version: str
    seed: int
    frame_hash: str
    artifact_sha256: str
    training_rows: int | None
    training_s: float | None
    created_at: datetime

    def __str__(self) -> str:
        return f"{self.model}@{self.number} ({self.key[:16]}, {self.state})"


@dataclass(frozen=True)
class Resolved:
    """What a reference means; `warning` says so where it is not a promoted version that was asked for."""

    version: Version
    warning: str | None = None


@dataclass(frozen=True)
class MetricRow:
    """One figure in long form; `slice` is `all`, `class=<name>` or `<column>=<range>`."""

    name: str
    value: float
    lower: float | None = None
    upper: float | None = None
    n: int | None = None
    split: str = "test"
    slice: str = "all"


@dataclass(frozen=True)
class NewVersion:
    """What is registered: identity, artifact, figures and the snapshots that it was trained from."""

    key: str
    model: str
    family: str
    target: str
    description: str
    architecture: str
    config: dict[str, Any]
    code_version: str
    seed: int
    frame_hash: str
    artifact_sha256: str
    artifact_files: dict[str, str]
    training_rows: int | None
    training_s: float | None
    metrics: tuple[MetricRow, ...]
    snapshots: dict[str, str]
    """Role in the training frame -> snapshot key."""


def find_version(engine: sa.Engine, key: str) -> Version | None:
    """The version of this key, if it is registered."""
    with engine.connect() as connection:
        return _one(connection, "where key = :key", {"key": key})


def current(engine: sa.Engine, model: str) -> Version | None:
    """The promoted version of a model, if there is one."""
    with engine.connect() as connection:
        return _one(connection, "where model = :model and state = 'current'", {"model": model})


def list_versions(engine: sa.Engine, model: str | None = None) -> list[Version]:
    """Versions of one model, or of all, newest first."""
    condition = "where model = :model" if model else ""
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(f"select {_COLUMNS} from registry.version {condition} order by model, number desc"),  # noqa: S608
            {"model": model} if model else {},
        )
        return [Version(**row) for row in rows.mappings()]


def resolve(engine: sa.Engine, reference: str) -> Resolved:
    """The version that `name`, `name@alias`, `name@number` or `name@key` (8 hex or more) means.

    A bare name means the current version or, where none was promoted, the newest, with a warning.

    Raises
    ------
    LedgerError
        If there is no such model or version; the message lists what there is.
    """
    name, _, wanted = reference.partition("@")
    versions = list_versions(engine, name)
    if not versions:
        known = ", ".join(sorted({version.model for version in list_versions(engine)})) or "none is trained yet"
        raise LedgerError(f"model {name}: nothing is registered under this name; known: {known}. Run `stellar train`")
    if not wanted:
        promoted = next((version for version in versions if version.state == "current"), None)
        if promoted:
            return Resolved(promoted)
        newest = versions[0]
        why = f": {newest.state_reason}" if newest.state_reason else ""
        return Resolved(newest, f"no version of {name} is promoted; {newest} is its newest{why}")
    found = _by_alias(engine, name, wanted, versions)
    if not found and wanted.isdigit() and len(wanted) < 8:
        found = [version for version in versions if version.number == int(wanted)]
    if not found and re.fullmatch(r"[0-9a-f]{8,64}", wanted):
        found = [version for version in versions if version.key.startswith(wanted)]
    if len(found) != 1:
        known = ", ".join(f"{version.number} ({version.key[:8]}, {version.state})" for version in versions)
        problem = "means several versions; give more of the key" if found else "is no alias, number or key of it"
        raise LedgerError(f"model {name}: `{wanted}` {problem}. Versions: {known}")
    state = found[0].state
    return Resolved(found[0], f"{found[0]} is rejected: {found[0].state_reason}" if state == "rejected" else None)


def list_aliases(engine: sa.Engine, model: str) -> dict[str, str]:
    """Alias -> version key."""
    with engine.connect() as connection:
        rows = connection.execute(sa.text("select alias, version from registry.alias where model = :m order by alias"),
                                  {"m": model})  # fmt: skip
        return {row.alias: row.version for row in rows}


def metrics_of(engine: sa.Engine, key: str) -> list[MetricRow]:
    """Every figure of a version; those of all test examples first."""
    query = """select name, value, lower, upper, n, split, slice from registry.metric where version = :key
               order by slice <> 'all', slice, name"""
    with engine.connect() as connection:
        return [MetricRow(**row) for row in connection.execute(sa.text(query), {"key": key}).mappings()]


def insert_version(connection: sa.Connection, new: NewVersion, run_id: str | None) -> None:
    """Write a version as candidate with its metrics and lineage; the caller holds the model's lock (`lock_model`)."""
    record = {
        "key": new.key,
        "model": new.model,
        "architecture": new.architecture,
        "config": json_text(new.config),
        "code_version": new.code_version,
        "seed": new.seed,
        "frame_hash": new.frame_hash,
        "sha256": new.artifact_sha256,
        "files": json_text(new.artifact_files),
        "rows": new.training_rows,
        "seconds": new.training_s,
        "run_id": run_id,
    }
    connection.execute(
        sa.text("""
            insert into registry.version (key, model, number, architecture, config, code_version, seed, frame_hash,
                artifact_sha256, artifact_path, artifact_files, training_rows, training_s, run_id)
            select :key, :model, coalesce(max(number), 0) + 1, :architecture, cast(:config as jsonb), :code_version,
                :seed, :frame_hash, :sha256, :sha256, cast(:files as jsonb), :rows, :seconds, :run_id
            from registry.version where model = :model"""),
        record,
    )
    _insert_metrics(connection, new.key, new.metrics)
    parents = [(parent, "snapshot", role) for role, parent in new.snapshots.items()]
    add_edges(connection, new.key, "version", parents)


def insert_candidate(connection: sa.Connection, new: NewVersion, reason: str, run_id: str | None) -> None:
    """Write a version that no policy judged; it stays a candidate until a person promotes it. As `insert_version`."""
    insert_version(connection, new, run_id)
    connection.execute(
        sa.text("update registry.version set state_reason = :reason where key = :key"),
        {"reason": reason, "key": new.key},
    )


def target_of(connection: sa.Connection, model: str) -> tuple[str, str] | None:
    """Family and target of a model; None where nothing is registered under its name."""
    query = "select family, target from registry.model where name = :name"
    row = connection.execute(sa.text(query), {"name": model}).first()
    return (row.family, row.target) if row else None


def lock_model(connection: sa.Connection, model: str, *, family: str = "", target: str = "", description: str = "",
               create: bool = False) -> None:  # fmt: skip
    """Hold the model's row until the transaction ends, so that two attempts decide one after the other.

    Raises
    ------
    LedgerError
        If there is no such model and `create` is not set.
    """
    if create:
        connection.execute(
            sa.text("""insert into registry.model (name, family, target, description)
                       values (:name, :family, :target, :description)
                       on conflict (name) do update set family = excluded.family, target = excluded.target,
                           description = excluded.description"""),
            {"name": model, "family": family, "target": target, "description": description},
        )
    held = connection.execute(sa.text("select name from registry.model where name = :name for update"), {"name": model})
    if held.first() is None:
        raise LedgerError(f"model {model}: nothing is registered under this name; run `stellar train {model}`")


def get_version(connection: sa.Connection, key: str) -> Version | None:
    """As `find_version`, within a transaction."""
    return _one(connection, "where key = :key", {"key": key})


def json_text(value: Any) -> str:
    """JSON for a jsonb column: NaN and infinities, which JSON has not, become null."""
    return json.dumps(_finite(value), sort_keys=True, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _insert_metrics(connection: sa.Connection, key: str, metrics: Iterable[MetricRow]) -> None:
    rows = [
        {"version": key, "name": row.name, "split": row.split, "slice": row.slice, "value": row.value,
         "lower": row.lower, "upper": row.upper, "n": row.n}
        for row in metrics
        if math.isfinite(row.value)
    ]  # fmt: skip
    if rows:
        connection.execute(
            sa.text("""insert into registry.metric (version, name, split, slice, value, lower, upper, n)
                       values (:version, :name, :split, :slice, :value, :lower, :upper, :n)"""),
            rows,
        )


def _by_alias(engine: sa.Engine, model: str, alias: str, versions: list[Version]) -> list[Version]:
    key = list_aliases(engine, model).get(alias)
    return [version for version in versions if version.key == key]


def _one(connection: sa.Connection, condition: str, values: dict[str, Any]) -> Version | None:
    row = connection.execute(sa.text(f"select {_COLUMNS} from registry.version {condition}"), values)  # noqa: S608
    found = row.mappings().first()
    return Version(**found) if found else None
