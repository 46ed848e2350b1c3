-- The batch that brought each curated row.
SELECT NULL::VARCHAR AS survey, NULL::VARCHAR AS survey_id, NULL::VARCHAR AS batch_id WHERE false
-- each: curated.* with batch_id
UNION ALL
SELECT '{subject}', {id}::VARCHAR, batch_id FROM {dataset}
