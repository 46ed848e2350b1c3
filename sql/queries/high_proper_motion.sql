-- Which stars move fastest across the sky, and how fast is that in km/s where the parallax tells?
SELECT
    source_id, ra, dec, phot_g_mean_mag,
    sqrt(pmra ^ 2 + pmdec ^ 2) AS pm_mas_yr,
    -- 4.740470 km/s is one au a year
    CASE WHEN parallax > 5 * parallax_error THEN 4.740470 * sqrt(pmra ^ 2 + pmdec ^ 2) / parallax END AS velocity_km_s
FROM curated.gaia
WHERE pmra IS NOT NULL
ORDER BY pm_mas_yr DESC, source_id
LIMIT 25;
