-- What did the temperature of one star come from: model version, snapshots and the surveys' queries?
WITH RECURSIVE star AS (
    SELECT object_id, model, model_version FROM scores.photometric_teff ORDER BY object_id LIMIT 1
),
walk AS (
    SELECT 0 AS depth, current.snapshot AS node, 'snapshot' AS kind, 'score' AS role
    FROM ledger.current AS current WHERE current.dataset = 'scores.photometric_teff'
    UNION
    SELECT walk.depth + 1, edge.parent, edge.parent_kind, edge.role
    FROM walk JOIN ledger.edge AS edge ON edge.child = walk.node
)
SELECT
    (SELECT object_id FROM star) AS object_id,
    min(walk.depth) AS depth, walk.kind, walk.role,
    coalesce(snapshot.dataset, version.model || ' version ' || version.number, batch.dataset || ' ' || batch.unit) AS name,
    substr(walk.node, 1, 16) AS key,
    batch.service, batch.query
FROM walk
LEFT JOIN ledger.snapshot AS snapshot ON snapshot.key = walk.node
LEFT JOIN ledger.version AS version ON version.key = walk.node
LEFT JOIN ledger.batch AS batch ON batch.batch_id = walk.node
GROUP BY ALL
ORDER BY depth, kind DESC, name;
