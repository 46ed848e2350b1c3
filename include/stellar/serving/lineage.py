"""The graph from survey query to score, both ways, and what the ledger knows of each node."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from stellar.errors import InputError
from stellar.ledger import lineage
from stellar.ledger.lineage_graph import Graph, subgraph

if TYPE_CHECKING:
    from stellar.settings import Settings

Direction = Literal["up", "down", "both"]
Answer = dict[str, Any]

MOST_EVENTS = 500
FOUND = 60  # hits of a search; more than that is a list nobody reads
_SHORTEST = 2
_RUN = sa.text("""
    SELECT 'snapshot' AS kind, key AS id FROM lake.snapshot WHERE run_id = :run
    UNION ALL SELECT 'version', key FROM registry.version WHERE run_id = :run
    UNION ALL SELECT 'batch', batch_id FROM ingest.batch WHERE run_id = :run""")
_SEARCH = sa.text("""
    SELECT * FROM (
        (SELECT 'snapshot' AS kind, key AS id, dataset AS name, state, NULL AS said, committed_at AS at
           FROM lake.snapshot
          WHERE dataset ILIKE :like OR key LIKE :prefix OR step ILIKE :like
          ORDER BY state = 'current' DESC, committed_at DESC NULLS LAST LIMIT :limit)
        UNION ALL
        (SELECT 'version', key, model || ' ' || number, state, NULL, created_at FROM registry.version
          WHERE model ILIKE :like OR key LIKE :prefix ORDER BY state = 'current' DESC, created_at DESC LIMIT :limit)
        UNION ALL
        (SELECT 'batch', batch_id, dataset || ' ' || unit,
                CASE WHEN superseded_by IS NULL THEN 'active' ELSE 'superseded' END, left(query, 300), fetched_at
           FROM ingest.batch
          WHERE batch_id LIKE :prefix OR query ILIKE :like OR unit ILIKE :like OR service ILIKE :like
          ORDER BY superseded_by IS NULL DESC, fetched_at DESC LIMIT :limit)
        UNION ALL
        (SELECT 'run', run_id, run_id, NULL, NULL, max(planned_at) FROM lake.snapshot WHERE run_id ILIKE :like
          GROUP BY run_id ORDER BY max(planned_at) DESC LIMIT :limit)) AS found
     LIMIT :limit""")
_ONE = {
    "snapshot": sa.text("""
        SELECT s.*, d.description, d.id_column, a.rows_in, a.rows_out, a.merged, a.filtered, a.filtered_by,
               a.quarantined
          FROM lake.snapshot s JOIN lake.dataset d ON d.name = s.dataset
          LEFT JOIN lake.accounting a ON a.snapshot = s.key WHERE s.key = :id"""),
    "version": sa.text("""
        SELECT v.*, m.family, m.target, m.description FROM registry.version v JOIN registry.model m ON m.name = v.model
         WHERE v.key = :id"""),
    "batch": sa.text("SELECT * FROM ingest.batch WHERE batch_id = :id"),
    "run": sa.text("""
        SELECT :id AS run_id, (SELECT min(planned_at) FROM lake.snapshot WHERE run_id = :id) AS first_planned_at,
               (SELECT max(committed_at) FROM lake.snapshot WHERE run_id = :id) AS last_committed_at,
               (SELECT count(*) FROM lake.snapshot WHERE run_id = :id) AS snapshots,
               (SELECT count(*) FROM ingest.batch WHERE run_id = :id) AS batches,
               (SELECT count(*) FROM registry.version WHERE run_id = :id) AS versions"""),
}
_GATES = sa.text("""
    SELECT g.id, g.passed, g.rows_checked, g.checked_at, g.run_id, count(e.*) AS expectations,
           count(e.*) FILTER (WHERE NOT e.passed) AS failed FROM quality.gate g
      LEFT JOIN quality.expectation e ON e.gate = g.id WHERE g.snapshot = :id GROUP BY g.id
     ORDER BY g.id DESC LIMIT 20""")
_PROMOTIONS = {
    "snapshot": sa.text("""
        SELECT from_snapshot AS replaced, who, reason, promoted_at FROM lake.promotion WHERE to_snapshot = :id
         ORDER BY id DESC LIMIT 20"""),
    "version": sa.text("""
        SELECT from_version AS replaced, alias, who, reason, promoted_at FROM registry.promotion WHERE to_version = :id
         ORDER BY id DESC LIMIT 20"""),
}
_PARTITIONS = sa.text("""
    SELECT sp.name, sp.partition_key AS key, p.rows, p.bytes FROM lake.snapshot_partition sp
      JOIN lake.partition p ON p.key = sp.partition_key WHERE sp.snapshot = :id ORDER BY sp.name LIMIT 500""")
_METRICS = sa.text("""
    SELECT name, value, lower, upper, n FROM registry.metric WHERE version = :id AND slice = 'all' AND split = 'test'
     ORDER BY name""")
_COLUMNS = sa.text("""
    SELECT column_name, input_dataset, input_column, transformation FROM lineage.column_edge WHERE snapshot = :id
     ORDER BY column_name, input_dataset, input_column""")
_EVENTS = sa.text("""
    SELECT e.id, e.event_time, e.event_type, e.job, CAST(e.ol_run AS text) AS ol_run, e.run_id, e.snapshot, e.body,
           o.sent_at, o.attempts, o.error FROM lineage.event e LEFT JOIN lineage.outbox o ON o.event = e.id
     WHERE (CAST(:run AS text) IS NULL OR e.run_id = :run)
       AND (CAST(:snapshot AS text) IS NULL OR e.snapshot = :snapshot)
     ORDER BY e.id DESC LIMIT :limit""")


def graph(
    engine: sa.Engine,
    settings: Settings,
    *,
    ref: str | None = None,
    star: str | None = None,
    run: str | None = None,
    direction: Direction = "both",
    training: bool = True,
) -> Answer:
    """Nodes and edges around a dataset, model, snapshot, version or batch (`ref`), a star, or a run: one of the three.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        On the ledger.
    settings : Settings
        Of the home; a star is looked up in its lake.
    ref : str, optional
        As `stellar.ledger.lineage.resolve` takes it.
    star : str, optional
        An object's id, or a survey's id of it.
    run : str, optional
        ``dag/run`` as the ledger has it: what it made, and what that came from and became.
    direction : str
        ``up`` to the queries, ``down`` to the scores, or ``both``.
    training : bool
        Whether to go on through model versions to what they were trained on. Of a star only its own rows are walked.

    Returns
    -------
    dict
        ``roots`` (ids), ``nodes`` (``id, kind`` and facts), ``edges`` (child, parent as places in `nodes`, role),
        ``warning`` (or None), and of a star ``star``: its sources and scores.

    Raises
    ------
    InputError
        When none, or more than one, is named, or the name means nothing.
    """
    if sum(one is not None for one in (ref, star, run)) != 1:
        raise InputError("name one of ref (dataset, model, snapshot, version, batch), star, or run")
    if direction not in ("up", "down", "both"):
        raise InputError(f"direction {direction!r} is none of up, down, both")
    ways = ("up", "down") if direction == "both" else (direction,)
    if star is not None:
        return _of_star(engine, settings, star)
    if run is not None:
        with engine.connect() as connection:
            made = [(row.kind, row.id) for row in connection.execute(_RUN, {"run": run})]
        if not made:
            raise InputError(f"run {run!r} made nothing that the ledger knows; runs are named DAG/RUN_ID")
        found = subgraph(engine, made, ways, training=training)
        return _answer(_with_run(found, run, [key for _, key in made]), [run])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        root = lineage.resolve(engine, str(ref))
    warning = next((str(one.message) for one in said if one.category is UserWarning), None)
    return _answer(subgraph(engine, [root], ways, training=training), [root[1]], warning)


def _with_run(found: Graph, run: str, made: list[str]) -> Graph:
    nodes = {run: {"kind": "run", "id": run, "run_id": run}, **found.nodes}
    return Graph(nodes, [*found.edges, *((key, run, "made by") for key in made)])


def _answer(found: Graph, roots: list[str], warning: str | None = None) -> Answer:
    place = {key: number for number, key in enumerate(found.nodes)}
    return {
        "roots": roots,
        "nodes": [plain(node) for node in found.nodes.values()],
        "edges": [[place[c], place[p], role] for c, p, role in found.edges if c in place and p in place],
        "warning": warning,
    }


def _of_star(engine: sa.Engine, settings: Settings, star: str) -> Answer:
    """The graph of one object: its own batches, the datasets between them and its scores, and the models of these."""
    from stellar.lake.sql import connect

    with connect(settings, engine) as connection:
        found = lineage.object_lineage(engine, connection, star)
    sources, scores = found["sources"], found["scores"]
    brought = {one["batch"]["id"] for one in sources if one.get("batch")}
    ends = {one["lineage"]["id"] for one in scores} or {one["snapshot"] for one in sources if one.get("snapshot")}
    whole = subgraph(engine, [("snapshot", key) for key in sorted(ends)], ("up",), training=False)
    kept = _leading_to(whole, brought)
    kept |= {p for c, p, _ in whole.edges if c in kept and whole.nodes.get(p, {}).get("kind") == "version"}
    nodes = {key: node for key, node in whole.nodes.items() if key in kept or key in ends}
    nodes = {found["id"]: {"kind": "star", "id": found["id"]}, **nodes}
    edges = [edge for edge in whole.edges if edge[0] in nodes and edge[1] in nodes]
    edges += [(found["id"], key, "row of") for key in sorted(ends)]
    answer = _answer(Graph(nodes, edges), [found["id"]])
    told = [{name: one[name] for name in ("dataset", "row")} for one in scores]
    return {**answer, "star": {"id": found["id"], "sources": sources, "scores": [plain(one) for one in told]}}


def _leading_to(found: Graph, ends: set[str]) -> set[str]:
    """Nodes with one of some ends upstream, and those ends."""
    children: dict[str, list[str]] = {}
    for child, parent, _ in found.edges:
        children.setdefault(parent, []).append(child)
    reached, todo = set(), [key for key in ends if key in found.nodes]
    while todo:
        key = todo.pop()
        if key not in reached:
            reached.add(key)
            todo += children.get(key, [])
    return reached


def names(engine: sa.Engine) -> Answer:
    """What a graph may begin at by name: ``datasets`` and ``models`` with something current, ``runs`` of late."""
    with engine.connect() as connection:

        def column(sql: str) -> list[str]:
            return list(connection.scalars(sa.text(sql)))

        return {
            "datasets": column("SELECT dataset FROM lake.current ORDER BY dataset"),
            "models": column("SELECT model FROM registry.version WHERE state = 'current' ORDER BY model"),
            "runs": column(
                "SELECT run_id FROM lake.snapshot WHERE run_id IS NOT NULL GROUP BY run_id"
                " ORDER BY max(planned_at) DESC LIMIT 30"
            ),
        }


def search(engine: sa.Engine, text: str, limit: int = FOUND) -> list[Answer]:
    """Snapshots, versions, batches and runs by name, beginning of a key, unit, service or text of the query.

    Returns
    -------
    list of dict
        ``kind, id, name, state, said`` (a batch's query), ``at``.

    Raises
    ------
    InputError
        When the text is too short to mean something.
    """
    text = text.strip()
    if len(text) < _SHORTEST:
        raise InputError(f"give at least {_SHORTEST} letters of a name, key or query to search for")
    escaped = re.sub(r"([\\%_])", r"\\\1", text)
    values = {"like": f"%{escaped}%", "prefix": f"{escaped.lower()}%", "limit": max(1, min(limit, FOUND))}
    with engine.connect() as connection:
        return [plain(row) for row in connection.execute(_SEARCH, values).mappings()]


def node(engine: sa.Engine, kind: str, key: str) -> Answer:
    """Everything that the ledger knows of one node.

    Returns
    -------
    dict
        ``kind, id``, ``facts``; of snapshots ``gates, promotions, partitions, columns`` as well, of versions
        ``promotions, metrics``.

    Raises
    ------
    InputError
        When there is no such node.
    """
    if kind not in _ONE:
        raise InputError(f"there are no nodes of kind {kind!r}; there are {', '.join(_ONE)}")
    values = {"id": key}
    with engine.connect() as connection:

        def rows(statement: sa.TextClause) -> list[Answer]:
            return [plain(row) for row in connection.execute(statement, values).mappings()]

        found = rows(_ONE[kind])
        if not found or (kind == "run" and not any(found[0][name] for name in ("snapshots", "batches", "versions"))):
            raise InputError(f"the ledger knows no {kind} {key}")
        answer: Answer = {"kind": kind, "id": key, "facts": found[0]}
        if kind in _PROMOTIONS:
            answer["promotions"] = rows(_PROMOTIONS[kind])
        if kind == "snapshot":
            answer["gates"], answer["partitions"] = rows(_GATES), rows(_PARTITIONS)
            answer["columns"] = rows(_COLUMNS)
        if kind == "version":
            answer["metrics"] = rows(_METRICS)
    return answer


def plain(row: Any) -> Answer:
    """A row as what JSON can hold."""
    return {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in row.items()}


def events(engine: sa.Engine, run: str | None = None, snapshot: str | None = None, limit: int = 100) -> list[Answer]:
    """Newest OpenLineage events, of a run or about a snapshot or version where given: ``id, …, body``, ``sent_at``.

    Of `limit` at least one and at most `MOST_EVENTS` are given.
    """
    limit = max(1, min(limit, MOST_EVENTS))
    with engine.connect() as connection:
        rows = connection.execute(_EVENTS, {"run": run, "snapshot": snapshot, "limit": limit})
        return [plain(row) for row in rows.mappings()]
