"""SQL over snapshots: views, cones that prune, and nothing that writes or looks elsewhere."""

import re

import duckdb
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.pool import StaticPool

from made_catalog import stars, store
from stellar.errors import InputError
from stellar.lake.hats import finish_catalog, finish_plain
from stellar.lake.sql import connect, refuse_writing
from stellar.lake.sql_text import named_in
from stellar.lake.write import canonical, write_partition
from stellar.settings import Settings
from stellar.sky.separation import separation_arcsec


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Settings, and an engine whose ledger says what lies in the lake (its tables, on SQLite)."""
    made = Settings(home=tmp_path_factory.mktemp("home"), workers=1)
    table = stars()
    store(made.lake / "curated" / "stars" / "0001", table)
    store(made.lake / "curated" / "stars" / "0002", table.slice(0, 60))
    finish_catalog(made.lake / "curated" / "empty" / "0001", "curated.empty", {}, table.schema)
    for stem in ("b1", "b2"):
        write_partition(
            table.slice(0, 10), made.lake / f"raw/stars/0001/dataset/{stem}.parquet", id_column="star_id", sky=False
        )
    finish_plain(made.lake / "raw" / "stars" / "0001", table.schema)
    for stem, part in (("b1", table), ("b2", table.drop_columns(["flux"]))):
        file = made.lake / f"raw/partial/0001/dataset/{stem}.parquet"
        write_partition(part.slice(0, 10), file, id_column="star_id", sky=False)
    finish_plain(made.lake / "raw" / "partial" / "0001", table.schema)
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with engine.begin() as connection:
        for statement in (
            "ATTACH ':memory:' AS lake",
            "CREATE TABLE lake.dataset (name, id_column)",
            "CREATE TABLE lake.current (dataset, snapshot, path, since)",
            "CREATE TABLE lake.snapshot (dataset, key, path)",
            "INSERT INTO lake.current (dataset, path) VALUES"
            " ('curated.stars', 'curated/stars/0001'), ('raw.stars', 'raw/stars/0001'),"
            " ('raw.partial', 'raw/partial/0001'),"
            " ('curated.empty', 'curated/empty/0001'), ('curated.gone', 'curated/gone/0001')",
            "INSERT INTO lake.snapshot VALUES ('curated.stars', 'old', 'curated/stars/0002')",
        ):
            connection.exec_driver_sql(statement)
    return made, engine


@pytest.fixture(scope="module")
def connection(lake):
    with connect(*lake) as opened:
        yield opened


def one(connection, sql, parameters=None):
    return connection.execute(sql, parameters).fetchone()[0]


def test_every_dataset_is_a_view(connection):
    assert one(connection, "SELECT count(*) FROM curated.stars") == 3000
    assert one(connection, "SELECT count(*) FROM raw.stars") == 20
    assert one(connection, "SELECT count(*) FROM curated.stars WHERE star_id = ?", [7]) == 1
    described = connection.execute("DESCRIBE curated.stars").fetchall()
    assert [row[0] for row in described][:3] == ["_healpix_29", "star_id", "ra"]
    assert {"Norder", "Dir"}.isdisjoint(row[0] for row in described)
    assert set(connection.faults) == {"curated.gone"}


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("SELECT 'ledger.event', $$ledger.event$$ -- ledger.event", set()),
        ('SELECT 1 /* ledger.event */ AS "ledger.event"', set()),
        ('SELECT \'é\' FROM "ledger"."event", LEDGER . Batch, ledger/* own */.metric', {"event", "batch", "metric"}),
        ("SELECT * FROM memory.ledger.event AS views", {"event"}),
    ],
)
def test_what_strings_and_comments_say_names_no_table(statement, named):
    assert named_in(statement, "ledger") == named


def test_a_string_loads_nothing_of_the_ledger(lake, monkeypatch):
    with connect(*lake) as connection:
        monkeypatch.setattr(connection, "_ledger_columns", {"dataset": ("lake.dataset", [("name", "text")])})
        assert one(connection, "SELECT 'ledger.dataset'") == "ledger.dataset"
        assert one(connection, "SELECT count(*) FROM duckdb_tables()") == 0
        assert one(connection, 'SELECT count(*) FROM "ledger"."dataset"') == 0


def test_batches_that_lack_a_column_are_read_with_the_others(connection):
    assert one(connection, "SELECT count(*) FROM raw.partial") == 20
    full = one(connection, "SELECT count(flux) FROM raw.stars")
    assert full > 0
    assert one(connection, "SELECT count(flux) FROM raw.partial") == full / 2


def test_an_empty_dataset_has_its_columns(connection):
    table = connection.arrow("SELECT * FROM curated.empty")
    assert table.num_rows == 0 and table.schema.names == connection.arrow("SELECT * FROM curated.stars").schema.names


def test_arrow_comes_back_with_values(connection):
    table = connection.arrow("SELECT star_id, flux FROM curated.stars ORDER BY star_id")
    expected = sorted((row["star_id"], row["flux"]) for row in canonical(stars(), id_column="star_id").to_pylist())
    assert [row["star_id"] for row in table.to_pylist()] == [star for star, _ in expected]
    assert [row["flux"] for row in table.to_pylist()] == [flux for _, flux in expected]


def test_results_do_not_disturb_one_another(connection):
    first = connection.execute("SELECT * FROM curated.stars ORDER BY star_id")
    reader = connection.reader("SELECT star_id FROM curated.stars", rows=100)
    assert first.fetchone()[1] == 0 and reader.read_next_batch().num_rows == 100
    assert one(connection, "SELECT 1") == 1
    assert len(first.fetchall()) == 2999 and reader.read_all().num_rows == 2900


def test_another_snapshot_can_be_shown(lake):
    with connect(*lake, {"curated.stars": "old"}) as connection:
        assert one(connection, "SELECT count(*) FROM curated.stars") == 60
        assert one(connection, "SELECT count(*) FROM raw.stars") == 20
    with pytest.raises(InputError, match=r"no committed snapshot nope of curated\.stars"):
        connect(*lake, {"curated.stars": "nope"})


def scanned(connection, sql) -> tuple[int, str]:
    plan = connection.execute(f"EXPLAIN ANALYZE {sql}").fetchone()[1]
    return int(re.search(r"Total Files Read:\s*(\d+)", plan)[1]), plan


def test_a_cone_opens_only_the_partitions_that_it_touches(connection):
    catalog = connection.catalogs["curated.stars"]
    files, plan = scanned(connection, "SELECT count(*) FROM cone('curated.stars', 0.0, 0.0, 0.5)")
    assert 1 <= files <= 4 < len(catalog.cells) / 4
    assert "Npix" in plan
    files, plan = scanned(connection, "SELECT count(*) FROM cone('curated.stars', 0.0, 90.0, 0.01)")
    assert files <= 4
    assert scanned(connection, "SELECT count(*) FROM cone('curated.stars', 120.0, 45.0, 1.0)")[0] == 1
    assert one(connection, "SELECT count(*) FROM cone('curated.stars', 120.0, 45.0, 1.0)") == 0
    assert one(connection, "SELECT count(*) FROM cone('curated.empty', 120.0, 45.0, 1.0)") == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([(0.0, 0.0), (359.9, 1.0), (17.0, 90.0), (200.0, -90.0), (90.0, 88.0), (3.0, -2.5)]),
    st.floats(-3, 2.2),
)
def test_a_cone_finds_what_brute_force_finds(connection, center, log_radius):
    radius = 10.0**log_radius
    everything = connection.arrow("SELECT star_id, ra, dec FROM curated.stars")
    separation = separation_arcsec(*center, everything["ra"].to_numpy(), everything["dec"].to_numpy())
    near = np.sort(everything["star_id"].to_numpy()[separation <= radius * 3600])
    sql = "SELECT star_id, center_separation_arcsec FROM cone('curated.stars', ?, ?, ?) ORDER BY star_id"
    found = connection.execute(sql, [*center, radius]).fetchnumpy()
    assert found["star_id"].tolist() == near.tolist()
    assert (found["center_separation_arcsec"] <= radius * 3600).all()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("'curated.star', 0, 0, 1", "did you mean curated.stars"),
        ("'raw.stars', 0, 0, 1", "not laid out on the sky"),
        ("'curated.stars', 0, 95, 1", "no cone"),
        ("'curated.stars', 0, 0, -1", "no cone"),
    ],
)
def test_a_cone_that_is_none_is_explained(connection, call, told):
    with pytest.raises(duckdb.Error, match=told):
        connection.execute(f"SELECT * FROM cone({call})").fetchall()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t AS SELECT 1",
        "COPY (SELECT 1) TO '{lake}/x.csv'",
        "COPY (PIVOT (SELECT 1 x, 2 z) ON x USING sum(z)) TO '{lake}/x.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/x.csv'",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{lake}/x.csv'",
        "EXPLAIN /* */ ANALYZE COPY (SELECT 1) TO '{lake}/x.csv'",
        "EXPLAIN -- \n ANALYZE COPY (SELECT 1) TO '{lake}/x.csv'",
        "PREPARE p AS COPY (SELECT 1) TO '{lake}/x.csv'",
        "ATTACH '{lake}/x.db'",
        "EXPORT DATABASE '{lake}/x'",
        "IMPORT DATABASE '{lake}/x'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "DROP VIEW curated.stars",
        "DELETE FROM curated.stars",
        "USE curated",
        "BEGIN",
        "WITH w AS (INSERT INTO curated.stars SELECT * FROM curated.stars RETURNING *) SELECT * FROM w",
        "WITH w AS (DELETE /* ; */ FROM curated.stars RETURNING *) SELECT * FROM w",
        "WITH w AS (UPDATE curated.stars AS s SET ra = 1 RETURNING *) SELECT * FROM w",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
        "SELEC 1",
    ],
)
def test_only_one_reading_statement_is_run(lake, connection, statement):
    with pytest.raises(InputError):
        connection.execute(statement.format(lake=lake[0].lake))
    assert not list(lake[0].lake.glob("x*"))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_text('{lake}/../../../../../../../etc/passwd')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "SELECT * FROM caller",
    ],
)
def test_nothing_outside_the_lake_is_read(lake, connection, statement):
    caller = stars(5)  # noqa: F841 - DuckDB must not find the variables of its caller
    with pytest.raises(duckdb.Error):
        connection.execute(statement.format(lake=lake[0].lake)).fetchall()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "FROM range(3)",
        "VALUES (1)",
        "DESCRIBE SELECT 1",
        "SHOW ALL TABLES",
        "SELECT 'insert into x' AS \"update\"",
    ],
)
def test_reading_statements_pass(statement):
    refuse_writing(statement)
    refuse_writing(f"-- a comment\n{statement};\n-- the end")


def test_explain_passes(connection):
    refuse_writing("EXPLAIN SELECT 1")
    assert "EXPLAIN" not in connection.execute("explain analyze select 1").fetchone()[1][:20]


def test_views_repeat_a_part_for_what_a_home_holds(lake, tmp_path):
    made, engine = lake
    views = tmp_path / "sql" / "views"
    views.mkdir(parents=True)
    (views / "counts.sql").write_text(
        "-- Rows by dataset.\nSELECT NULL::VARCHAR AS name, NULL::VARCHAR AS subject, 0 AS n WHERE false\n"
        "-- each: *.stars with flux\nUNION ALL SELECT '{name}', '{subject}', count({id}) FROM {dataset}\n"
    )
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO lake.dataset VALUES ('raw.stars', 'star_id'), ('curated.stars', 'star_id')"
        )
    with connect(made.model_copy(update={"root": tmp_path}), engine) as connection:
        rows = connection.execute("SELECT * FROM views.counts ORDER BY name").fetchall()
    assert rows == [("curated.stars", "stars", 3000), ("raw.stars", "stars", 20)]
