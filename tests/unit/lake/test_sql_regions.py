"""Cones, boxes and polygons in SQL: the rows that Python finds, from the row groups that they touch."""

import re

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stellar.lake
from made_catalog import stars, store
from own_tables import sql_over, store_own
from stellar.lake import write
from stellar.lake.sql_regions import fewer_ranges
from stellar.settings import Settings
from stellar.sky.pixels import in_ranges


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """`own.mine` with margins and several row groups per file, and the pairs of a cross-match."""
    made = Settings(home=tmp_path_factory.mktemp("home"), workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "ROW_GROUP_ROWS", 50)
        store(made.lake / "own/mine/0001", stars(), margin_arcsec=3600.0, name="own.mine")
    names = ["id_left", "ra_left", "dec_left", "separation_arcsec", "name", "flux"]
    pairs = stars(600).rename_columns(names)
    store_own(made.lake / "own/pairs/0001", pairs, position=("ra_left", "dec_left"), id_column="id_left")
    return made


@pytest.fixture(scope="module")
def connection(home):
    with sql_over(home, {"own.mine": "own/mine/0001", "own.pairs": "own/pairs/0001"}) as connection:
        yield connection


CENTRES = st.one_of(
    st.sampled_from([(0.0, 0.0), (359.9999, 1.0), (17.0, 90.0), (200.0, -90.0), (90.0, 88.0), (-3.0, -2.5)]),
    st.tuples(st.floats(-5, 5), st.floats(-4, 4)),
)


def same(connection, home, sql: str, parameters: list, expected: pa.Table) -> None:
    found = connection.arrow(f"{sql} ORDER BY star_id", parameters)
    expected = expected.sort_by("star_id")
    assert found.schema.names == expected.schema.names and found.to_pylist() == expected.to_pylist()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CENTRES, st.floats(-5, 2.2))
def test_a_cone_is_pythons_to_the_last_bit(connection, home, centre, log_radius):
    expected = stellar.lake.cone(home.lake / "own/mine/0001", *centre, 10.0**log_radius)
    names = [*expected.column_names[:-1], "center_separation_arcsec"]
    sql = "SELECT * FROM cone('own.mine', ?, ?, ?)"
    same(connection, home, sql, [*centre, 10.0**log_radius], expected.rename_columns(names))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(-10, 370), st.floats(0, 360), st.floats(-90, 90), st.floats(0, 180))
def test_a_box_is_pythons(connection, home, west, width, south, height):
    bounds = [west, west + width, south, min(south + height, 90.0)]
    expected = stellar.lake.box(home.lake / "own/mine/0001", *bounds)
    same(connection, home, "SELECT * FROM box('own.mine', ?, ?, ?, ?)", bounds, expected)


def test_a_polygon_is_pythons(connection, home):
    for ra, dec in (([358, 3, 1], [-2, -1, 3]), ([0.0, 120.0, 240.0], [85.0, 86.0, 87.0])):
        expected = stellar.lake.polygon(home.lake / "own/mine/0001", ra, dec)
        assert expected.num_rows > 20
        same(connection, home, "SELECT * FROM polygon('own.mine', ?, ?)", [ra, dec], expected)


def scanned(connection, sql: str) -> dict[str, int]:
    plan = connection.execute(f"EXPLAIN ANALYZE {sql}").fetchone()[1]
    groups = re.search(r"Row Groups Scanned:\s*(\d+) / (\d+)", plan)
    return {
        "files": int(re.search(r"Total Files Read:\s*(\d+)", plan)[1]),
        "groups": int(groups[1]) if groups else 1,
        "of": int(groups[2]) if groups else 1,
    }


def test_row_groups_that_a_region_does_not_touch_are_skipped(connection):
    ra, dec = connection.execute("SELECT ra, dec FROM own.mine WHERE abs(dec) < 2 ORDER BY ra LIMIT 1").fetchone()
    e = 1e-6
    for sql in (
        f"SELECT * FROM cone('own.mine', {ra}, {dec}, {e})",
        f"SELECT * FROM box('own.mine', {ra - e}, {ra + e}, {dec - e}, {dec + e})",
        f"SELECT * FROM polygon('own.mine', [{ra - e}, {ra + e}, {ra}], [{dec - e}, {dec - e}, {dec + e}])",
    ):
        assert len(connection.execute(sql).fetchall()) == 1
        read = scanned(connection, sql)
        assert read["files"] == read["groups"] == 1 < read["of"], sql


def test_margins_are_in_no_view(connection, home):
    assert list((home.lake / "own/mine/0001/margin").rglob("*.parquet"))
    assert connection.execute("SELECT count(*), count(DISTINCT star_id) FROM own.mine").fetchone() == (3000, 3000)
    assert connection.execute("SELECT count(*) FROM cone('own.mine', 0, 0, 180)").fetchone() == (3000,)


def test_positions_have_the_names_that_the_dataset_gives_them(connection, home):
    table = stellar.lake.cone(home.lake / "own/pairs/0001", 1.0, 90.0, 3.0)
    found = connection.arrow("SELECT * FROM cone('own.pairs', 1.0, 90.0, 3.0) ORDER BY center_separation_arcsec")
    assert found.schema.names == table.schema.names and found.to_pylist() == table.to_pylist()
    assert connection.execute("SELECT count(*) FROM box('own.pairs', 0, 360, 80, 90)").fetchone()[0] > 0


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("cone('mine', 0, 0, 1)", "did you mean own.mine"),
        ("box('own.mine', 0, 1, 5, 2)", "no box"),
        ("polygon('own.mine', [0, 1], [0, 1])", "no polygon"),
        ("polygon('own.mine', [0, 1, 2], [0, 1])", "no polygon"),
    ],
)
def test_a_region_that_is_none_is_explained(connection, call, told):
    with pytest.raises(duckdb.Error, match=told):
        connection.execute(f"SELECT * FROM {call}").fetchall()


def test_a_bare_name_is_no_table(connection):
    with pytest.raises(duckdb.CatalogException, match="mine"):
        connection.execute("SELECT * FROM mine")


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=12), st.integers(1, 5))
def test_fewer_ranges_close_the_smallest_gaps(steps, most):
    edges = np.cumsum(np.array([(gap + 1, size) for gap, size in steps]).ravel()).reshape(-1, 2)
    fewer = fewer_ranges(edges, most)
    assert len(fewer) == min(len(edges), most)
    numbers = np.arange(edges[-1, 1] + 5)
    assert (in_ranges(numbers, fewer) | ~in_ranges(numbers, edges)).all()
    gaps = np.sort(edges[1:, 0] - edges[:-1, 1])
    added = int(np.diff(fewer).sum() - np.diff(edges).sum())
    assert added == gaps[: len(edges) - len(fewer)].sum()
    assert (fewer[1:, 0] > fewer[:-1, 1]).all()
