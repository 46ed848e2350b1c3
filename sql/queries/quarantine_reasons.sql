-- Why were rows quarantined, in which dataset, and which query brought them?
SELECT refused.dataset, refused.reason, refused.rows, refused.batch_id, batch.survey, batch.unit, batch.query
FROM views.quarantined AS refused LEFT JOIN ledger.batch AS batch USING (batch_id)
ORDER BY refused.rows DESC, refused.dataset, refused.reason, refused.batch_id;
