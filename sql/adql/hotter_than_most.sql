SELECT object_id, upper(object_id) AS name, teff_k, CAST(trunc(teff_k) AS INTEGER) AS whole_k
FROM scores.photometric_teff WHERE teff_k > (SELECT avg(teff_k) FROM scores.photometric_teff) + 2000
ORDER BY teff_k DESC, object_id OFFSET 2;
