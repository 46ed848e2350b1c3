"""What only the ledger knows, kept in the home's files as well, so that a lost database can be made again from them.

A manifest says what a snapshot is made of and from. These files say the rest, as rows of the ledger's own tables:

- ``lake/<layer>/<subject>/history.json``: states, times, promotions, gates and old object ids of a dataset, the files
  that it was imported from, and what people decided about its rows in quarantine;
- ``<batch>.origin.json`` beside a raw batch: the query that brought it, and its work unit;
- ``artifacts/registry/<model>.json``: versions, figures, aliases and promotions of a model.

Each is what the ledger says at the time, written whole after a transaction that changed it. A crash between the two
leaves the file one change behind, and the next change mends it. The ledger remains the truth; `stellar.engine.rebuild`
reads them when there is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from stellar.json_files import write_json
from stellar.ledger import snapshots

HISTORY = "history.json"
ORIGIN = ".origin.json"
FORMAT = 1

_UTC = sa.text("SET LOCAL timezone = 'UTC'")  # times in the files do not depend on the server's
# The newest gate of a snapshot keeps its expectations: that is the one that `stellar gates` shows and a promotion asks.
_OF_DATASET = {
    "lake.dataset": "SELECT to_jsonb(t) FROM lake.dataset t WHERE name = :name",
    "lake.snapshot": (
        "SELECT to_jsonb(t) FROM lake.snapshot t WHERE dataset = :name AND state <> 'building' ORDER BY planned_at, key"
    ),
    "lake.promotion": "SELECT to_jsonb(t) FROM lake.promotion t WHERE dataset = :name ORDER BY id",
    "quality.gate": (
        "SELECT to_jsonb(t) FROM quality.gate t JOIN lake.snapshot s ON s.key = t.snapshot"
        " WHERE s.dataset = :name ORDER BY t.id"
    ),
    "quality.expectation": (
        "SELECT to_jsonb(t) FROM quality.expectation t WHERE t.gate IN ("
        "   SELECT max(g.id) FROM quality.gate g JOIN lake.snapshot s ON s.key = g.snapshot"
        "    WHERE s.dataset = :name AND s.files_removed_at IS NULL GROUP BY g.snapshot)"
        " ORDER BY t.gate, t.number"
    ),
    "quality.decision": "SELECT to_jsonb(t) FROM quality.decision t WHERE dataset = :name ORDER BY id",
    "lake.object_alias": (
        "SELECT to_jsonb(t) FROM lake.object_alias t JOIN lake.snapshot s ON s.key = t.snapshot"
        " WHERE s.dataset = :name ORDER BY t.old_id, t.new_id"
    ),
    # batches that a table was imported from; those that a survey brought lie in files of their own, with an origin each
    "ingest.batch": (
        "SELECT to_jsonb(t) FROM ingest.batch t WHERE dataset = :name AND path LIKE 'staged/%' ORDER BY batch_id"
    ),
}
_OF_BATCHES = sa.text("""
    SELECT b.path, to_jsonb(b) AS batch,
           coalesce(jsonb_agg(to_jsonb(w)) FILTER (WHERE w.unit IS NOT NULL), '[]') AS units
      FROM ingest.batch b LEFT JOIN ingest.work_unit w USING (batch_id)
     WHERE b.path NOT LIKE 'staged/%' AND (CAST(:ids AS text[]) IS NULL OR b.batch_id = ANY(:ids))
     GROUP BY b.batch_id ORDER BY b.batch_id""")
_OF_MODEL = {
    "registry.model": "SELECT to_jsonb(t) FROM registry.model t WHERE name = :name",
    "registry.version": "SELECT to_jsonb(t) FROM registry.version t WHERE model = :name ORDER BY number",
    "registry.metric": (
        "SELECT to_jsonb(t) FROM registry.metric t JOIN registry.version v ON v.key = t.version"
        " WHERE v.model = :name ORDER BY v.number, t.name, t.split, t.slice"
    ),
    "registry.alias": "SELECT to_jsonb(t) FROM registry.alias t WHERE model = :name ORDER BY alias",
    "registry.promotion": "SELECT to_jsonb(t) FROM registry.promotion t WHERE model = :name ORDER BY id",
    "lineage.edge": (
        "SELECT to_jsonb(t) FROM lineage.edge t JOIN registry.version v ON v.key = t.child"
        " WHERE v.model = :name ORDER BY t.child, t.role, t.parent"
    ),
}


def history_file(lake: Path, dataset: str) -> Path:
    """Where a dataset's history lies."""
    return lake / dataset.replace(".", "/", 1) / HISTORY


