-- How fresh everything is. A survey's sync is fresh for 8 days, counted from the last one that ended with nothing left
-- to fetch. Scores are late when something that they are made from, at whatever remove, became current with other
-- content more than 24 hours ago and they do not follow from it yet. Surveys that were never synced have no row.
CREATE VIEW quality.freshness AS
WITH RECURSIVE brought AS (
    SELECT survey, max(fetched_at) AS at FROM ingest.batch WHERE path NOT LIKE 'staged/%' GROUP BY survey
), sync AS (
    SELECT b.survey, greatest(b.at, c.updated_at) AS at
      FROM brought b LEFT JOIN ingest.cursor c ON c.survey = b.survey AND c.name = 'synced'
), needed (dataset, snapshot) AS (
    SELECT dataset, snapshot FROM lake.current WHERE dataset = 'scores.catalog'
    UNION
    SELECT c.dataset, c.snapshot
      FROM needed n
      JOIN lineage.edge e ON e.child = n.snapshot AND e.parent_kind = 'snapshot'
      JOIN lake.snapshot p ON p.key = e.parent
      JOIN lake.current c ON c.dataset = p.dataset
), waiting AS (
    SELECT c.since
      FROM needed n
      JOIN lineage.edge e ON e.child = n.snapshot AND e.parent_kind = 'snapshot'
      JOIN lake.snapshot p ON p.key = e.parent
      JOIN lake.current c ON c.dataset = p.dataset
     WHERE c.content_hash <> p.content_hash
    UNION ALL
    SELECT v.state_at
      FROM needed n
      JOIN lineage.edge e ON e.child = n.snapshot AND e.parent_kind = 'version'
      JOIN registry.version p ON p.key = e.parent
      JOIN registry.version v ON v.model = p.model AND v.state = 'current' AND v.key <> p.key
), scores AS (
    SELECT (SELECT since FROM lake.current WHERE dataset = 'scores.catalog') AS at,
           (SELECT min(since) FROM waiting) AS waiting_since
)
SELECT 'sync' AS kind, survey AS name, at, NULL::timestamptz AS waiting_since, 8 * 24 AS limit_hours,
       CASE WHEN at < now() - interval '8 days' THEN 'late' ELSE 'fresh' END AS state
  FROM sync
UNION ALL
SELECT 'scores', 'scores.catalog', at, waiting_since, 24,
       CASE WHEN at IS NULL THEN 'never' WHEN waiting_since < now() - interval '24 hours' THEN 'late' ELSE 'fresh' END
  FROM scores;
