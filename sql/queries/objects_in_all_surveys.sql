-- Which objects were seen by every survey that this home holds?
SELECT
    object_id, any_value(ra) AS ra, any_value(dec) AS dec, count(DISTINCT survey) AS surveys, count(*) AS sources,
    max(separation_arcsec) AS largest_separation_arcsec
FROM curated.associations
GROUP BY object_id
HAVING surveys = (SELECT count(DISTINCT survey) FROM curated.associations)
ORDER BY object_id;
