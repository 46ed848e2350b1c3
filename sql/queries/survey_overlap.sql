-- How many objects has each combination of surveys?
WITH combinations AS (
    SELECT object_id, string_agg(DISTINCT survey, ' + ' ORDER BY survey) AS surveys
    FROM curated.associations
    GROUP BY object_id
)
SELECT surveys, count(*) AS objects
FROM combinations
GROUP BY surveys
ORDER BY objects DESC, surveys;
