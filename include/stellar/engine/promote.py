"""Gate, promote, reject and roll back snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from stellar.engine import events
from stellar.engine.context import Context, read_manifest
from stellar.engine.keys import digest
from stellar.engine.publish import publish
from stellar.errors import InputError, LedgerError
from stellar.lake.read import Catalog
from stellar.ledger import gates, history, snapshots
from stellar.ledger.partitions import partitions_of

if TYPE_CHECKING:
    from stellar.quality.gate import GateResult
    from stellar.quality.suites import Suite


def gate(ctx: Context, keys: Iterable[str], pinned: Mapping[str, str] | None = None) -> list[GateResult]:
    """Run each snapshot's gate, keep the results in the ledger, and reject what failed.

    A snapshot that has passed its gate as it is written now is not checked again. A quarantine snapshot shares the
    verdict of the one it was made with. What was rejected and passes now is a candidate again.

    Parameters
    ----------
    pinned : mapping, optional
        Dataset -> key of snapshots that stand for the current ones where a gate looks at other datasets.
    """
    keys = list(keys)
    rows = [snapshots.get(ctx.engine, key) for key in keys]
    together = {**snapshots.current_keys(ctx.engine), **{row.dataset: row.key for row in rows}, **(pinned or {})}
    return [_gate_one(ctx, row, together) for row in rows]


def _gate_one(ctx: Context, row: snapshots.Snapshot, together: Mapping[str, str]) -> GateResult:
    from stellar.quality import numbers
    from stellar.quality.gate import GateResult, run_gate
    from stellar.quality.suite_files import counts_alone

    if not row.committed or row.path is None:
        raise LedgerError(f"{row.dataset}: snapshot {row.key[:16]} is not committed, so there is nothing to gate")
    suite = None if counts_alone(row.dataset) else _suite(row.dataset)
    suite_hash = digest(["numbers", numbers.VERSION] if suite is None else suite.model_dump(mode="json"))
    with ctx.engine.connect() as connection:
        known = gates.latest(connection, row.key)
    if known is not None and known.passed and known.suite_hash == suite_hash and row.state != "rejected":
        docs = ctx.settings.home / known.data_docs if known.data_docs else None
        return GateResult(row.dataset, True, known.rows_checked or 0, known.expectations, None, docs)
    if suite is None:
        result = _gate_by_numbers(ctx, row, suite_hash)
        _record(ctx, row, result, suite_hash)
        return result
    others = {name: _folder(ctx, together[name]) for name in suite.references if name in together}
    before = snapshots.current(ctx.engine, row.dataset)
    root = ctx.settings.lake / row.path
    result = run_gate(
        row.dataset,
        root,
        kind=_kind(row.dataset, root),
        suite=suite,
        previous_rows=before.rows if before is not None and before.key != row.key else None,
        references={name: folder for name, folder in others.items() if folder is not None},
        docs=ctx.settings.home / "data_docs",
    )
    _record(ctx, row, result, suite_hash)
    return result


def _suite(dataset: str) -> Suite:
    from stellar.quality.suites import load_suite  # Pydantic's models of a suite, which counting needs none of

    return load_suite(dataset)


def _gate_by_numbers(ctx: Context, row: snapshots.Snapshot, suite_hash: str) -> GateResult:
    """The gate of a user's own table, which may be far larger than memory."""
    from stellar.quality.numbers import run_number_gate

    before = snapshots.current(ctx.engine, row.dataset)
    imported = row.step == "import"  # of a cross-match a row may be in several pairs, or in none
    return run_number_gate(
        row.dataset,
        ctx.settings.lake / str(row.path),
        [row.params["id"]] if imported else [],
        _files(ctx, row.key),
        cache=ctx.settings.cache / "gate",
        checked=_checked(ctx, before, row, suite_hash) if before is not None else (),
        min_rows=1 if imported else 0,
        previous_rows=before.rows if before is not None and before.key != row.key else None,
        threads=ctx.settings.workers,
    )


