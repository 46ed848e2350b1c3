SELECT object_id, count(DISTINCT survey) AS surveys, max(separation_arcsec) AS largest_arcsec
FROM curated.associations SEMI JOIN (FROM curated.objects WHERE n_sources > 1) USING (object_id)
GROUP BY object_id HAVING surveys > 1 ORDER BY surveys DESC, object_id;