def registry_file(artifacts: Path, model: str) -> Path:
    """Where a model's registry entries lie."""
    return artifacts / "registry" / f"{model}.json"


def origin_file(batch: Path) -> Path:
    """Where the origin of a raw batch's file lies."""
    return batch.with_name(batch.name.split(".", 1)[0] + ORIGIN)


def write_datasets(engine: sa.Engine, lake: Path, datasets: Iterable[str]) -> None:
    """Write the histories of datasets whose ledger rows just changed; one that says the same already is left alone.

    Call it after the change's own transaction. Writers of one dataset take turns, each with what the ledger says then.
    """
    with engine.begin() as connection:
        wanted = sorted(set(datasets))
        snapshots.lock_datasets(connection, wanted)
        for dataset in wanted:
            path = history_file(lake, dataset)
            if path.parent.is_dir():  # a dataset that was only named has no files, so there is nothing to find again
                _write(path, _rows(connection, _OF_DATASET, dataset))


def write_batches(engine: sa.Engine, lake: Path, ids: Sequence[str] | None = None) -> None:
    """Write where recorded batches came from beside their files; all of the ledger's when `ids` is not given."""
    with engine.connect() as connection:
        connection.execute(_UTC)
        for row in connection.execute(_OF_BATCHES, {"ids": ids if ids is None else list(ids)}):
            if (lake / row.path).is_file():
                _write(origin_file(lake / row.path), {"ingest.batch": [row.batch], "ingest.work_unit": row.units})


def write_model(engine: sa.Engine, artifacts: Path, model: str) -> None:
    """Write what the registry knows of a model."""
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT name FROM registry.model WHERE name = :name FOR UPDATE"), {"name": model})
        rows = _rows(connection, _OF_MODEL, model)
    if rows["registry.model"]:
        _write(registry_file(artifacts, model), rows)


def write_all(engine: sa.Engine, lake: Path, artifacts: Path) -> None:
    """Write everything that is kept in files, of every dataset, batch and model."""
    with engine.connect() as connection:
        datasets = list(connection.scalars(sa.text("SELECT name FROM lake.dataset ORDER BY name")))
        models = list(connection.scalars(sa.text("SELECT name FROM registry.model ORDER BY name")))
    write_datasets(engine, lake, datasets)
    write_batches(engine, lake)
    for model in models:
        write_model(engine, artifacts, model)


def read(path: Path) -> dict[str, list[dict[str, Any]]] | None:
    """Rows by table of a file that this module wrote; None when it is not there or damaged."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        tables: dict[str, list[dict[str, Any]]] = held["tables"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return tables


def _rows(connection: sa.Connection, queries: dict[str, str], name: str) -> dict[str, list[dict[str, Any]]]:
    """Rows by table, of one query: a query each takes longer on its way than in the server."""
    connection.execute(_UTC)
    parts = (
        f"SELECT {number} AS number, row_number() OVER () AS place, q.doc FROM ({sql}) q (doc)"  # noqa: S608 - our texts
        for number, sql in enumerate(queries.values())
    )
    together = sa.text(f"{' UNION ALL '.join(parts)} ORDER BY number, place")
    rows: list[list[dict[str, Any]]] = [[] for _ in queries]
    for number, _, doc in connection.execute(together, {"name": name}):
        rows[number].append(doc)
    return dict(zip(queries, rows, strict=True))


def _write(path: Path, tables: dict[str, list[dict[str, Any]]]) -> None:
    write_json(path, {"format": FORMAT, "tables": tables})
