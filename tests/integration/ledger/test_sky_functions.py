"""Cones in Postgres's SQL beside astropy and cdshealpix."""

import io

import astropy.units as u
import numpy as np
import pytest
import sqlalchemy as sa
from astropy.coordinates import angular_separation
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stellar.engine.publish import cone_function
from stellar.ledger.connect import ledger_session
from stellar.sky.healpix import spatial_index

RELAXED = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Postgres refuses the text of a subnormal number
ra = st.one_of(st.floats(0, 360, allow_subnormal=False), st.sampled_from([0.0, 90.0, 180.0, 270.0, 360.0, 45.0]))
dec = st.one_of(
    st.floats(-90, 90, allow_subnormal=False),
    st.sampled_from([-90.0, 0.0, 90.0, 89.999999, -41.8103148957786, 41.8103148957786]),
)
radius = st.one_of(st.sampled_from([0.0, 1e-9, 90.0, 179.0, 180.0]), st.floats(-9, 2.25).map(lambda power: 10.0**power))


@pytest.fixture
def sql(settings, ledger):
    with ledger_session(settings, role="reader") as reader, reader.connect() as connection:
        yield lambda text, **values: connection.execute(sa.text(text), values).all()


def separations(center_ra, center_dec, ras, decs):
    degrees = [np.deg2rad(x) for x in (center_ra, center_dec, ras, decs)]
    return (angular_separation(*degrees) * u.rad).to_value(u.deg)


def points_about(center_ra, center_dec, radius_deg, seed):
    """Positions at, within and beyond a cone's edge and all over the sky; degrees."""
    random = np.random.default_rng(seed)
    away = np.deg2rad(radius_deg) * np.concatenate([np.ones(40), random.uniform(0, 1.5, 60)])
    angle = random.uniform(0, 2 * np.pi, len(away))
    lat = np.deg2rad(center_dec)
    sin = np.sin(lat) * np.cos(away) + np.cos(lat) * np.sin(away) * np.cos(angle)
    near_dec = np.arcsin(np.clip(sin, -1, 1))
    near_ra = np.deg2rad(center_ra) + np.arctan2(
        np.sin(angle) * np.sin(away) * np.cos(lat), np.cos(away) - np.sin(lat) * sin
    )
    ras = np.concatenate([np.rad2deg(near_ra) % 360, random.uniform(0, 360, 100), [center_ra % 360, 0, 0, 360 - 1e-9]])
    far_dec = np.rad2deg(np.arcsin(random.uniform(-1, 1, 100)))
    return ras, np.concatenate([np.rad2deg(near_dec), far_dec, [center_dec, 90, -90, center_dec]])


@RELAXED
@given(ra, dec, radius, st.integers(0, 2**32))
@example(0.0, 90.0, 0.001, 1)
@example(360.0, -90.0, 30.0, 2)
@example(0.0, 0.0, 0.1, 3)
def test_ranges_hold_every_position_of_the_cone(sql, center_ra, center_dec, radius_deg, seed):
    ranges = np.array(
        sql("SELECT low, high FROM stellar_sky.cone_ranges(:a, :d, :r)", a=center_ra, d=center_dec, r=radius_deg)
    )
    assert (ranges[:, 0] <= ranges[:, 1]).all() and (ranges[1:, 0] > ranges[:-1, 1] + 1).all()
    assert len(ranges) < 120
    ras, decs = points_about(center_ra, center_dec, radius_deg, seed)
    inside = separations(center_ra, center_dec, ras, decs) <= radius_deg
    index = np.asarray(spatial_index(ras, decs))
    covered = ((index[:, None] >= ranges[:, 0]) & (index[:, None] <= ranges[:, 1])).any(axis=1)
    assert covered[inside].all()


@RELAXED
@given(ra, dec, st.floats(1e-4, 40))
def test_ranges_hold_little_beside_the_cone(sql, center_ra, center_dec, radius_deg):
    """Twice the cone's width would be four times its area."""
    [(covered,)] = sql(
        "SELECT sum(high - low + 1) FROM stellar_sky.cone_ranges(:a, :d, :r)", a=center_ra, d=center_dec, r=radius_deg
    )
    share = float(covered) / (12 * 4.0**29)
    assert share < 4 * (1 - np.cos(np.deg2rad(radius_deg))) / 2 * 1.2


@RELAXED
@given(ra, dec, ra, dec)
def test_distance_is_astropys(sql, ra1, dec1, ra2, dec2):
    [(found,)] = sql("SELECT stellar_sky.distance_deg(:a, :b, :c, :d)", a=ra1, b=dec1, c=ra2, d=dec2)
    assert found == pytest.approx(separations(ra1, dec1, ra2, dec2), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize(
    "values", ["10, 91, 1", "10, 0, -1", "10, 0, 181", "10, 'NaN', 1", "'NaN', 0, 1", "10, 0, 'NaN'"]
)
def test_a_cone_that_is_none_is_refused(sql, values):
    assert sql("SELECT * FROM stellar_sky.cone_ranges(NULL, 0, 1)") == []
    with pytest.raises(sa.exc.DataError, match="a radius from 0 to 180"):
        sql(f"SELECT * FROM stellar_sky.cone_ranges({values})")


def test_a_cone_of_a_large_table_reads_an_index(settings, ledger, sql):
    """300,000 positions; what is planned must not be a scan of them all."""
    n = 300_000
    random = np.random.default_rng(1)
    ras, decs = random.uniform(0, 360, n), np.rad2deg(np.arcsin(random.uniform(-1, 1, n)))
    index = np.sort(np.asarray(spatial_index(ras, decs)))
    lines = "".join(f"{i}\t{a}\t{d}\n" for i, a, d in zip(index, ras, decs, strict=True))
    with ledger.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(
            'CREATE TABLE scores_rows.large (_healpix_29 bigint, ra double precision, "dec" double precision)'
        )
        cursor.copy_expert("COPY scores_rows.large FROM STDIN", io.StringIO(lines))
        cursor.execute("CREATE INDEX ON scores_rows.large (_healpix_29); ANALYZE scores_rows.large")
        cursor.execute("CREATE VIEW scores.large AS SELECT *, 'x' AS snapshot FROM scores_rows.large")
        columns = [("_healpix_29", "bigint"), ("ra", "double precision"), ("dec", "double precision")]
        cursor.execute(cone_function("scores.large", "scores.large_cone", columns))
        cursor.execute("GRANT SELECT ON scores.large TO stellar_reader")
    for radius_deg in (0.001, 0.1, 2.0):
        plan = "\n".join(row[0] for row in sql(f"EXPLAIN SELECT * FROM scores.large_cone(10, -89.9, {radius_deg})"))
        assert "large__healpix_29_idx" in plan and "Seq Scan" not in plan, plan
