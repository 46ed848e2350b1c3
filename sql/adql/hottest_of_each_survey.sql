SELECT best_survey, object_id, teff_k
FROM curated.objects JOIN scores.photometric_teff USING (object_id) WHERE teff_k IS NOT NULL
QUALIFY rank() OVER (PARTITION BY best_survey ORDER BY teff_k DESC) = 1
ORDER BY best_survey, object_id;
