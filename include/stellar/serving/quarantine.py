"""Rows in quarantine, and what people decide about them.

A row is *open* until somebody decides. *Discard* says that it was refused rightly: it stays where it is and no longer
counts as open. *Release* overrules the reason: the next build of its dataset takes the row, in the partitions that it
touches and in no others; until then it is *released* and still in quarantine. *Reopen* takes either back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from stellar.errors import InputError
from stellar.ledger import decisions, history, snapshots
from stellar.serving.plain import cell_value, plain

if TYPE_CHECKING:
    import pyarrow as pa

    from stellar.ledger.decisions import Decision
    from stellar.profile import Curated
    from stellar.settings import Settings

FOLLOWS = "build_catalog"
STATES = {"release": "released", "discard": "discarded", "reopen": "open"}
MOST_ROWS = 1000  # of one page of rows
_VALUE = re.compile(r" \('.*'\)$", re.DOTALL)
_NOT_CURATED = "only rows that curation refused can be released: this step cannot make its row without what is missing"


def overview(settings: Settings, engine: sa.Engine) -> list[dict[str, Any]]:
    """Rows in quarantine by dataset, reason (as `kind_of` says), survey and batch, in the current snapshots.

    Returns
    -------
    list of dict
        ``dataset, reason, batch_id, survey, unit, rows, open, released, discarded``, and ``kept``: why rows of this
        reason cannot be released, None when they can.
    """
    found: list[dict[str, Any]] = []
    batches: set[str] = set()
    for dataset in _datasets(engine):
        # what is decided about is known by the whole row; where nothing is, two columns tell
        columns = None if decisions.decided(engine, dataset) else ("reason", "batch_id")
        rows = _read(settings, engine, dataset, columns)
        states = _states(engine, dataset, rows)
        config = _config(settings, dataset)
        reasons, brought = [kind_of(one) for one in rows["reason"].to_pylist()], rows["batch_id"].to_pylist()
        groups: dict[tuple[str, str], Counter[str]] = {}
        for reason, batch, state in zip(reasons, brought, states, strict=True):
            groups.setdefault((reason, batch), Counter())[state] += 1
        batches |= {batch for _, batch in groups}
        found += [
            {
                "dataset": dataset,
                "reason": reason,
                "batch_id": batch,
                "rows": count.total(),
                **{state: count[state] for state in STATES.values()},
                "kept": _kept(config, reason),
            }
            for (reason, batch), count in groups.items()
        ]
    told = _batches(engine, batches)
    found = [{**one, **told.get(one["batch_id"], {"survey": None, "unit": None})} for one in found]
    return sorted(found, key=lambda one: (-one["open"], one["dataset"], one["reason"], one["batch_id"]))


def kind_of(reason: str) -> str:
    """A reason without the value that it names: what rows with the same fault have in common."""
    return _VALUE.sub("", reason)


def _means(wanted: str | None, reason: str) -> bool:
    return wanted is None or wanted in (reason, kind_of(reason))


def rows_of(
    settings: Settings,
    engine: sa.Engine,
    dataset: str,
    *,
    reason: str | None = None,
    batch: str | None = None,
    state: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> dict[str, Any]:
    """Rows of a quarantine dataset as their survey published them, with what was decided.

    Returns
    -------
    dict
        ``total``, ``columns`` that have a value in one of the rows, and ``rows``: ``row_id, reason, batch_id, state,
        kept, decision`` (the newest, or None) and ``values``.
    """
    table = _read(settings, engine, dataset)
    ids, states = _ids(table), _states(engine, dataset, table)
    config = _config(settings, dataset)
    newest = {(one["row_id"], one["reason"]): one for one in decisions.decided(engine, dataset)}
    reasons, batches = table["reason"].to_pylist(), table["batch_id"].to_pylist()
    places = [
        place
        for place in range(len(table))
        if _means(reason, reasons[place]) and batch in (None, batches[place]) and state in (None, states[place])
    ]
    shown = places[max(0, offset) : max(0, offset) + min(limit, MOST_ROWS)]
    values = _take(table, shown).drop_columns(["reason", "batch_id"]).to_pylist()
    found = [
        {
            "row_id": ids[place],
            "reason": reasons[place],
            "batch_id": batches[place],
            "state": states[place],
            "kept": _kept(config, reasons[place]),
            "decision": plain(newest.get((ids[place], reasons[place]))),
            "values": {name: cell_value(value) for name, value in one.items() if value is not None},
        }
        for place, one in zip(shown, values, strict=True)
    ]
    used = {name for one in found for name in one["values"]}
    columns = [name for name in table.column_names if name in used]
    return {"dataset": dataset, "total": len(places), "columns": columns, "rows": found}


def decide(
    settings: Settings,
    engine: sa.Engine,
    dataset: str,
    decision: Decision,
    *,
    who: str,
    why: str,
    rows: Sequence[str] | None = None,
    reason: str | None = None,
    batch: str | None = None,
) -> dict[str, Any]:
    """Decide about rows, all or none; what is decided so already is left alone.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        On the ledger, with the pipeline's role.
    rows : sequence of str, optional
        Ids of rows; else all rows of `reason`, in full or as `kind_of` says (and of `batch`, when given).

    Returns
    -------
    dict
        ``decided`` (how many rows), ``decision``, ``said``, and ``follows``: the DAG that carries it out, or None.

    Raises
    ------
    InputError
        Without a why; when no row is meant, or a row is not there; when a row that is to be released cannot be.
    """
    if decision not in STATES:
        raise InputError(f"decision {decision!r} is none of {', '.join(STATES)}")
    if not why.strip():
        raise InputError("why: say why; it is kept with the decision")
    if rows is None and reason is None:
        raise InputError("rows: name rows, or a reason that stands for all of its rows")
    chosen = _chosen(settings, engine, dataset, rows, reason, batch)
    if decision == "release":
        for one in chosen:
            if (kept := _kept(_config(settings, dataset), one["reason"])) is not None:
                raise InputError(f"{dataset}: rows with the reason {one['reason']!r} cannot be released: {kept}")
    with engine.begin() as connection:
        snapshots.lock_datasets(connection, [dataset])
        newest = {(one["row_id"], one["reason"]): one["decision"] for one in decisions.decided(engine, dataset)}
        due = [one for one in chosen if newest.get((one["row_id"], one["reason"]), "reopen") != decision]
        decisions.record(
            connection,
            [{**one, "dataset": dataset, "decision": decision, "who": who, "why": why.strip()} for one in due],
        )
    history.write_datasets(engine, settings.lake, [dataset])
    was_released = any(newest.get((one["row_id"], one["reason"])) == "release" for one in due)
    follows = FOLLOWS if due and (decision == "release" or was_released) else None
    said = f"{len(due)} row{'' if len(due) == 1 else 's'} of {dataset} {STATES[decision]}"
    if len(due) < len(chosen):
        said += f"; {len(chosen) - len(due)} were so already"
    if follows:
        said += f". The next run of {FOLLOWS} builds the partitions that they touch"
    return {"decided": len(due), "decision": decision, "said": said, "follows": follows}


def decided(engine: sa.Engine, dataset: str | None = None) -> list[dict[str, Any]]:
    """The decisions that count, newest first: of a row and a reason the last one."""
    return [plain(one) for one in decisions.decided(engine, dataset)]


def _chosen(
    settings: Settings,
    engine: sa.Engine,
    dataset: str,
    wanted: Sequence[str] | None,
    reason: str | None,
    batch: str | None,
) -> list[dict[str, Any]]:
    """The rows that are meant, as `quality.decision` keeps them: from the quarantine, else from earlier decisions."""
    table = _read(settings, engine, dataset)
    ids = _ids(table)
    reasons, batches = table["reason"].to_pylist(), table["batch_id"].to_pylist()
    asked = None if wanted is None else set(wanted)
    picked = [
        place
        for place in range(len(table))
        if (asked is None or ids[place] in asked) and _means(reason, reasons[place]) and batch in (None, batches[place])
    ]
    found = {}
    config = _config(settings, dataset)
    part = _take(table, picked)
    sources, places = _places(part, config)
    values = part.drop_columns(["reason", "batch_id"]).to_pylist()
    for number, place in enumerate(picked):
        content = {name: cell_value(value) for name, value in values[number].items() if value is not None}
        found[ids[place], reasons[place]] = {
            "row_id": ids[place],
            "reason": reasons[place],
            "batch_id": batches[place],
            "source_id": sources[number],
            "place": places[number],
            "content": plain(content),
        }
    names = ("row_id", "reason", "batch_id", "source_id", "place", "content")
    for one in decisions.decided(engine, dataset):  # a released row has left the quarantine once it was built
        meant = one["row_id"] in asked if asked is not None else batch in (None, one["batch_id"])
        if meant and _means(reason, one["reason"]):
            found.setdefault((one["row_id"], one["reason"]), {name: one[name] for name in names})
    missing = sorted((asked or set()) - {row for row, _ in found})
    if missing or not found:
        what = f"no row {missing[0]}" if missing else f"no row with the reason {reason!r}"
        raise InputError(f"{dataset}: {what}; `stellar quarantine rows {dataset}` shows what there is")
    return list(found.values())


def _datasets(engine: sa.Engine) -> list[str]:
    sql = sa.text("SELECT dataset FROM lake.current WHERE dataset LIKE 'quarantine.%' AND rows > 0 ORDER BY dataset")
    with engine.connect() as connection:
        return list(connection.scalars(sql))


def _read(settings: Settings, engine: sa.Engine, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a quarantine dataset's current snapshot, whole or some of their columns."""
    from stellar.lake.read import Catalog

    row = snapshots.current(engine, dataset) if dataset.startswith("quarantine.") else None
    if row is None or row.path is None:
        known = ", ".join(_datasets(engine)) or "none has rows"
        raise InputError(f"{dataset}: no such quarantine; with rows: {known}")
    catalog = Catalog(settings.lake / row.path)
    if "reason" not in catalog.schema.names:  # nothing was ever refused, so there is no table of it
        import pyarrow as pa

        return pa.table({"reason": pa.array([], pa.string()), "batch_id": pa.array([], pa.string())})
    return catalog.read_all(columns)


