-- How are stars with a good parallax spread over the Hertzsprung-Russell diagram (colour and absolute magnitude)?
SELECT
    round(floor(bp_rp / 0.25) * 0.25, 2) AS bp_rp_from,
    floor(g_abs_mag) AS g_abs_mag_from,
    count(*) AS stars
FROM features.sed
WHERE parallax_mas / parallax_mas_err > 5
GROUP BY ALL
HAVING bp_rp_from IS NOT NULL AND g_abs_mag_from IS NOT NULL
ORDER BY bp_rp_from, g_abs_mag_from;
