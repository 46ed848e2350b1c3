"""Which version is current: registering with the policy's decision, promotion by hand, rollback, other aliases.

Each change is one transaction that holds the model's row, and adds one line to the append-only promotion log: who,
why, from which version to which, with which evidence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from stellar.errors import LedgerError
from stellar.ledger import openlineage as ol
from stellar.registry import versions
from stellar.registry.policy import Decision
from stellar.registry.versions import (
    CURRENT,
    NewVersion,
    Version,
    find_version,
    get_version,
    insert_version,
    json_text,
    lock_model,
)


@dataclass(frozen=True)
class Promotion:
    """One line of the promotion log."""

    id: int
    model: str
    alias: str
    from_version: str | None
    to_version: str
    who: str
    reason: str
    evidence: dict[str, Any]
    promoted_at: datetime


class CurrentChangedError(LedgerError):
    """Another attempt promoted a version after this one was compared with the former; compare again."""


def register(
    engine: sa.Engine,
    new: NewVersion,
    decision: Decision,
    *,
    compared_with: str | None,
    who: str,
    run_id: str | None = None,
) -> Version:
    """Register a version and carry out the decision about it, both or neither.

    A version that is registered already is returned as it is: a second attempt changes nothing.

    Parameters
    ----------
    compared_with
        Key of the version that was current when the decision was made.

    Raises
    ------
    CurrentChangedError
        If another version is current by now.
    """
    with engine.begin() as connection:
        lock_model(
            connection, new.model, family=new.family, target=new.target, description=new.description, create=True
        )
        if (known := get_version(connection, new.key)) is not None:
            return known
        current = _current_key(connection, new.model)
        if current != compared_with:
            raise CurrentChangedError(f"model {new.model}: {current} became current meanwhile; decide again")
        insert_version(connection, new, run_id)
        if decision.promote:
            reason = "; ".join(decision.reasons)
            _move(connection, new.model, CURRENT, current, new.key, who, reason, decision.evidence)
        else:
            failed = "; ".join(reason for reason in decision.reasons if not reason.startswith("passed"))
            _set_state(connection, new.key, "rejected", failed)
    registered = find_version(engine, new.key)
    assert registered is not None
    return registered


def promote(
    engine: sa.Engine, model: str, key: str, *, who: str, reason: str, evidence: dict[str, Any] | None = None
) -> bool:
    """Make a version current by hand, whatever the policy said; False if it was current already."""
    return _promote(engine, model, key, who=who, reason=reason, evidence={"by_hand": True, **(evidence or {})})


def rollback(engine: sa.Engine, model: str, *, who: str, reason: str, to: str | None = None) -> str:
    """Make the version before the current one current again, or version key `to`; returns its key.

    Raises
    ------
    LedgerError
        If none was current before, or `to` never was.
    """
    target = to
    log = history(engine, model)
    if target is None:
        current = versions.current(engine, model)
        stack = _stack(log)
        if current is None or len(stack) < 2:
            raise LedgerError(f"model {model}: no version was current before; see `stellar models show {model}`")
        target = stack[-2]
    elif target not in {line.to_version for line in log}:
        raise LedgerError(
            f"model {model}: version {target} was never current, so there is no way back to it; see `stellar models "
            f"show {model}`, or make it current by `stellar models promote`"
        )
    _promote(engine, model, target, who=who, reason=reason, evidence={"rollback": True})
    return target


def set_alias(engine: sa.Engine, model: str, alias: str, key: str, *, who: str, reason: str) -> None:
    """Point an alias of one's own (`stable`, `paper-2026`) at a version; `current` moves by `promote` alone."""
    if alias == CURRENT or not re.fullmatch(r"[a-z][a-z0-9_-]*", alias) or re.fullmatch(r"[0-9a-f]{8,64}", alias):
        raise LedgerError(
            f"alias `{alias}`: use lower case letters, digits, - and _, and nothing like a key; `current` is moved "
            "by `stellar models promote`"
        )
    with engine.begin() as connection:
        lock_model(connection, model)
        _known(connection, model, key)
        before = connection.execute(
            sa.text("select version from registry.alias where model = :m and alias = :a"), {"m": model, "a": alias}
        ).scalar()
        if before != key:
            _log(connection, model, alias, before, key, who, reason, {})
            _point(connection, model, alias, key, who)


