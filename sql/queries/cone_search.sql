-- Which objects lie within a quarter of a degree of RA 0, Dec 0, nearest first?
-- The cone opens only the partitions that it touches.
SELECT object_id, ra, dec, round(center_separation_arcsec, 3) AS separation_arcsec, class, phot_g_mean_mag, psfmag_r
FROM cone('curated.objects', 0.0, 0.0, 0.25)
ORDER BY center_separation_arcsec, object_id;
