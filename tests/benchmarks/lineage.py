"""Lineage of a score: a ledger made with thousands of ancestors, walked by us and by others."""

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import sqlalchemy as sa

DATASETS = 40  # of the surveys; each a raw snapshot and a curated one
VERSIONS = 10
REPEATS = 9
SEED = 20260101

# the same columns that the flow fills, by SQL: making so many by syncs would take an hour
_MAKE = """
ALTER TABLE lake.snapshot DISABLE TRIGGER USER; ALTER TABLE registry.version DISABLE TRIGGER USER;
INSERT INTO lake.dataset (name) SELECT layer || '.made_' || n FROM generate_series(1, {datasets}) n,
       unnest(ARRAY['raw', 'curated']) layer
    UNION ALL SELECT * FROM unnest(ARRAY['curated.crossmatch', 'curated.objects', 'features.sed', 'features.labels',
       'scores.catalog']);
INSERT INTO lake.dataset (name) SELECT 'scores.made_' || n FROM generate_series(1, {versions}) n;
INSERT INTO ingest.batch (batch_id, survey, dataset, release, unit, sign, service, query, response_sha256, row_count,
       path, bytes, file_sha256)
    SELECT encode(sha256(('batch' || n)::bytea), 'hex'), 'made', 'raw.made_' || 1 + n % {datasets}, 'dr1', 'unit ' || n,
       '1', 'https://made.example/tap',
       'SELECT * FROM made WHERE source_id BETWEEN ' || n * 1000 || ' AND ' || n * 1000 + 999,
       repeat('0', 64), 1000, 'p', 1, repeat('0', 64) FROM generate_series(1, {batches}) n;
INSERT INTO lake.snapshot (key, dataset, step, step_version, state, rows, bytes, partitions, path, content_hash,
       committed_at)
    SELECT encode(sha256(name::bytea), 'hex'), name, 'made', 1, 'current', 1, 1, 1, name, repeat('0', 64), now()
      FROM lake.dataset;
INSERT INTO registry.model (name, family, target) SELECT 'made-' || n, 'f', 't' FROM generate_series(1, {versions}) n;
INSERT INTO registry.version (key, model, number, state, architecture, config, code_version, seed, frame_hash,
       artifact_sha256, artifact_path)
    SELECT encode(sha256(('model' || n)::bytea), 'hex'), 'made-' || n, 1, 'current', 'a', '{{}}', '1', 1, 'f',
       repeat('0', 64), 'p' FROM generate_series(1, {versions}) n;
INSERT INTO lineage.edge
    WITH s AS (SELECT dataset AS name, key FROM lake.snapshot), links (child, parent) AS (
        SELECT 'curated.made_' || n, 'raw.made_' || n FROM generate_series(1, {datasets}) n
        UNION ALL SELECT c, 'curated.made_' || n FROM generate_series(1, {datasets}) n,
               unnest(ARRAY['curated.crossmatch', 'curated.objects', 'features.sed', 'features.labels']) c
        UNION ALL VALUES ('curated.objects', 'curated.crossmatch'), ('features.sed', 'curated.objects'),
               ('features.labels', 'curated.objects'), ('scores.catalog', 'curated.objects')
        UNION ALL SELECT 'scores.made_' || n, 'features.sed' FROM generate_series(1, {versions}) n
        UNION ALL SELECT 'scores.catalog', 'scores.made_' || n FROM generate_series(1, {versions}) n)
    SELECT c.key, 'snapshot', p.key, 'snapshot', p.name
      FROM links JOIN s c ON c.name = child JOIN s p ON p.name = parent
    UNION ALL SELECT s.key, 'snapshot', b.batch_id, 'batch', 'batch' FROM ingest.batch b JOIN s ON s.name = b.dataset
    UNION ALL SELECT encode(sha256(('model' || n)::bytea), 'hex'), 'version', s.key, 'snapshot', s.name
      FROM generate_series(1, {versions}) n, s WHERE s.name IN ('features.sed', 'features.labels')
    UNION ALL SELECT s.key, 'snapshot', encode(sha256(('model' || n)::bytea), 'hex'), 'version', 'model'
      FROM generate_series(1, {versions}) n JOIN s ON s.name = 'scores.made_' || n;
ALTER TABLE lake.snapshot ENABLE TRIGGER USER; ALTER TABLE registry.version ENABLE TRIGGER USER;
"""
# other lineage, which a walk must not read
_NOISE = """
ALTER TABLE lineage.edge DISABLE TRIGGER USER;
INSERT INTO lineage.edge SELECT encode(sha256(('child' || n)::bytea), 'hex'), 'snapshot',
       encode(sha256(('parent' || n % 50000)::bytea), 'hex'), 'snapshot', 'noise' FROM generate_series(1, {noise}) n;
ALTER TABLE lineage.edge ENABLE TRIGGER USER; ANALYZE lineage.edge;
"""


