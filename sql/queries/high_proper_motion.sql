-- Which stars move fastest across the sky, and how fast is that in km/s where the parallax tells?
SELECT
    object_id, ra, dec, g_mag,
    round(pm_total, 1) AS pm_mas_yr,
    -- 4.740470 km/s is one au a year
    round(CASE WHEN parallax_mas > 5 * parallax_mas_err THEN 4.740470 * pm_total / parallax_mas END, 1) AS velocity_km_s
FROM features.sed
WHERE pm_total IS NOT NULL
ORDER BY pm_total DESC, object_id
LIMIT 25;
