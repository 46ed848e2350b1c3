-- For which stars do spectroscopic and photometric effective temperature disagree most, in units of their errors?
WITH spectroscopic AS (
    SELECT object_id, value_float AS teff_spec_k, coalesce(error_float, 0) AS error_k, survey, survey_id
    FROM features.labels
    WHERE target = 'teff_k' AND value_float IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY object_id ORDER BY error_float NULLS LAST, survey, survey_id) = 1
)
SELECT
    object_id, survey, survey_id,
    round(teff_spec_k) AS teff_spec_k, round(error_k) AS teff_spec_err_k,
    round(teff_k) AS teff_phot_k, round(teff_k_lower) AS teff_k_lower, round(teff_k_upper) AS teff_k_upper,
    -- the conformal interval's half width stands for the photometric error
    round((teff_spec_k - teff_k) / sqrt(error_k ^ 2 + ((teff_k_upper - teff_k_lower) / 2) ^ 2), 2) AS disagreement
FROM spectroscopic JOIN scores.photometric_teff USING (object_id)
WHERE NOT is_out_of_range
ORDER BY abs(disagreement) DESC, object_id
LIMIT 50;
