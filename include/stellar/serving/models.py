"""The registry as its page shows it: models, their versions, figures, history, cards; versions side by side."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from stellar.errors import InputError
from stellar.registry import promotion, versions
from stellar.serving.plain import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stellar.registry.versions import MetricRow, Version
    from stellar.settings import Settings

#: What stands for a version where its policy names no metric of its own.
HEADLINES = ("accuracy", "mae", "subtype_mae", "macro_f1")
MOST_COMPARED = 8  # a paired bootstrap each; more cannot be read side by side either

_MODELS = sa.text("SELECT name, family, target, description FROM registry.model ORDER BY family, name")
_SOURCES = sa.text("""
    SELECT e.role, e.parent AS snapshot, s.dataset, s.state, s.rows
      FROM lineage.edge e JOIN lake.snapshot s ON s.key = e.parent
     WHERE e.child = :key ORDER BY s.dataset""")
_USED = sa.text("""
    SELECT e.child AS snapshot, s.dataset, s.state, s.rows, s.state_at AS since
      FROM lineage.edge e JOIN lake.snapshot s ON s.key = e.child
     WHERE e.parent = :key AND e.child_kind = 'snapshot' ORDER BY s.state_at DESC LIMIT 20""")


def models(engine: sa.Engine) -> list[dict[str, Any]]:
    """Every model with its current version and the figure that its policy judges first.

    Returns
    -------
    list of dict
        ``name, family, target, description, versions`` (how many by state) and ``current, newest`` (as `summary`).
    """
    with engine.connect() as connection:
        known = [dict(row) for row in connection.execute(_MODELS).mappings()]
    every = versions.list_versions(engine)
    found = []
    for model in known:
        own = [one for one in every if one.model == model["name"]]
        current = next((one for one in own if one.state == versions.CURRENT), None)
        states = [one.state for one in own]
        found.append(
            {
                **model,
                "versions": {state: states.count(state) for state in sorted(set(states))},
                "current": summary(engine, current) if current else None,
                "newest": summary(engine, own[0]) if own else None,
            }
        )
    return found


def model(engine: sa.Engine, name: str) -> dict[str, Any]:
    """One model: its versions newest first, aliases, and who moved which alias when, why and on what evidence.

    Raises
    ------
    InputError
        When the registry has no such model.
    """
    with engine.connect() as connection:
        rows = connection.execute(_MODELS).mappings().all()
        logged = connection.execute(
            sa.text("SELECT DISTINCT alias FROM registry.promotion WHERE model = :name"), {"name": name}
        ).scalars()
        aliases = list(logged)
    about = next((dict(row) for row in rows if row["name"] == name), None)
    if about is None:
        raise InputError(f"no model {name!r}; there are {', '.join(row['name'] for row in rows) or 'none yet'}")
    own = versions.list_versions(engine, name)
    numbers = {one.key: one.number for one in own}
    log = [asdict(line) for alias in aliases for line in promotion.history(engine, name, alias)]
    log.sort(key=lambda line: -line["id"])
    for line in log:
        line["from_number"], line["to_number"] = numbers.get(line["from_version"]), numbers.get(line["to_version"])
    return {
        **about,
        "versions": [summary(engine, one) for one in own],
        "aliases": [
            {"alias": alias, "version": key, "number": numbers.get(key)}
            for alias, key in versions.list_aliases(engine, name).items()
        ],
        "history": plain(log),
    }


def version(engine: sa.Engine, reference: str) -> dict[str, Any]:
    """One version, by key or as `stellar models` takes it: what it was made of and of what, all figures, its config."""
    one = find(engine, reference)
    with engine.connect() as connection:
        sources, used = (
            [plain(dict(row)) for row in connection.execute(query, {"key": one.key}).mappings()]
            for query in (_SOURCES, _USED)
        )
    figures = sorted(versions.metrics_of(engine, one.key), key=lambda row: (row.split != "test", row.split))
    return {
        **summary(engine, one),
        "policy": policy_says(engine, one),
        "seed": one.seed,
        "code_version": one.code_version,
        "frame_hash": one.frame_hash,
        "artifact_sha256": one.artifact_sha256,
        "config": plain(one.config),
        "metrics": [plain(vars(row)) for row in figures],
        "sources": sources,
        "used_by": used,
    }


def find(engine: sa.Engine, reference: str) -> Version:
    """The version of a key (8 hex or more) or of a reference `MODEL`, `MODEL@ALIAS`, `MODEL@NUMBER`, `MODEL@KEY`."""
    if "@" in reference:
        return versions.resolve(engine, reference).version
    found = [one for one in versions.list_versions(engine) if len(reference) >= 8 and one.key.startswith(reference)]
    return found[0] if len(found) == 1 else versions.resolve(engine, reference).version


def summary(engine: sa.Engine, one: Version) -> dict[str, Any]:
    """What a list shows of a version."""
    return {
        "key": one.key,
        "model": one.model,
        "number": one.number,
        "state": one.state,
        "state_reason": one.state_reason,
        "architecture": one.architecture,
        "features": one.config.get("features"),
        "trained_at": one.created_at.isoformat(),
        "training_rows": one.training_rows,
        "training_s": one.training_s,
        "headline": _headline(one, versions.metrics_of(engine, one.key)),
    }


def _headline(one: Version, figures: Sequence[MetricRow]) -> dict[str, Any] | None:
    """The figure on all test examples that the policy names first, else one that is common to its kind."""
    known = {row.name: row for row in figures if row.split == "test" and row.slice == "all"}
    wanted = [str(rule["metric"]) for rule in one.config.get("policy", ())]
    name = next((name for name in (*wanted, *HEADLINES, *known) if name in known), None)
    return plain(vars(known[name])) if name else None


def policy_says(engine: sa.Engine, one: Version) -> dict[str, Any]:
    """What the promotion policy decided about a version when it was registered.

    Returns
    -------
    dict
        ``verdict``: ``passed``, ``refused`` or ``none`` (nobody judged it: a version from elsewhere); ``reasons``, one
        sentence per rule; ``rules``, the config's.
    """
    rules = one.config.get("policy", [])
    first = next((line for line in promotion.history(engine, one.model) if line.to_version == one.key), None)
    if first is not None and (told := first.evidence.get("rules")):
        reasons = [f"{'passed' if rule['passed'] else 'failed'}: {rule['reason']}" for rule in told]
        return {"verdict": "passed", "reasons": reasons, "rules": rules}  # what it refuses, it does not promote
    if first is not None and (told := first.evidence.get("policy")):
        return {**told, "rules": rules}
    refused = one.state == "rejected"
    reasons = re.split(r"; (?=failed: )", one.state_reason) if one.state_reason else []
    return {"verdict": "refused" if refused else "none", "reasons": reasons, "rules": rules}


def compare(settings: Settings, engine: sa.Engine, references: Sequence[str], seed: int = 0) -> list[dict[str, Any]]:
    """Versions on the test examples that all of them were tested on, with paired differences from the first.

    What `stellar models compare` prints, by the same function and seed.

    Raises
    ------
    InputError
        When fewer than two or too many are named, they tell different things, or share no test example.
    """
    from stellar.registry.store import ArtifactStore
    from stellar.training.compare import compare_versions

    if not 2 <= len(set(references)) <= MOST_COMPARED:
        raise InputError(f"name two to {MOST_COMPARED} different versions to compare, not {len(set(references))}")
    chosen = [find(engine, reference) for reference in references]
    return plain([asdict(one) for one in compare_versions(ArtifactStore(settings.artifacts), chosen, seed)])


def card(settings: Settings, engine: sa.Engine, reference: str) -> dict[str, Any]:
    """A version's model card in Markdown, and whether it has a report."""
    folder = artifact(settings, find(engine, reference))
    path = folder / "card.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else None
    return {"markdown": text, "report": (folder / "report.html").is_file()}


def report(settings: Settings, engine: sa.Engine, reference: str) -> Path:
    """Path of a version's report, as `stellar models report` names it.

    Raises
    ------
    InputError
        When the version was trained before reports were written.
    """
    from stellar.training.report_copy import report_in

    one = find(engine, reference)
    return report_in(artifact(settings, one), one)


def artifact(settings: Settings, one: Version) -> Path:
    """Folder of a version's artifact, its files checked against its hash."""
    from stellar.registry.store import ArtifactStore

    return ArtifactStore(settings.artifacts).get(one.artifact_sha256)
