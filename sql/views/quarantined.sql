-- Quarantined rows by dataset, reason and batch.
SELECT NULL::VARCHAR AS dataset, NULL::VARCHAR AS reason, NULL::BIGINT AS rows, NULL::VARCHAR AS batch_id WHERE false
-- each: quarantine.*
UNION ALL
SELECT '{name}', reason, count(*), batch_id FROM {dataset} GROUP BY ALL
