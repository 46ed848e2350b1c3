-- Is everything fresh: each survey synced within 8 days, and scores made within 24 hours from a sync's end?
-- Scores are late when a sync has brought other rows than they were made of and a day has passed since.
WITH RECURSIVE walk AS (
    SELECT dataset AS score, snapshot AS node FROM ledger.current WHERE dataset LIKE 'scores.%'
    UNION
    SELECT walk.score, edge.parent FROM walk JOIN ledger.edge AS edge ON edge.child = walk.node
    WHERE edge.parent_kind = 'snapshot'
),
made_of AS (
    SELECT walk.score, newest.dataset AS raw, newest.since AS synced, bool_or(used.content_hash = newest.content_hash) AS has_it
    FROM walk
    JOIN ledger.snapshot AS used ON used.key = walk.node AND used.dataset LIKE 'raw.%'
    JOIN ledger.current AS newest ON newest.dataset = used.dataset
    GROUP BY ALL
),
late AS (
    SELECT
        score AS name, max(synced) AS newest, min(synced) FILTER (NOT has_it) AS waits_since,
        string_agg(raw, ', ' ORDER BY raw) FILTER (NOT has_it) AS waits_for
    FROM made_of
    GROUP BY score
),
synced AS (
    SELECT survey AS name, max(happened) AS newest FROM (
        SELECT survey, fetched_at AS happened FROM ledger.batch
        UNION ALL SELECT survey, state_at FROM ledger.work_unit WHERE state = 'done'
        UNION ALL SELECT survey, updated_at FROM ledger.cursor
    )
    GROUP BY survey
)
SELECT
    'survey' AS kind, name, newest AS newest_sync, round(date_diff('minute', newest, now()) / 60.0, 1) AS hours,
    8 * 24 AS limit_hours, NULL AS waits_for, newest > now() - INTERVAL 8 DAY AS is_fresh
FROM synced
UNION ALL
SELECT
    'scores', name, newest, coalesce(round(date_diff('minute', waits_since, now()) / 60.0, 1), 0), 24, waits_for,
    coalesce(waits_since > now() - INTERVAL 24 HOUR, true)
FROM late
ORDER BY is_fresh, kind, name;
