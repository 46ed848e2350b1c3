-- Which stars are nearest, by parallaxes that are known to 10% or better?
SELECT
    object_id, ra, dec,
    1000 / parallax_mas AS distance_pc,
    1000 / parallax_mas * parallax_mas_err / parallax_mas AS distance_err_pc,
    g_mag, g_abs_mag, bp_rp
FROM features.sed
WHERE parallax_mas > 10 * parallax_mas_err
ORDER BY parallax_mas DESC, object_id
LIMIT 25;
