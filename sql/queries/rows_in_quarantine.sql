-- Which rows are in quarantine now, each with its reason, and when did which query bring it?
SELECT refused.dataset, refused.row_id, refused.reason, batch.survey, batch.unit, batch.fetched_at, batch.query
FROM views.quarantined_rows AS refused LEFT JOIN ledger.batch AS batch USING (batch_id)
ORDER BY refused.dataset, refused.reason, refused.row_id;
