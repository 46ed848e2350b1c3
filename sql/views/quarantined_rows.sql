-- Every row in quarantine: its dataset, id, reason and batch.
SELECT NULL::VARCHAR AS dataset, NULL::VARCHAR AS row_id, NULL::VARCHAR AS reason, NULL::VARCHAR AS batch_id WHERE false
-- each: quarantine.*
UNION ALL
SELECT '{name}', {id}::VARCHAR, reason, batch_id FROM {dataset}