def _files(ctx: Context, key: str) -> dict[str, str]:
    return {one["name"]: one["sha256"] for one in partitions_of(ctx.engine, key)}


def _checked(ctx: Context, before: snapshots.Snapshot, row: snapshots.Snapshot, suite_hash: str) -> set[str]:
    """Files of the current snapshot, where it has passed this very gate on the same id."""
    with ctx.engine.connect() as connection:
        known = gates.latest(connection, before.key)
    same = (before.step, before.params.get("id")) == (row.step, row.params.get("id"))
    passed = known is not None and known.passed and known.suite_hash == suite_hash and same
    return set(_files(ctx, before.key).values()) if passed else set()


def _folder(ctx: Context, key: str) -> Path | None:
    row = snapshots.get(ctx.engine, key)
    return ctx.settings.lake / row.path if row.committed and row.path else None


def _kind(dataset: str, root: Path) -> str:
    if dataset.startswith("raw."):
        return "raw"
    return "hats" if Catalog(root).is_hats else "plain"


def _record(ctx: Context, row: snapshots.Snapshot, result: GateResult, suite_hash: str) -> None:
    """The verdict on a snapshot and its companions, and the step of their lives that follows from it."""
    with ctx.engine.begin() as connection:
        companions = snapshots.companions(connection, row.key)
        snapshots.lock_datasets(connection, [row.dataset, *(one.dataset for one in companions)])
        gates.record(
            connection,
            row.key,
            passed=result.passed,
            suite_hash=suite_hash,
            rows_checked=result.rows,
            data_docs=result.docs_path.relative_to(ctx.settings.home).as_posix() if result.docs_path else None,
            expectations=result.expectations,
            run_id=ctx.run_id,
        )
        for one in companions:
            gates.record(
                connection,
                one.key,
                passed=result.passed,
                suite_hash=None,
                rows_checked=one.rows,
                data_docs=None,
                expectations=[],
                evidence={"follows": row.key},
                run_id=ctx.run_id,
            )
        for member in (row, *companions):
            now = snapshots.find(connection, member.key)
            if now is not None and now.state == "candidate" and not result.passed:
                snapshots.set_state(connection, now.key, "rejected", "; ".join(result.reasons())[:2000])
            elif now is not None and now.state == "rejected" and result.passed:
                snapshots.set_state(connection, now.key, "candidate", None)
        events.gated(ctx, connection, row, result.passed, result.rows, result.expectations, result.reasons())
    _keep(ctx, (row, *companions))


def _keep(ctx: Context, rows: Iterable[snapshots.Snapshot]) -> None:
    """Note in the lake's files what the ledger says of these snapshots' datasets since the transaction that ended."""
    history.write_datasets(ctx.engine, ctx.settings.lake, {row.dataset for row in rows})


def promote(
    ctx: Context,
    keys: Iterable[str],
    *,
    who: str,
    reason: str,
    also: Callable[[sa.Connection, list[str]], None] | None = None,
) -> dict[str, bool]:
    """Make snapshots current, all in one transaction; dataset -> whether its content changed.

    Their quarantine snapshots go with them, and the rows of scores into Postgres (`stellar.engine.publish`). What is
    current already is left alone. A run promotes a snapshot once: where `reason` is the context's run, a late attempt
    does not bring back what the same run had promoted and something newer has replaced since. Another run that finds
    the snapshot again may.

    Parameters
    ----------
    also : callable, optional
        Called in the same transaction with the keys that become current, just before they do.

    Raises
    ------
    LedgerError
        When one has not passed its gate, was rejected, or has no files; then none is promoted.
    """
    changed: dict[str, bool] = {}
    with ctx.engine.begin() as connection:
        wanted = []
        for key in keys:
            row = snapshots.find(connection, key)
            if row is None:
                raise LedgerError(f"the ledger knows no snapshot {key}")
            wanted += [row, *snapshots.companions(connection, key)]
        snapshots.lock_datasets(connection, [row.dataset for row in wanted])
        # read again, now that nobody else moves them
        rising = {row.key for row in wanted if _rises(ctx, connection, row.key, who, reason)}
        if also is not None and rising:
            also(connection, [row.key for row in wanted if row.key in rising])
        for row in wanted:
            changed[row.dataset] = row.key in rising and _make_current(ctx, connection, row, who, reason)
        publish(ctx, connection, changed)
    _keep(ctx, wanted)
    return changed


