-- Which scores and models would be tainted, if the batch that brought the most rows turned out to be bad?
-- Put the batch in question into `bad`. `rows` is all that was made with it on the way; `own_rows` counts the scored
-- objects that one of its rows belongs to.
WITH bad AS (
    SELECT batch_id, survey, dataset, unit, query FROM ledger.batch ORDER BY row_count DESC, batch_id LIMIT 1
),
tainted AS (
    SELECT down.descendant AS key, down.descendant_kind AS kind
    FROM ledger.downstream AS down JOIN bad ON down.root = bad.batch_id
),
of_its_rows AS (
    SELECT count(DISTINCT score.object_id) AS objects
    FROM views.source_batches AS source
    JOIN bad ON bad.batch_id = source.batch_id
    JOIN curated.associations AS one ON one.survey = source.survey AND one.survey_id = source.survey_id
    JOIN scores.photometric_teff AS score ON score.object_id = one.object_id
)
SELECT
    bad.batch_id, bad.dataset AS brought, bad.unit, tainted.kind,
    coalesce(snapshot.dataset, version.model || ' version ' || version.number) AS name,
    substr(tainted.key, 1, 16) AS key, snapshot.rows,
    CASE WHEN snapshot.dataset = 'scores.photometric_teff' THEN of_its_rows.objects END AS own_rows
FROM tainted
CROSS JOIN bad
CROSS JOIN of_its_rows
LEFT JOIN ledger.snapshot AS snapshot ON snapshot.key = tainted.key
LEFT JOIN ledger.version AS version ON version.key = tainted.key
WHERE (snapshot.dataset LIKE 'scores.%' AND snapshot.state = 'current') OR version.state = 'current'
ORDER BY tainted.kind, name;
