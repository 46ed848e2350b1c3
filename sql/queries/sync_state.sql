-- How far is each survey's sync: units planned, done and failed, rows brought, and the last error?
SELECT
    unit.survey, unit.dataset, unit.release,
    count(*) AS units,
    count(*) FILTER (unit.state = 'done') AS done,
    count(*) FILTER (unit.state = 'failed') AS failed,
    sum(batch.row_count) AS rows,
    max_by(unit.error, unit.state_at) FILTER (unit.state = 'failed') AS last_error
FROM ledger.work_unit AS unit LEFT JOIN ledger.batch AS batch USING (batch_id)
GROUP BY ALL
ORDER BY unit.survey, unit.dataset;