def newest_candidate(ctx: Context, dataset: str) -> str:
    """Key of the candidate that was committed last.

    Raises
    ------
    InputError
        When the dataset has none.
    """
    sql = (
        "SELECT key FROM lake.snapshot WHERE dataset = :dataset AND state = 'candidate' AND companion_of IS NULL"
        " ORDER BY committed_at DESC LIMIT 1"
    )
    with ctx.engine.connect() as connection:
        key = connection.scalar(sa.text(sql), {"dataset": dataset})
    if key is None:
        raise InputError(f"{dataset}: there is no candidate to promote; `stellar datasets` shows what there is")
    return str(key)


def _rises(ctx: Context, connection: sa.Connection, key: str, who: str, reason: str) -> bool:
    """Whether a promotion makes a snapshot current: it is not so already, nor was by this very run."""
    row = snapshots.find(connection, key)
    if row is None or row.state == "current":
        return False
    superseded = row.state == "retired" and reason == ctx.run_id
    return not (superseded and snapshots.promoted_before(connection, key, who=who, reason=reason))


def _make_current(ctx: Context, connection: sa.Connection, row: snapshots.Snapshot, who: str, reason: str) -> bool:
    """Make a snapshot current, and the column that identifies its rows the dataset's; whether the content changed."""
    told = (read_manifest(ctx, row) or {}).get("id_columns")
    if told:
        snapshots.set_id_column(connection, row.dataset, told[0])
    changed = snapshots.make_current(connection, row.key, who=who, reason=reason)
    if row.companion_of is None:
        events.promoted(ctx, connection, row, who=who, reason=reason)
    return changed


def reject(ctx: Context, key: str, *, who: str, reason: str) -> None:
    """Refuse a candidate for a reason that the gate does not know."""
    with ctx.engine.begin() as connection:
        first = snapshots.find(connection, key)
        if first is None:
            raise LedgerError(f"the ledger knows no snapshot {key}")
        rows = [first, *snapshots.companions(connection, key)]
        snapshots.lock_datasets(connection, [row.dataset for row in rows])
        for row in rows:
            snapshots.set_state(connection, row.key, "rejected", f"{who}: {reason}")
    _keep(ctx, rows)


def rollback(ctx: Context, dataset: str, *, who: str, reason: str, to: str | None = None) -> str:
    """Make an earlier snapshot current again: the one that the current one replaced, or `to`; returns its key.

    Raises
    ------
    LedgerError
        When there is none, or its files were removed.
    """
    with ctx.engine.begin() as connection:
        snapshots.lock_datasets(connection, [dataset])
        key = to or snapshots.former(connection, dataset)
        row = snapshots.find(connection, key) if key else None
        if row is None or row.dataset != dataset:
            raise LedgerError(f"{dataset}: there is no earlier snapshot to go back to{f' named {to}' if to else ''}")
        if row.state not in ("retired", "current"):
            raise LedgerError(f"{dataset}: {row.key[:16]} was never current (it is {row.state}); promote it instead")
        companions = snapshots.companions(connection, row.key)
        snapshots.lock_datasets(connection, [one.dataset for one in companions])
        for one in (row, *companions):
            _make_current(ctx, connection, one, who, reason)
        publish(ctx, connection, [dataset])
    _keep(ctx, (row, *companions))
    return row.key
