-- Which stars are faint and blue enough for their distance to be white dwarfs, and what does their spectrum say?
SELECT
    object_id, sed.ra, sed.dec, round(sed.bp_rp, 3) AS bp_rp, round(sed.g_abs_mag, 2) AS g_abs_mag,
    round(1000 / sed.parallax_mas, 1) AS distance_pc, classified.spectral_class, round(classified.probability, 3) AS probability
FROM features.sed AS sed LEFT JOIN scores.spectral_class AS classified USING (object_id)
-- the line of Gentile Fusillo et al. (2019), MNRAS 482, 4570, equation 2, simplified
WHERE sed.parallax_mas > 5 * sed.parallax_mas_err AND sed.g_abs_mag > 5 + 5.93 * (sed.bp_rp + 0.6) AND sed.bp_rp < 1.5
ORDER BY sed.g_abs_mag DESC, object_id;
