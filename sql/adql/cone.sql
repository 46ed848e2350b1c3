SELECT object_id, ra, dec, best_survey FROM cone('curated.objects', 0.0, 0.0, 2.0) ORDER BY object_id;