def make(owner: sa.Engine, batches: int, noise: int = 0) -> None:
    """Fill an empty ledger with a flow of `batches` batches, and with `noise` edges of other lineage."""
    with owner.begin() as connection:
        for part in (_MAKE, *((_NOISE,) if noise else ())):
            text = part.format(datasets=DATASETS, versions=VERSIONS, batches=batches, noise=noise)
            connection.connection.cursor().execute(text)


def naive(engine: sa.Engine, root: str) -> set[str]:
    """Ancestors by asking for the parents of each node in turn: what a walk costs without recursion in the database."""
    seen, todo = set(), [root]
    statement = sa.text("SELECT parent FROM lineage.edge WHERE child = :child")
    with engine.connect() as connection:
        while todo:
            for parent in connection.execute(statement, {"child": todo.pop()}).scalars():
                if parent not in seen:
                    seen.add(parent)
                    todo.append(parent)
    return seen


def by_networkx(engine: sa.Engine, root: str) -> tuple[set[str], float]:
    """Ancestors by `networkx.ancestors`, and the seconds of it alone, without loading all edges of the ledger."""
    import networkx

    with engine.connect() as connection:
        graph = networkx.DiGraph(connection.execute(sa.text("SELECT parent, child FROM lineage.edge")).all())
    started = time.perf_counter()
    return set(networkx.ancestors(graph, root)), time.perf_counter() - started


def run(batches: int, noise: int) -> dict:
    """Milliseconds of each way to the same ancestors; they are checked to be the same."""
    from stellar.ledger import lineage, lineage_graph
    from stellar.ledger.connect import ledger_session
    from stellar.serving import lineage as serving
    from stellar.settings import load_settings

    with ExitStack() as stack:
        # not below the user's own folders: as root, Postgres runs as somebody else
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stellar-bench-", dir="/tmp")))
        home.chmod(0o755)
        settings = load_settings(home=home, postgres_url=None)
        owner = stack.enter_context(ledger_session(settings, role="owner"))
        make(owner, batches, noise)
        reader = stack.enter_context(ledger_session(settings, role="reader"))
        kind, root = lineage.resolve(reader, "scores.catalog")
        ms: dict[str, list[float]] = {}

        def timed(name, work):  # type: ignore[no-untyped-def]
            started = time.perf_counter()
            found = work()
            ms.setdefault(name, []).append(1e3 * (time.perf_counter() - started))
            return found

        for _ in range(REPEATS):
            ours = timed("ours", lambda: lineage_graph.subgraph(reader, [(kind, root)], ("up",)))
            answer = timed("page", lambda: json.dumps(serving.graph(reader, settings, ref="scores.catalog")))
            peer, alone = timed("networkx, edges loaded first", lambda: by_networkx(reader, root))
            ms.setdefault("networkx, in memory", []).append(1e3 * alone)
            if set(ours.nodes) - {root} != peer:
                raise SystemExit("the walks do not agree")
        timed("one query a node", lambda: naive(reader, root))
        return {
            "ancestors": len(ours.nodes) - 1,
            "edges": len(ours.edges),
            "ledger_edges": len(ours.edges) + noise,
            "answer_bytes": len(answer),
            "ms": {name: round(median(took), 2) for name, took in ms.items()},
            "spread_ms": {name: [round(min(took), 2), round(max(took), 2)] for name, took in ms.items()},
        }


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:]))))
