-- Which stars are variables of each class with a probability over 0.9?
SELECT
    variability_class, lc_id, object_id, round(probability, 3) AS probability, ra, dec
FROM scores.lightcurve_class
WHERE probability > 0.9 AND NOT is_out_of_range AND variability_class <> 'CONST'
ORDER BY variability_class, probability DESC, lc_id;
