SELECT o.object_id, o.ra, o.dec, f.g_mag, f.bp_rp, t.teff_k, t.teff_k_lower, t.teff_k_upper
FROM cone('curated.objects', 0.0, 0.0, 3.0) AS o JOIN features.sed AS f USING (object_id)
JOIN scores.photometric_teff AS t USING (object_id) WHERE NOT t.is_out_of_range ORDER BY o.object_id;
