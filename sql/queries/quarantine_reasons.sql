-- Why were rows quarantined, in which dataset, and which query brought them?
SELECT dataset, reason, rows, batch_id, batch.survey, batch.unit, batch.query
FROM views.quarantined LEFT JOIN ledger.batch AS batch USING (batch_id)
ORDER BY rows DESC, dataset, reason, batch_id;
