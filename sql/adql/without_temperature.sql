SELECT best_survey, count(*) AS n FROM curated.objects ANTI JOIN
(SELECT object_id FROM scores.photometric_teff WHERE teff_k IS NOT NULL) AS known USING (object_id)
GROUP BY best_survey ORDER BY best_survey;
