-- Which pairs of my cross-match own.stars_gaia have a rival that is nearly as near?
-- Made by `stellar crossmatch stars curated.gaia --name stars_gaia`. Each left row has its nearest partner; the runner-up
-- was in the radius too.
SELECT
    id_left, id_right, n_candidates, match_probability,
    round(separation_arcsec, 4) AS separation_arcsec, round(runner_up_arcsec, 4) AS runner_up_arcsec
FROM own.stars_gaia
WHERE n_candidates > 1 AND runner_up_arcsec < 3 * separation_arcsec
ORDER BY runner_up_arcsec - separation_arcsec, id_left;
