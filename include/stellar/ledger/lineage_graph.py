"""The lineage around some nodes as a graph: every node once, with its facts, in one statement for each kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

Fact = dict[str, Any]

# Nodes are walked, not edges: a node is one short value to compare, however many edges end in it. LATERAL with its
# OFFSET 0 keeps the planner at an index scan for each node: it takes a walk for ten times as many rows as it brings,
# and would read the whole table at every level.
_WALKS = {
    "up": """
    WITH RECURSIVE walk (id, kind) AS (
        SELECT r.id, r.kind FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[])) AS r (id, kind)
        UNION
        SELECT e.parent, e.parent_kind FROM walk w CROSS JOIN LATERAL (
            SELECT parent, parent_kind FROM lineage.edge WHERE child = w.id OFFSET 0) e
         WHERE :training OR w.kind <> 'version'
    )
    SELECT e.child, e.child_kind, e.parent, e.parent_kind, e.role FROM walk w CROSS JOIN LATERAL (
        SELECT * FROM lineage.edge WHERE child = w.id OFFSET 0) e WHERE :training OR e.child_kind <> 'version'""",
    "down": """
    WITH RECURSIVE walk (id, kind) AS (
        SELECT r.id, r.kind FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[])) AS r (id, kind)
        UNION
        SELECT e.child, e.child_kind FROM walk w CROSS JOIN LATERAL (
            SELECT child, child_kind FROM lineage.edge WHERE parent = w.id OFFSET 0) e
         WHERE :training OR e.child_kind <> 'version'
    )
    SELECT e.child, e.child_kind, e.parent, e.parent_kind, e.role FROM walk w CROSS JOIN LATERAL (
        SELECT * FROM lineage.edge WHERE parent = w.id OFFSET 0) e WHERE :training OR e.child_kind <> 'version'""",
}
_FACTS = {
    "snapshot": """
        SELECT s.key AS id, s.dataset, s.step, s.step_version, s.state, s.rows, s.partitions, s.committed_at,
               s.companion_of, s.run_id, g.passed AS gate
          FROM lake.snapshot s LEFT JOIN LATERAL (
               SELECT passed FROM quality.gate WHERE snapshot = s.key ORDER BY id DESC LIMIT 1) g ON true
         WHERE s.key = ANY(:ids)""",
    "version": """
        SELECT key AS id, model, number, state, architecture, training_rows AS rows, created_at, run_id
          FROM registry.version WHERE key = ANY(:ids)""",
    "batch": """
        SELECT batch_id AS id, survey, dataset, release, unit, service, row_count AS rows, fetched_at,
               superseded_by IS NOT NULL AS superseded, run_id
          FROM ingest.batch WHERE batch_id = ANY(:ids)""",
}


@dataclass(frozen=True)
class Graph:
    """Nodes with their facts (``kind``, ``id`` and the ledger's columns), and edges (child, parent, role)."""

    nodes: dict[str, Fact]
    edges: list[tuple[str, str, str]]


def subgraph(
    engine: sa.Engine,
    roots: Iterable[tuple[str, str]],
    directions: Sequence[str] = ("up", "down"),
    *,
    training: bool = True,
) -> Graph:
    """Everything that some nodes were made from, and everything that was made from them.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        On the ledger.
    roots : iterable of (kind, id)
    directions : sequence of str
        ``up`` (what they were made from), ``down`` (what was made from them), or both.
    training : bool
        Whether the walk goes on through model versions: up to what they were trained on, down to what they scored.

    Returns
    -------
    Graph
        Roots without an edge are in it as well.
    """
    roots = list(roots)
    kinds = {key: kind for kind, key in roots}
    values = {"ids": [key for _, key in roots], "kinds": [kind for kind, _ in roots], "training": training}
    edges: dict[tuple[str, str, str], None] = {}
    with engine.connect() as connection:
        for direction in directions:
            for child, child_kind, parent, parent_kind, role in connection.execute(sa.text(_WALKS[direction]), values):
                edges[child, parent, role] = None
                kinds[child], kinds[parent] = child_kind, parent_kind
        nodes = facts(connection, kinds)
    return Graph(nodes, list(edges))


def facts(connection: sa.Connection, kinds: dict[str, str]) -> dict[str, Fact]:
    """What a graph shows of each node; id -> kind in, id -> facts out, one statement a kind."""
    found: dict[str, Fact] = {}
    for kind, sql in _FACTS.items():
        ids = [key for key, its in kinds.items() if its == kind]
        if ids:
            rows = connection.execute(sa.text(sql), {"ids": ids})
            names = ("kind", *rows.keys())
            # of plain tuples: thousands of rows as mappings would cost more than the query
            found |= {row[0]: dict(zip(names, (kind, *row), strict=True)) for row in rows.all()}
    return found
