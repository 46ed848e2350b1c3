-- Which objects lie within half a degree of RA 0, Dec 19.5, nearest first?
-- The cone opens only the partitions that it touches.
SELECT object_id, ra, dec, round(center_separation_arcsec, 3) AS separation_arcsec, class, phot_g_mean_mag, psfmag_r
FROM cone('curated.objects', 0.0, 19.5, 0.5)
ORDER BY center_separation_arcsec, object_id;
