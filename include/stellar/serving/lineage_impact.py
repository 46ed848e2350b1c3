"""What would be made anew if something changed, by partition, and whose scores a bad batch would have tainted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from stellar.engine.context import Context, read_manifest
from stellar.engine.step import Step
from stellar.errors import InputError, LedgerError
from stellar.flow.plans import Pending, planned_steps, reads_some
from stellar.ledger import snapshots
from stellar.ledger.lineage import MERGED

if TYPE_CHECKING:
    from stellar.settings import Settings

Answer = dict[str, Any]

NAMED = 200  # partitions that an answer names of one dataset; the counts are of all
_BATCH = sa.text("SELECT batch_id, dataset, survey, unit, row_count FROM ingest.batch WHERE batch_id = :id")
_VERSIONS = sa.text("""
    SELECT v.key, v.model, v.number, v.config ->> 'features' AS features, array_agg(DISTINCT s.dataset) AS datasets
      FROM registry.version v JOIN lineage.edge e ON e.child = v.key AND e.parent_kind = 'snapshot'
      JOIN lake.snapshot s ON s.key = e.parent WHERE v.state = 'current' GROUP BY v.key ORDER BY v.model""")
_VERSION = sa.text("SELECT key, model, number, state FROM registry.version WHERE key = :id")
_KEYS = sa.text("SELECT name, partition_key FROM lake.snapshot_partition WHERE snapshot = :id")


def rebuilt(engine: sa.Engine, settings: Settings, kind: str, key: str) -> Answer:
    """What a run would make anew if the content of a node changed, as the flow's steps are today.

    Which partitions follows from what each partition of the current snapshots read (their manifests). A model is
    trained anew when a dataset that it learned from changes, and then scores everything anew: whether it really would
    be depends on the content, so this is the most that a change can cause, never less.

    Parameters
    ----------
    kind : str
        ``snapshot``, ``version`` or ``batch``.

    Returns
    -------
    dict
        ``dataset`` (where the change begins, None of a version), ``steps``: one per dataset in build order with
        ``stage, dataset, step, snapshot`` (the current one, or None), ``partitions`` (of the dataset), ``anew``
        (how many of them), ``named`` (``name, key`` of the first of those), ``why``; ``models``: ``model, version,
        why``; ``nodes``: ids of snapshots and versions that would be replaced; ``note`` where the node is not in use.

    Raises
    ------
    InputError
        When there is no such node, or it is of a kind that nothing is made from.
    """
    ctx = Context(settings, engine)
    pending, changed_models, dataset, note = _seed(ctx, kind, key)
    current = snapshots.current_keys(engine)
    steps: list[Answer] = []
    models: list[Answer] = []
    with engine.connect() as connection:
        versions = connection.execute(_VERSIONS).mappings().all()
    for stage, step in planned_steps(ctx) if not note else ():
        if not models and stage in ("scores", "merge", "own"):  # trained between the labels and the scores
            models = _trained_anew(versions, pending)
            changed_models |= {one["version"]: one["model"] for one in models}
        if step.dataset in pending:
            continue
        found = _step(ctx, stage, step, current.get(step.dataset), pending, changed_models)
        if found is not None:
            steps.append(found)
    models = models or _trained_anew(versions, pending)
    nodes = [one["snapshot"] for one in steps if one["snapshot"]] + [one["version"] for one in models]
    return {"dataset": dataset, "steps": steps, "models": models, "nodes": nodes, "note": note}


def _seed(ctx: Context, kind: str, key: str) -> tuple[dict[str, Pending], dict[str, str], str | None, str | None]:
    """Where a change begins: partitions by dataset, model versions, the dataset's name; or why nothing would follow."""
    if kind == "batch":
        with ctx.engine.connect() as connection:
            batch = connection.execute(_BATCH, {"id": key}).first()
        if batch is None:
            raise InputError(f"the ledger knows no batch {key}")
        row = snapshots.current(ctx.engine, batch.dataset)
        if row is None or key not in _partition_keys(ctx, row.key):
            return {}, {}, batch.dataset, f"the current snapshot of {batch.dataset} does not hold this batch"
        return {batch.dataset: Pending.of([key])}, {}, batch.dataset, None
    if kind == "snapshot":
        try:
            row = snapshots.get(ctx.engine, key)
        except LedgerError as unknown:
            raise InputError(str(unknown)) from None
        if row.state != "current":
            return (
                {},
                {},
                row.dataset,
                f"this snapshot is {row.state}; nothing that is current follows from a change of it",
            )
        return {row.dataset: Pending.of(_partition_keys(ctx, key))}, {}, row.dataset, None
    if kind == "version":
        with ctx.engine.connect() as connection:
            version = connection.execute(_VERSION, {"id": key}).first()
        if version is None:
            raise InputError(f"the ledger knows no model version {key}")
        note = None if version.state == "current" else f"this version is {version.state}; it makes no current scores"
        return {}, {key: version.model}, None, note
    raise InputError(f"a change of a {kind} rebuilds nothing; ask for a snapshot, version or batch")


def _partition_keys(ctx: Context, key: str) -> dict[str, str]:
    with ctx.engine.connect() as connection:
        return {row.name: row.partition_key for row in connection.execute(_KEYS, {"id": key})}


def _trained_anew(versions: Any, pending: Mapping[str, Pending]) -> list[Answer]:
    found = []
    for one in versions:
        changed = sorted(name for name in one["datasets"] if name in pending)
        if changed:
            why = f"it learned from {', '.join(changed)}"
            found.append({"model": one["model"], "number": one["number"], "version": one["key"], "why": why})
    return found


