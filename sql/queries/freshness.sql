-- How fresh is each dataset: when was it made current, and when was the newest of its rows fetched from a survey?
SELECT
    current.dataset, current.rows, substr(current.snapshot, 1, 16) AS snapshot, current.since,
    max(batch.fetched_at) AS newest_fetch,
    round(date_diff('minute', max(batch.fetched_at), now()) / 60.0, 1) AS hours_old
FROM ledger.current AS current
LEFT JOIN ledger.upstream AS upstream ON upstream.root = current.snapshot AND upstream.ancestor_kind = 'batch'
LEFT JOIN ledger.batch AS batch ON batch.batch_id = upstream.ancestor
GROUP BY ALL
ORDER BY current.dataset;
