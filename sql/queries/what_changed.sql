-- What changed in each dataset with its newest promotion: rows, bytes, and how many of its partitions?
-- Row by row and column by column: SELECT * FROM changes('curated.objects', 'former', 'current')
WITH pairs AS (
    SELECT dataset, from_snapshot AS former, to_snapshot AS now, promoted_at, who, reason
    FROM ledger.lake_promotion
    QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY id DESC) = 1
),
files AS (
    SELECT held.snapshot, held.name, partition.file_sha256
    FROM ledger.snapshot_partition AS held JOIN ledger.partition AS partition ON partition.key = held.partition_key
),
compared AS (
    SELECT
        pairs.dataset,
        count(*) FILTER (former.name IS NULL AND now.name IS NOT NULL) AS added,
        count(*) FILTER (now.name IS NULL AND former.name IS NOT NULL) AS removed,
        count(*) FILTER (former.file_sha256 <> now.file_sha256) AS replaced,
        count(*) FILTER (former.file_sha256 = now.file_sha256) AS same
    FROM pairs
    LEFT JOIN (
        SELECT pairs.dataset, files.* FROM pairs JOIN files ON files.snapshot IN (pairs.former, pairs.now)
    ) AS either ON either.dataset = pairs.dataset
    LEFT JOIN files AS former ON former.snapshot = pairs.former AND former.name = either.name
    LEFT JOIN files AS now ON now.snapshot = pairs.now AND now.name = either.name
    WHERE now.name IS NULL OR either.snapshot = pairs.now
    GROUP BY pairs.dataset
)
SELECT
    pairs.dataset, pairs.promoted_at, pairs.who, pairs.reason, substr(pairs.former, 1, 16) AS former,
    substr(pairs.now, 1, 16) AS current, now.rows - coalesce(former.rows, 0) AS more_rows,
    now.bytes - coalesce(former.bytes, 0) AS more_bytes, now.content_hash IS DISTINCT FROM former.content_hash AS is_other,
    compared.added, compared.removed, compared.replaced, compared.same
FROM pairs
JOIN ledger.snapshot AS now ON now.key = pairs.now
LEFT JOIN ledger.snapshot AS former ON former.key = pairs.former
LEFT JOIN compared ON compared.dataset = pairs.dataset
ORDER BY pairs.promoted_at DESC, pairs.dataset;
