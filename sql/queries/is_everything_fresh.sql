-- Is everything fresh: each survey synced within 8 days, and scores made within 24 hours from a sync's end?
-- The definition is the ledger's own (sql/ledger/0012_freshness.sql).
SELECT
    kind, name, "at" AS newest, waiting_since,
    round(date_diff('minute', coalesce(waiting_since, "at"), now()) / 60.0, 1) AS hours, limit_hours,
    state = 'fresh' AS is_fresh
FROM ledger.freshness
ORDER BY is_fresh, kind, name;
