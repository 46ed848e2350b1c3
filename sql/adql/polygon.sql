SELECT object_id, teff_k FROM polygon('scores.photometric_teff', [358.0, 6.0, 2.0], [-3.0, -3.0, 4.0])
WHERE teff_k >= 6000 ORDER BY teff_k DESC, object_id;
