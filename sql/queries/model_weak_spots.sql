-- On which slices (magnitude, signal to noise, latitude, class) are the current models weakest?
SELECT version.model, metric.name AS metric, metric.slice, round(metric.value, 4) AS value, metric.n
FROM ledger.version AS version JOIN ledger.metric AS metric ON metric.version = version.key
WHERE version.state = 'current' AND metric.slice <> 'all' AND metric.split = 'test'
ORDER BY version.model, metric.name, metric.value, metric.slice;
