-- How good is each model version on its test set, and was it promoted, by whom and why?
SELECT
    version.model, version.number, substr(version.key, 1, 16) AS version, version.state,
    metric.name AS metric, round(metric.value, 4) AS value, round(metric.lower, 4) AS lower_bound,
    round(metric.upper, 4) AS upper_bound, metric.n, promotion.who, promotion.reason, promotion.promoted_at
FROM ledger.version AS version
JOIN ledger.metric AS metric ON metric.version = version.key AND metric.split = 'test' AND metric.slice = 'all'
LEFT JOIN ledger.registry_promotion AS promotion ON promotion.to_version = version.key AND promotion.alias = 'current'
ORDER BY version.model, version.number DESC, metric.name, promotion.promoted_at;
