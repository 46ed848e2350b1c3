SELECT object_id, center_separation_arcsec AS separation_arcsec FROM cone('curated.objects', 0.0, 0.0, 5.0)
ORDER BY separation_arcsec, object_id LIMIT 20;
