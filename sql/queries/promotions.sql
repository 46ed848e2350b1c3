-- Who made which dataset or model current, when, why, and on which evidence?
WITH gates AS (
    SELECT
        gate.snapshot, max_by(gate.passed, gate.id) AS passed, max_by(gate.rows_checked, gate.id) AS rows_checked,
        max_by(told.expectations, gate.id) AS expectations, max_by(gate.checked_at, gate.id) AS checked_at
    FROM ledger.gate AS gate
    LEFT JOIN (SELECT gate, count(*) AS expectations FROM ledger.expectation GROUP BY gate) AS told ON told.gate = gate.id
    GROUP BY gate.snapshot
)
SELECT
    promoted_at, 'dataset' AS kind, dataset AS name, substr(from_snapshot, 1, 16) AS former,
    substr(to_snapshot, 1, 16) AS promoted, who, reason,
    CASE WHEN gates.passed THEN 'gate passed' ELSE 'gate failed' END
        || coalesce(', ' || gates.expectations || ' expectations', '')
        || coalesce(', ' || gates.rows_checked || ' rows', '') AS evidence
FROM ledger.lake_promotion LEFT JOIN gates ON gates.snapshot = to_snapshot
UNION ALL
SELECT
    promoted_at, 'model', model || CASE alias WHEN 'current' THEN '' ELSE '@' || alias END, substr(from_version, 1, 16),
    substr(to_version, 1, 16), who, reason, evidence::VARCHAR
FROM ledger.registry_promotion
ORDER BY promoted_at DESC, kind, name;
