-- Between which classes (three or more) can the light-curve model not decide, and how often?
SELECT
    list_aggregate(list_sort(prediction_set), 'string_agg', ' ') AS classes,
    count(*) AS curves,
    round(median(probability), 3) AS median_probability,
    min(lc_id) AS example
FROM scores.lightcurve_class
WHERE len(prediction_set) >= 3
GROUP BY ALL
ORDER BY curves DESC, classes;
