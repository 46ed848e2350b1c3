-- How does the mix of spectral classes change with galactic latitude?
SELECT
    floor(abs(galactic_lat_deg) / 10) * 10 AS latitude_from_deg,
    spectral_class,
    count(*) AS stars,
    round(100.0 * count(*) / sum(count(*)) OVER (PARTITION BY floor(abs(galactic_lat_deg) / 10)), 1) AS percent
FROM scores.spectral_class JOIN features.sed USING (object_id)
WHERE NOT is_out_of_range
GROUP BY ALL
ORDER BY latitude_from_deg, stars DESC, spectral_class;
