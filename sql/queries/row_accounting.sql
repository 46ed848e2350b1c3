-- Does every step account for every row: rows in = rows out + merged + filtered + quarantined?
SELECT
    snapshot.dataset, accounting.step, substr(accounting.snapshot, 1, 16) AS snapshot,
    rows_in, rows_out, merged, filtered, quarantined,
    rows_in = rows_out + merged + filtered + quarantined AND rows_out = snapshot.rows AS adds_up,
    filtered_by
FROM ledger.accounting AS accounting JOIN ledger.snapshot AS snapshot ON snapshot.key = accounting.snapshot
WHERE snapshot.state = 'current'
ORDER BY snapshot.dataset;
