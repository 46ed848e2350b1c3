"""Which version is current, changed by a person: what `stellar models promote`, `rollback` and the page Models call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from stellar.errors import InputError, LedgerError
from stellar.ledger.history import write_model
from stellar.registry import promotion, versions
from stellar.serving.models import find, policy_says

if TYPE_CHECKING:
    import sqlalchemy as sa

    from stellar.settings import Settings

FOLLOWS = "score_catalog"


def promote(
    settings: Settings,
    engine: sa.Engine,
    reference: str,
    *,
    who: str,
    reason: str,
    over_policy: bool,
    instead_of: str | None = None,
) -> dict[str, Any]:
    """Make a version current.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        On the ledger, with the pipeline's role.
    over_policy : bool
        Whether a version that its policy did not pass may become current too. The log keeps what the policy said.
    instead_of : str, optional
        Key of the version that the person saw as the current one ('' for none): refused when it is another by now.

    Returns
    -------
    dict
        As `_outcome`.

    Raises
    ------
    InputError
        Without a reason; when the policy did not pass it and `over_policy` is not set; when the current version is not
        the one that was seen.
    """
    reason = _reason(reason)
    one = find(engine, reference)
    said = policy_says(engine, one)
    if said["verdict"] != "passed" and not over_policy:
        what = "was refused by its policy" if said["verdict"] == "refused" else "was judged by no policy"
        raise InputError(f"{one.model}@{one.number} {what}: {'; '.join(said['reasons']) or 'no reason is on record'}. "
                         "Say that it is to be promoted over the policy if you want it all the same")  # fmt: skip
    before = _seen(engine, one.model, instead_of)
    evidence = {"policy": {"verdict": said["verdict"], "reasons": said["reasons"]}}
    changed = promotion.promote(engine, one.model, one.key, who=who, reason=reason, evidence=evidence)
    write_model(engine, settings.artifacts, one.model)
    return _outcome(engine, one.model, before, changed)


def rollback(
    settings: Settings,
    engine: sa.Engine,
    model: str,
    *,
    who: str,
    reason: str,
    to: str | None = None,
    instead_of: str | None = None,
) -> dict[str, Any]:
    """Make the version before the current one current again, or `to` (number, alias or key) that once was.

    Parameters and errors as of `promote`; also LedgerError, when none was current before or `to` never was.
    """
    reason = _reason(reason)
    before = _seen(engine, model, instead_of)
    target = versions.resolve(engine, f"{model}@{to}").version.key if to else None
    key = promotion.rollback(engine, model, who=who, reason=reason, to=target)
    write_model(engine, settings.artifacts, model)
    return _outcome(engine, model, before, before is None or before.key != key)


def _reason(reason: str) -> str:
    if not reason.strip():
        raise InputError("reason: say why; it is kept in the promotion log")
    return reason.strip()


def _seen(engine: sa.Engine, model: str, instead_of: str | None) -> versions.Version | None:
    """The current version, when it is the one that the person saw."""
    current = versions.current(engine, model)
    if instead_of is not None and (current.key if current else "") != instead_of:
        now = str(current) if current else "no version"
        raise InputError(f"{model}: {now} is current by now, not what your page showed; load it again and decide anew")
    return current


def _outcome(engine: sa.Engine, model: str, before: versions.Version | None, changed: bool) -> dict[str, Any]:
    """What is current now (``model, number, key``), ``before`` (key), ``changed``, ``said``, ``follows`` (a DAG)."""
    current = versions.current(engine, model)
    if current is None:
        raise LedgerError(f"model {model}: nothing is current after the change; `stellar models show {model}`")
    said = f"{model}@{current.number} is current" + ("" if changed else " already")
    due = changed and not _scored(engine, current.key)
    if due:
        said += f". The scores in the catalogue are not of this version until {FOLLOWS} has run"
    return {
        "model": model,
        "number": current.number,
        "key": current.key,
        "before": before.key if before else None,
        "changed": changed,
        "said": said,
        "follows": FOLLOWS if due else None,
    }


def _scored(engine: sa.Engine, key: str) -> bool:
    """Whether the current scores are a version's already: after a rollback that nobody scored in between."""
    sql = text(
        "SELECT EXISTS (SELECT FROM lineage.edge e JOIN lake.current c ON c.snapshot = e.child WHERE e.parent = :key)"
    )
    with engine.connect() as connection:
        return bool(connection.scalar(sql, {"key": key}))
