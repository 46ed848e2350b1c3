SELECT object_id FROM curated.objects
WHERE (object_id IN (SELECT object_id FROM features.sed WHERE g_mag < 14)
       OR object_id IN (SELECT object_id FROM scores.photometric_teff WHERE teff_k > 7000))
  AND object_id NOT IN (SELECT object_id FROM features.sed WHERE bp_rp > 1)
ORDER BY object_id;
