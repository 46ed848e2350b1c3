"""The translator: what it takes means what numpy says, and nothing that it does not know passes."""

import string

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.archive.service.adql.lexer import QueryError
from stellar.archive.service.adql.parser import MAX_DEPTH, translate
from stellar.sky.separation import separation_arcsec

RNG = np.random.default_rng(7)
N = 400
STARS = {
    "id": np.arange(1, N + 1),
    "ra": RNG.uniform(355, 365, N) % 360,
    "dec": RNG.uniform(-5, 5, N),
    "mag": RNG.uniform(5, 20, N).round(3),
    "kind": RNG.choice(["EB*", "RR*", "it's", "a%b"], N),
}
TYPES = {"oidref": np.arange(1, N + 1, 2), "vartyp": RNG.choice(["EA", "EW"], N // 2)}
DATABASE = duckdb.connect()
DATABASE.register("stars", pa.table(STARS))
DATABASE.register("types", pa.table(TYPES))
TABLES = {
    "gaiadr3.gaia_source": ("stars", {name: name for name in STARS}),
    "mesvar": ("types", {name: name for name in TYPES}),
}


@pytest.fixture(scope="module")
def database():
    return DATABASE


def rows(database, query: str) -> list[tuple]:
    found = translate(query, TABLES)
    return database.execute(found.sql, found.params).fetchall()


def ids(database, condition: str) -> set[int]:
    return {row[0] for row in rows(database, f"SELECT id FROM gaiadr3.gaia_source WHERE {condition}")}


def those(mask: np.ndarray) -> set[int]:
    return set(STARS["id"][mask].tolist())


@pytest.mark.parametrize(
    ("condition", "mask"),
    [
        ("mag < 10", STARS["mag"] < 10),
        ("mag BETWEEN 8.5 AND 9.5", (STARS["mag"] >= 8.5) & (STARS["mag"] <= 9.5)),
        ("NOT mag < 10 AND (dec > 0 OR ra <= 2)", (STARS["mag"] >= 10) & ((STARS["dec"] > 0) | (STARS["ra"] <= 2))),
        ("id IN (3, 5, 7)", np.isin(STARS["id"], [3, 5, 7])),
        ("id NOT IN (SELECT oidref FROM mesVar)", STARS["id"] % 2 == 0),
        ("kind LIKE 'R%'", STARS["kind"] == "RR*"),
        ("kind = 'it''s'", STARS["kind"] == "it's"),
        ("MOD(id, 7) = 3", STARS["id"] % 7 == 3),
        ("id / 10 = 4", STARS["id"] // 10 == 4),
        ("ABS(dec) * 2 - 1 > SQRT(mag)", np.abs(STARS["dec"]) * 2 - 1 > np.sqrt(STARS["mag"])),
        ("-dec > 1e0", -STARS["dec"] > 1),
        ("mag IS NULL", np.zeros(N, bool)),
        ("CASE WHEN dec > 0 THEN mag ELSE 0 END > 15", (STARS["dec"] > 0) & (STARS["mag"] > 15)),
    ],
)
def test_conditions_mean_what_numpy_says(database, condition, mask):
    assert ids(database, condition) == those(mask)


@pytest.mark.parametrize("shape", ["CIRCLE('ICRS', 359.7, 1, 2.5)", "CIRCLE(POINT(359.7, 1), 2.5)"])
def test_cone_across_ra_zero(database, shape):
    near = separation_arcsec(STARS["ra"], STARS["dec"], 359.7, 1) <= 2.5 * 3600
    assert 0 < near.sum() < N
    assert ids(database, f"1 = CONTAINS(POINT('ICRS', ra, dec), {shape})") == those(near)
    assert ids(database, "DISTANCE(POINT(ra, dec), POINT(359.7, 1)) <= 2.5") == those(near)


def test_groups_order_and_top(database):
    found = rows(
        database,
        "SELECT kind, COUNT(*) AS n, ROUND(AVG(mag), 6) AS mean, MIN(id), MAX(mag) FROM gaiadr3.gaia_source "
        "GROUP BY kind HAVING COUNT(*) > 1 ORDER BY n DESC, kind",
    )
    expected = []
    for kind in np.unique(STARS["kind"]):
        of = STARS["kind"] == kind
        mags = STARS["mag"][of]
        expected.append((kind, of.sum(), round(mags.mean(), 6), STARS["id"][of].min(), mags.max()))
    assert found == sorted(expected, key=lambda row: (-row[1], row[0]))
    top = rows(database, "SELECT TOP 5 id FROM gaiadr3.gaia_source ORDER BY mag, id")
    assert [row[0] for row in top] == STARS["id"][np.lexsort((STARS["id"], STARS["mag"]))][:5].tolist()
    distinct = rows(database, "SELECT DISTINCT kind FROM gaiadr3.gaia_source")
    assert len(distinct) == len(np.unique(STARS["kind"]))


@pytest.mark.parametrize("join", ["JOIN mesVar AS v ON g.id = v.oidref", "INNER JOIN mesVar v ON v.oidref = id"])
def test_joins(database, join):
    found = rows(database, f"SELECT g.id, vartyp FROM gaiadr3.gaia_source AS g {join} ORDER BY g.id")
    assert found == list(zip(TYPES["oidref"].tolist(), TYPES["vartyp"].tolist(), strict=True))
    left = "SELECT COUNT(*), COUNT(vartyp) FROM gaiadr3.gaia_source LEFT OUTER JOIN mesVar ON oidref = id"
    assert rows(database, left) == [(N, N // 2)]


def test_healpix_of_a_source_id_is_exact(database):
    source_id = 5853498713190525696  # Proxima Centauri in Gaia DR3
    query = f"SELECT TOP 1 GAIA_HEALPIX_INDEX(12, {source_id}), GAIA_HEALPIX_INDEX(5, {source_id}) AS five"
    assert rows(database, f"{query} FROM mesVar") == [(source_id // 2**35, source_id // 2**35 // 4**7)]


def test_column_names():
    found = translate("SELECT *, mag AS m, COUNT(*), MAX(mag), mag FROM gaiadr3.gaia_source", TABLES)
    assert found.names == [*STARS, "m", "COUNT_ALL", "MAX", "mag_2"]
    assert found.sources[0] == ("gaiadr3.gaia_source", "id")
    assert translate("SELECT x FROM (SELECT mag AS x FROM gaiadr3.gaia_source) AS q", TABLES).names == ["x"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "expected SELECT"),
        ("DROP TABLE stars", "expected SELECT"),
        ("SELECT 1; DROP TABLE stars", "';'"),
        ("SELECT id FROM stars", "unknown table 'stars'"),
        ("SELECT id FROM information_schema.tables", "unknown table"),
        ("SELECT nope FROM mesVar", "unknown column 'nope'"),
        ("SELECT id FROM gaiadr3.gaia_source UNION SELECT oidref FROM mesVar", "should end here"),
        ("SELECT read_text('/etc/passwd') FROM mesVar", "unknown function READ_TEXT"),
        ("SELECT getenv('HOME') FROM mesVar", "unknown function GETENV"),
        ("SELECT oidref FROM read_csv('/etc/passwd')", "unknown table"),
        ("SELECT oidref FROM 'file.parquet'", "expected a name"),
        ("SELECT id FROM gaiadr3.gaia_source WHERE CONTAINS(POINT(ra, dec), POLYGON(1, 2, 3, 4, 5, 6)) = 1", "CIRCLE"),
        ("SELECT id FROM gaiadr3.gaia_source WHERE ra >", "end of the query"),
        ("SELECT id FROM gaiadr3.gaia_source ORDER BY 9", "1 columns"),
        ("SELECT TOP x id FROM gaiadr3.gaia_source", "whole number"),
        ("SELECT POINT('GALACTIC', ra, dec) FROM gaiadr3.gaia_source", "inside CONTAINS"),
        ("SELECT CAST(ra AS BLOB) FROM gaiadr3.gaia_source", "expected a type"),
        ("SELECT ROUND() FROM mesVar", "ROUND takes 1 to 2"),
        (f"SELECT {'(' * (MAX_DEPTH + 5)}1{')' * (MAX_DEPTH + 5)} FROM mesVar", "levels of nesting"),
        (f"SELECT {'-' * 500}1 FROM mesVar", "expected"),
    ],
)
def test_everything_else_is_refused_with_its_reason(query, reason):
    with pytest.raises(QueryError) as caught:
        translate(query, TABLES)
    assert reason in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=string.printable, max_size=60))
def test_a_literal_never_becomes_sql(text):
    quoted = text.replace("'", "''")
    found = translate(f"SELECT vartyp FROM mesVar WHERE vartyp = '{quoted}'", TABLES)
    assert found.params == [text]
    assert found.sql == translate("SELECT vartyp FROM mesVar WHERE vartyp = 'x'", TABLES).sql


_WORDS = [
    *("SELECT", "FROM", "WHERE", "mesVar", "vartyp", "oidref", "gaiadr3.gaia_source", "COUNT", "(", ")", "*", ",", "'"),
    *(
        ";",
        "--",
        "/*",
        "*/",
        "$1",
        "?",
        '"',
        "UNION",
        "ATTACH",
        "COPY",
        "PRAGMA",
        "read_csv",
        "1",
        "=",
        "AS",
        "x",
        "\\",
    ),
    *("TOP", "GROUP BY", "ORDER BY", "JOIN", "ON", "information_schema", "::", "pg_catalog", "NULL", "[", "]", "\n"),
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(_WORDS), max_size=20).map(" ".join))
def test_word_salad_is_refused_or_reads_only_its_tables(salad):
    try:
        found = translate(f"SELECT {salad}", TABLES)
    except QueryError:
        return
    statements = DATABASE.extract_statements(found.sql)
    assert len(statements) == 1
    assert statements[0].type == duckdb.StatementType.SELECT
    assert DATABASE.get_table_names(found.sql) <= {"stars", "types"}


@settings(max_examples=60, deadline=None)
@given(st.recursive(
    st.integers(0, 50).map(str) | st.sampled_from(["id", "dec", "mag"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=8,
))  # fmt: skip
def test_arithmetic_equals_numpy(expression):
    tables = {"s": ("stars", {name: name for name in ("id", "dec", "mag")})}
    found = translate(f"SELECT {expression} AS v FROM s ORDER BY id", tables)
    values = np.array([row[0] for row in DATABASE.execute(found.sql, found.params).fetchall()], float)
    floats = {name: STARS[name].astype(float) for name in ("id", "dec", "mag")}
    np.testing.assert_allclose(values, np.broadcast_to(eval(expression, {}, floats), N), rtol=1e-12, atol=1e-9)
