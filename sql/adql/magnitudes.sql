SELECT floor(g_mag * 2) / 2 AS g_from, count(*) AS stars, count(bp_rp) AS with_colour, avg(bp_rp) AS mean_bp_rp
FROM features.sed WHERE g_mag IS NOT NULL GROUP BY 1 HAVING count(*) > 2 ORDER BY g_from;