def _take(table: pa.Table, places: list[int]) -> pa.Table:
    import pyarrow as pa

    return table.take(pa.array(places, pa.int64()))


def _ids(table: pa.Table) -> list[str]:
    from stellar.catalog.released import row_ids

    return row_ids(table)


def _states(engine: sa.Engine, dataset: str, table: pa.Table) -> list[str]:
    """State of each row: open, released or discarded."""
    newest = {(one["row_id"], one["reason"]): one["decision"] for one in decisions.decided(engine, dataset)}
    if not newest:
        return ["open"] * len(table)
    keys = zip(_ids(table), table["reason"].to_pylist(), strict=True)
    return [STATES[newest.get(key, "reopen")] for key in keys]


def _config(settings: Settings, dataset: str) -> Curated | None:
    """The config of the curated dataset that refused the rows; None where another step did."""
    from stellar.profile import load_profile

    subject = dataset.partition(".")[2]
    return next((one for one in load_profile(settings.profile).configs() if one.dataset == subject), None)


def _kept(config: Curated | None, reason: str) -> str | None:
    from stellar.catalog.released import why_kept

    return _NOT_CURATED if config is None else why_kept(config, reason)


def _places(rows: pa.Table, config: Curated | None) -> tuple[list[str | None], list[int | None]]:
    from stellar.catalog.curate import places

    if config is None or not len(rows):
        return [None] * len(rows), [None] * len(rows)
    return places(rows.drop_columns(["reason"]), config)


def _batches(engine: sa.Engine, ids: set[str]) -> dict[str, dict[str, Any]]:
    sql = sa.text("SELECT batch_id, survey, unit FROM ingest.batch WHERE batch_id = ANY(:ids)")
    with engine.connect() as connection:
        rows = connection.execute(sql, {"ids": sorted(ids)}).mappings()
        return {row["batch_id"]: {"survey": row["survey"], "unit": row["unit"]} for row in rows}
