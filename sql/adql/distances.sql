SELECT object_id, 1000 / parallax_mas AS distance_pc, g_mag + 5 * log10(parallax_mas) - 10 AS g_abs_mag,
       round(parallax_mas_err, 3) AS error_mas
FROM features.sed WHERE parallax_mas > 5 * parallax_mas_err AND g_mag IS NOT NULL
ORDER BY distance_pc, object_id LIMIT 100;
