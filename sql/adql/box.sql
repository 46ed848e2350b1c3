-- On the plane that touches the sky at the centre a box is a rectangle.
SELECT best_survey, count(*) AS n FROM curated.objects
WHERE cos(radians(ra)) > 0 AND abs(tan(radians(ra))) <= tan(radians(3))
  AND abs(tan(radians(dec)) / cos(radians(ra))) <= tan(radians(0.5))
GROUP BY best_survey ORDER BY n DESC, best_survey;
