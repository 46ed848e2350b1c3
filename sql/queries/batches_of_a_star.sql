-- Which queries brought the rows of one star (of those that most surveys saw), from each survey?
WITH star AS (
    SELECT object_id FROM curated.associations
    GROUP BY object_id
    ORDER BY count(DISTINCT survey) DESC, object_id
    LIMIT 1
),
sources AS (
    SELECT object_id, survey, survey_id FROM curated.associations WHERE object_id = (SELECT object_id FROM star)
)
SELECT object_id, survey, survey_id, batch.batch_id, batch.service, batch.query, batch.fetched_at, batch.row_count
FROM sources
JOIN views.source_batches AS source USING (survey, survey_id)
JOIN ledger.batch AS batch ON batch.batch_id = source.batch_id
ORDER BY survey, survey_id;
