-- Which of my stars in own.stars found no partner in my cross-match own.stars_gaia?
-- A left row without a partner is in the pairs of --how left too, with nothing on its right side.
SELECT star.*
FROM own.stars AS star
ANTI JOIN own.stars_gaia AS pair ON pair.id_left = star.id AND pair.id_right IS NOT NULL
ORDER BY star.id;
