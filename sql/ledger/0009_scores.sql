-- The newest scores as tables of Postgres: views scores.<subject> over rows in scores_rows, filled by the promotion of a
-- snapshot (stellar.engine.publish), and cones on the sky in SQL. All of it is made from the lake: a restored or rebuilt
-- ledger runs this file again and publishes anew, so it begins by dropping what was there.

DROP SCHEMA IF EXISTS scores, scores_rows, stellar_sky CASCADE;
CREATE SCHEMA scores;
CREATE SCHEMA scores_rows;
CREATE SCHEMA stellar_sky;

CREATE TABLE scores.published (
    dataset      text PRIMARY KEY REFERENCES lake.dataset (name),
    snapshot     text REFERENCES lake.snapshot (key), -- whose rows the table holds; null where none were copied yet
    relation     text,                                -- table of scores_rows with the rows
    rows         bigint CHECK (rows >= 0),
    copied       bigint,                              -- rows copied last: of the partitions that had changed
    seconds      double precision,
    published_at timestamptz,
    fault        text,                                -- why the newest attempt failed
    tried_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE scores.published IS 'Which snapshot the rows of each table of scores are of, and since when';

CREATE VIEW scores.behind AS
SELECT c.dataset, c.snapshot AS current, p.snapshot AS published, c.since, p.fault
  FROM lake.current c LEFT JOIN scores.published p USING (dataset)
 WHERE c.dataset LIKE 'scores.%' AND p.snapshot IS DISTINCT FROM c.snapshot;
COMMENT ON VIEW scores.behind IS
    'Scores of which a newer snapshot is current than Postgres holds, and why; `stellar datasets publish` copies them';

-- Angle between two directions. Vincenty (1975), as astropy's angular_separation: exact at every distance and pole.
-- 1e-30 degrees more: Postgres refuses to square what is so small that its square is nothing.
CREATE FUNCTION stellar_sky.distance_deg(
    ra1 double precision, dec1 double precision, ra2 double precision, dec2 double precision
) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT degrees(atan2(
        sqrt(power(cos(radians($4)) * sin(radians(($3 + 1e-30) - ($1 + 1e-30))), 2)
           + power(cos(radians($2)) * sin(radians($4 + 1e-30))
                   - sin(radians($2 + 1e-30)) * cos(radians($4)) * cos(radians($3 - $1)), 2)),
        sin(radians($2 + 1e-30)) * sin(radians($4 + 1e-30)) + cos(radians($2)) * cos(radians($4)) * cos(radians($3 - $1))))
$$;
COMMENT ON FUNCTION stellar_sky.distance_deg IS 'Angle in degrees between two positions in degrees';

-- Ranges of the nested HEALPix index of order 29 that cover a cone: the twelve base pixels are split as long as they
-- touch it. Centres of pixels: Gorski et al. (2005), ApJ 622, 759, equations 4 to 9, nested as in section 4.1. No point
-- of a pixel is farther from its centre than 1.069 / nside rad (the limit of healpy.max_pixrad(nside) * nside, which
-- grows to 1.06897).
CREATE FUNCTION stellar_sky.cone_ranges(center_ra double precision, center_dec double precision, radius_deg double precision)
    RETURNS TABLE (low bigint, high bigint) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 20 AS $$
DECLARE
    radius double precision := radians(radius_deg);
    far constant double precision := 1.07;
    deepest integer;
    cx double precision;
    cy double precision;
    cz double precision;
BEGIN
    IF center_ra IS NULL OR center_dec IS NULL OR radius_deg IS NULL THEN
        RETURN;
    END IF;
    IF NOT (center_dec BETWEEN -90 AND 90 AND radius_deg BETWEEN 0 AND 180 AND abs(center_ra) <= 3600) THEN
        RAISE EXCEPTION 'cone at (%, %) with radius %: degrees are meant, a declination from -90 to 90 and a radius '
                        'from 0 to 180', center_ra, center_dec, radius_deg USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- the last pixels are a quarter of the radius wide
    deepest := least(29, greatest(1, ceil(log(2, (4 * far / greatest(radius, 1e-12))::numeric))::integer));
    cx := cos(radians(center_dec)) * cos(radians(center_ra));
    cy := cos(radians(center_dec)) * sin(radians(center_ra + 1e-30)); -- as in distance_deg
    cz := sin(radians(center_dec + 1e-30));
    RETURN QUERY
    WITH RECURSIVE pixel(o, p, face, x, y, whole) AS (
        SELECT 0, f::bigint, f, 0, 0, false FROM generate_series(0, 11) AS f
        UNION ALL
        SELECT near.o, near.p, near.face, near.x, near.y, near.away + far / near.nside <= radius
          FROM (
            SELECT v.o, v.p, v.face, v.x, v.y, v.nside,
                   -- by the chord, which is exact where it matters: for small angles
                   2 * asin(least(1, sqrt(power(v.sth * cos(v.phi) - cx, 2) + power(v.sth * sin(v.phi) - cy, 2)
                                          + power(v.z - cz, 2)) / 2)) AS away
              FROM (
                SELECT r.o, r.p, r.face, r.x, r.y, r.nside,
                       CASE WHEN r.ring < r.nside THEN 1 - r.tmp WHEN r.ring > 3 * r.nside THEN r.tmp - 1
                            ELSE (2 * r.nside - r.ring) * 2 / (3.0::double precision * r.nside) END AS z,
                       CASE WHEN r.ring < r.nside OR r.ring > 3 * r.nside THEN sqrt(r.tmp * (2 - r.tmp))
                            ELSE sqrt(1 - power((2 * r.nside - r.ring) * 2 / (3.0::double precision * r.nside), 2))
                       END AS sth,
                       pi() / 4 * ((ARRAY[1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])[r.face + 1] * r.nr + r.x - r.y) / r.nr AS phi
                  FROM (
                    SELECT q.*, n.nr, power(n.nr / q.nside, 2) / 3 AS tmp
                      FROM (
                        SELECT c.o, c.p, c.face, c.x, c.y, power(2::double precision, c.o) AS nside,
                               (2 + c.face / 4) * power(2::double precision, c.o) - c.x - c.y - 1 AS ring
                          FROM (
                            SELECT above.o + 1 AS o, above.p * 4 + b AS p, above.face, above.x * 2 + (b & 1) AS x,
                                   above.y * 2 + (b >> 1) AS y
                              FROM pixel AS above, generate_series(0, 3) AS b
                             WHERE NOT above.whole AND above.o < deepest) AS c) AS q,
                      LATERAL (SELECT CASE WHEN q.ring < q.nside THEN q.ring
                                           WHEN q.ring > 3 * q.nside THEN 4 * q.nside - q.ring ELSE q.nside END AS nr) AS n
                    ) AS r) AS v) AS near
         -- a thousandth more, and 2 micro-arcseconds, for rounding
         WHERE near.away <= radius + far / near.nside * 1.001 + 1e-11
    ),
    covered AS (
        SELECT p << (2 * (29 - o)) AS first, ((p + 1) << (2 * (29 - o))) - 1 AS last
          FROM pixel WHERE o = deepest OR whole
    ),
    marked AS (
        SELECT first, last, first > lag(last) OVER (ORDER BY first) + 1 AS apart FROM covered
    ),
    grouped AS (
        SELECT first, last, count(*) FILTER (WHERE apart) OVER (ORDER BY first) AS part FROM marked
    )
    SELECT min(first), max(last) FROM grouped GROUP BY part ORDER BY 1;
END $$;
COMMENT ON FUNCTION stellar_sky.cone_ranges IS
    'Ranges of _healpix_29 (both ends belong to them) that hold every position of a cone, and some beside it; degrees';

-- A cone of any table of scores by name. Each table has one of its own with all its columns: scores.<table>_cone(...).
CREATE FUNCTION scores.cone(table_name text, center_ra double precision, center_dec double precision, radius_deg double precision)
    RETURNS TABLE (id text, ra double precision, "dec" double precision, center_separation_arcsec double precision)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    wanted text := regexp_replace(table_name, '^scores\.', '');
    id_name text;
BEGIN
    SELECT d.id_column INTO id_name FROM lake.dataset d JOIN scores.published p ON p.dataset = d.name
     WHERE p.relation IS NOT NULL AND d.name = 'scores.' || wanted;
    IF id_name IS NULL THEN
        RAISE EXCEPTION 'scores.cone: no table scores.%; there are: %', table_name,
            coalesce((SELECT string_agg(dataset, ', ' ORDER BY dataset) FROM scores.published WHERE relation IS NOT NULL),
                     'none, no scores are current yet') USING ERRCODE = 'undefined_table';
    END IF;
    IF to_regproc(format('scores.%I', wanted || '_cone')) IS NULL THEN
        RAISE EXCEPTION 'scores.cone: the rows of scores.% have no positions', wanted USING ERRCODE = 'undefined_function';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT %I::text, ra, "dec", center_separation_arcsec FROM scores.%I($1, $2, $3) ORDER BY 4, 1', id_name,
        wanted || '_cone') USING center_ra, center_dec, radius_deg;
END $$;
COMMENT ON FUNCTION scores.cone IS
    'Ids, positions and distances of the rows of a table of scores within an angle (degrees), nearest first';

DO $$
DECLARE
    role text;
    part text;
BEGIN
    FOREACH role IN ARRAY ARRAY['stellar_reader', 'stellar_pipeline'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            FOREACH part IN ARRAY ARRAY['scores', 'stellar_sky'] LOOP
                EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', part, role);
                EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', part, role);
            END LOOP;
        END IF;
    END LOOP;
    -- the tables belong to who fills them: their columns follow the models'
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'stellar_pipeline') THEN
        GRANT USAGE, CREATE ON SCHEMA scores, scores_rows TO stellar_pipeline;
        GRANT INSERT, UPDATE, DELETE ON scores.published TO stellar_pipeline;
    END IF;
END $$;
