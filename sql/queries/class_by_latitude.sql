-- How does the mix of spectral classes change with galactic latitude?
WITH counted AS (
    SELECT floor(abs(galactic_lat_deg) / 10) * 10 AS latitude_from_deg, spectral_class, count(*) AS stars
    FROM scores.spectral_class JOIN features.sed USING (object_id)
    WHERE NOT is_out_of_range
    GROUP BY ALL
)
SELECT
    latitude_from_deg, spectral_class, stars,
    round(100.0 * stars / sum(stars) OVER (PARTITION BY latitude_from_deg), 1) AS percent
FROM counted
ORDER BY latitude_from_deg, stars DESC, spectral_class;