def history(engine: sa.Engine, model: str, alias: str = CURRENT) -> list[Promotion]:
    """The promotion log of an alias, oldest first."""
    query = """select id, model, alias, from_version, to_version, who, reason, evidence, promoted_at
               from registry.promotion where model = :model and alias = :alias order by id"""
    with engine.connect() as connection:
        rows = connection.execute(sa.text(query), {"model": model, "alias": alias}).mappings()
        return [Promotion(**row) for row in rows]


def _promote(engine: sa.Engine, model: str, key: str, *, who: str, reason: str, evidence: dict[str, Any]) -> bool:
    with engine.begin() as connection:
        lock_model(connection, model)
        _known(connection, model, key)
        current = _current_key(connection, model)
        if current == key:
            return False
        _move(connection, model, CURRENT, current, key, who, reason, evidence)
        _tell(connection, model, key, who, reason)
    return True


def _tell(connection: sa.Connection, model: str, key: str, who: str, reason: str) -> None:
    """Tell of a promotion by hand; what a training promotes, the training tells of."""

    def make(kind: str, run: str) -> ol.Event:
        change = ol.facet("LifecycleStateChangeDatasetFacet", lifecycleStateChange="OVERWRITE")
        output = ol.dataset(ol.model_name(model), key, {"lifecycleStateChange": change})
        about = {"stellar": ol.own_facet("RunFacet", version=key, who=who, reason=reason)}
        return ol.event(kind, run, f"promote/{model}", job_type="PROMOTION", run_facets=about, outputs=[output])

    with ol.quietly(connection):
        ol.keep(connection, ol.start_and_end("COMPLETE", make), run_id=None, key=key)


def _stack(log: list[Promotion]) -> list[str]:
    """Versions that were promoted and not rolled back from, the current one last."""
    stack: list[str] = []
    for line in log:
        if line.evidence.get("rollback") and line.to_version in stack:
            del stack[len(stack) - stack[::-1].index(line.to_version) :]
        else:
            stack.append(line.to_version)
    return stack


def _known(connection: sa.Connection, model: str, key: str) -> Version:
    version = get_version(connection, key)
    if version is None or version.model != model:
        raise LedgerError(f"model {model}: it has no version {key}; see `stellar models show {model}`")
    return version


def _current_key(connection: sa.Connection, model: str) -> str | None:
    query = "select key from registry.version where model = :model and state = 'current'"
    return connection.execute(sa.text(query), {"model": model}).scalar()


def _move(connection: sa.Connection, model: str, alias: str, before: str | None, key: str, who: str, reason: str,
          evidence: dict[str, Any]) -> None:  # fmt: skip
    if before is not None:
        _set_state(connection, before, "retired", f"replaced by {key[:16]}")
    _set_state(connection, key, "current", reason)
    _log(connection, model, alias, before, key, who, reason, evidence)
    _point(connection, model, alias, key, who)


def _log(connection: sa.Connection, model: str, alias: str, before: str | None, key: str, who: str, reason: str,
         evidence: dict[str, Any]) -> None:  # fmt: skip
    connection.execute(
        sa.text("""insert into registry.promotion (model, alias, from_version, to_version, who, reason, evidence)
                   values (:model, :alias, :before, :key, :who, :reason, cast(:evidence as jsonb))"""),
        {"model": model, "alias": alias, "before": before, "key": key, "who": who, "reason": reason,
         "evidence": json_text(evidence)},
    )  # fmt: skip


def _point(connection: sa.Connection, model: str, alias: str, key: str, who: str) -> None:
    connection.execute(
        sa.text("""insert into registry.alias (model, alias, version, set_by) values (:model, :alias, :key, :who)
                   on conflict (model, alias) do update set version = excluded.version, set_by = excluded.set_by,
                       set_at = now()"""),
        {"model": model, "alias": alias, "key": key, "who": who},
    )


def _set_state(connection: sa.Connection, key: str, state: str, reason: str) -> None:
    connection.execute(
        sa.text("update registry.version set state = :state, state_reason = :reason where key = :key"),
        {"state": state, "reason": reason, "key": key},
    )
