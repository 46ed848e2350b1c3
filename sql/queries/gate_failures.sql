-- Which gates failed, on what, and what did the failing rows look like?
SELECT
    snapshot.dataset, substr(gate.snapshot, 1, 16) AS snapshot, snapshot.state, gate.checked_at,
    expectation.column_name, expectation.expectation, expectation.failing, expectation.observed,
    expectation.kwargs, expectation.failing_rows
FROM ledger.gate AS gate
JOIN ledger.snapshot AS snapshot ON snapshot.key = gate.snapshot
JOIN ledger.expectation AS expectation ON expectation.gate = gate.id
WHERE NOT expectation.passed
ORDER BY gate.checked_at DESC, snapshot.dataset, expectation.number;