def _step(
    ctx: Context,
    stage: str,
    step: Step,
    current: str | None,
    pending: dict[str, Pending],
    models: Mapping[str, str],
) -> Answer | None:
    """One step's part, None where nothing that it reads changes; `pending` grows by what it would make anew."""
    sources = {role: pending[one.dataset] for role, one in step.inputs.items() if one.dataset in pending}
    retrained = sorted({models[key] for key in step.models.values() if key in models})
    if not sources and not retrained:
        return None
    keys = _partition_keys(ctx, current) if current else {}
    whole = bool(retrained) or not current
    anew = set(keys) if whole else _reading(ctx, step, str(current), sources) & keys.keys()
    if current and not anew:
        return None
    changed = sorted({step.inputs[role].dataset for role in sources})
    pending[step.dataset] = Pending.of(anew)
    why = [*(f"reads {name}" for name in changed), *(f"scored by {name}" for name in retrained)]
    return {
        "stage": stage,
        "dataset": step.dataset,
        "step": f"{step.name} v{step.version}",
        "snapshot": current,
        "partitions": len(keys),
        "anew": len(anew),
        "named": [{"name": name, "key": keys[name]} for name in sorted(anew)[:NAMED]],
        "why": "; ".join(why),
    }


def _reading(ctx: Context, step: Step, current: str, sources: Mapping[str, Pending]) -> set[str]:
    """Partitions of a current snapshot that read some of those that change, by the snapshot's own manifest."""
    manifest = read_manifest(ctx, snapshots.get(ctx.engine, current)) or {"partitions": []}
    return {
        one["name"]
        for one in manifest["partitions"]
        if any(
            reads_some(one["name"], (one.get("reads") or {}).get(role, {}), source, step.inputs[role].margin_arcsec)
            for role, source in sources.items()
        )
    }


def tainted(engine: sa.Engine, settings: Settings, batch_id: str) -> Answer:
    """How many objects have a row that a batch brought, and how many scored rows are theirs, by dataset.

    Returns
    -------
    dict
        ``batch, dataset, rows`` (of the batch), ``curated`` (rows that came of it, by dataset), ``objects``,
        ``scores``: ``dataset, rows`` (scored rows of those objects or rows), ``of`` (all rows of the dataset).

    Raises
    ------
    InputError
        When there is no such batch.
    """
    from stellar.lake.sql import connect

    with engine.connect() as connection:
        batch = connection.execute(_BATCH, {"id": batch_id}).first()
        if batch is None:
            raise InputError(f"the ledger knows no batch {batch_id}")
        ids = dict(
            connection.execute(
                sa.text("SELECT d.name, d.id_column FROM lake.dataset d JOIN lake.current c ON c.dataset = d.name")
            ).all()
        )
    with connect(settings, engine) as lake:
        return {
            "batch": batch_id,
            "dataset": batch.dataset,
            "rows": batch.row_count,
            **_count(lake, ids, batch_id),
        }


def _count(lake: Any, ids: Mapping[str, str | None], batch_id: str) -> Answer:
    """Rows and scores of a batch, by joins in the lake; names are the ledger's own, the batch is a parameter."""
    columns = _columns(lake)
    curated: list[Answer] = []
    rows_of: list[str] = []
    for name in sorted(columns):
        key = ids.get(name)
        if name.startswith("curated.") and key and {"batch_id", key} <= columns[name]:
            number = _one(lake, f"SELECT count(*) FROM {name} WHERE batch_id = ?", batch_id)  # noqa: S608
            if number:
                curated.append({"dataset": name, "rows": number})
                survey = name.partition(".")[2]
                ids_of = f"SELECT '{survey}' AS survey, CAST(\"{key}\" AS VARCHAR) AS survey_id"
                rows_of.append(f"{ids_of} FROM {name} WHERE batch_id = ?")
    if not rows_of:
        return {"curated": [], "objects": 0, "scores": []}
    of_survey = "SELECT DISTINCT a.object_id FROM curated.associations a JOIN tainted t USING (survey, survey_id)"
    objects = of_survey if "curated.associations" in columns else "SELECT '' AS object_id LIMIT 0"
    parts = ["SELECT '' AS dataset, count(*) AS mine, 0 AS every FROM objects"]
    for name in sorted(columns):
        if not name.startswith("scores.") or name == MERGED:
            continue
        if "object_id" in columns[name]:
            mine = "object_id IN (SELECT object_id FROM objects)"
        elif ids.get(name):
            mine = f'CAST("{ids[name]}" AS VARCHAR) IN (SELECT survey_id FROM tainted)'  # noqa: S608
        else:
            continue
        parts.append(f"SELECT '{name}', count(*) FILTER ({mine}), count(*) FROM {name}")  # noqa: S608
    tainted_rows = " UNION ".join(rows_of)
    together = f"WITH tainted AS ({tainted_rows}), objects AS ({objects}) {' UNION ALL '.join(parts)}"
    found = {row[0]: row[1:] for row in lake.execute(together, [batch_id] * len(rows_of)).fetchall()}
    scores = [{"dataset": name, "rows": mine, "of": every} for name, (mine, every) in sorted(found.items()) if name]
    return {"curated": curated, "objects": found[""][0], "scores": [one for one in scores if one["rows"]]}


def _columns(lake: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    sql = (
        "SELECT table_schema || '.' || table_name, column_name FROM information_schema.columns"
        " WHERE table_schema IN ('curated', 'scores')"
    )
    for name, column in lake.execute(sql).fetchall():
        found.setdefault(name, set()).add(column)
    return found


def _one(lake: Any, sql: str, *values: Any) -> int:
    return int(lake.execute(sql, list(values)).fetchone()[0])
