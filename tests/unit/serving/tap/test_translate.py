"""ADQL to SQL: what becomes of a query, and what an error says."""
# ruff: noqa: E501  queries are written on one line

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.serving.results import Column
from stellar.serving.tap.adql.geometry import MACROS
from stellar.serving.tap.adql.names import Table
from stellar.serving.tap.adql.parse import is_regular, parse
from stellar.serving.tap.adql.translate import translate
from stellar.sky.separation import separation_arcsec


def table(name, *columns, position=None):
    return Table(
        name, tuple(Column(*one) if isinstance(one, tuple) else Column(one) for one in columns), name, position=position
    )


TABLES = {
    one.name.lower(): one
    for one in (
        table("curated.stars", "id", "ra", "dec", "g", "Name", "size", "e", position=("ra", "dec")),
        table("scores.teff", "id", "ra", "dec", "teff", position=("ra", "dec")),
        table("curated.plain", "id", "value_1"),
    )
}


@pytest.fixture(scope="module")
def database():
    connection = duckdb.connect()
    for statement in (*MACROS, "CREATE SCHEMA curated", "CREATE SCHEMA scores"):
        connection.execute(statement)
    connection.execute(
        """CREATE TABLE curated.stars AS SELECT * FROM (VALUES
        ('a', 10.0, 0.0, 5.5, 'Alpha', 1, 2.5), ('b', 11.0, 1.0, 6.5, 'beta', 2, -2.5), ('c', 200.0, -60.0, NULL, NULL, 3, 0.0))
        AS t(id, ra, dec, g, "Name", size, e)"""
    )
    connection.execute(
        "CREATE TABLE scores.teff AS SELECT * FROM (VALUES ('a', 10.0, 0.0, 5000.0), ('b', 11.0, 1.0, 6000.0)) t(id, ra, dec, teff)"
    )
    connection.execute("CREATE TABLE curated.plain AS SELECT 'a' AS id, 7 AS value_1")
    return connection


def rows(database, text, most=None):
    return database.execute(translate(text, TABLES).sql(most)).fetchall()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT id FROM curated.stars WHERE g > 1e0 AND g < 6.5E+0", [("a",)]),
        ("SELECT id FROM curated.stars WHERE g IS NULL", [("c",)]),
        ("SELECT TOP 1 id FROM curated.stars ORDER BY ra DESC", [("c",)]),
        ("select ID from CURATED.Stars order by id offset 2", [("c",)]),
        ("SELECT s.e, e.e FROM curated.stars AS e JOIN curated.stars AS s ON e.id = s.id WHERE e.id = 'a'", [(2.5, 2.5)]),
        ('SELECT "size" FROM curated.stars WHERE "Name" = \'Alpha\'', [(1,)]),
        ("SELECT LOWER(Name), UPPER(Name), COALESCE(g, -1) FROM curated.stars WHERE id = 'a'", [("alpha", "ALPHA", 5.5)]),
        ("SELECT CAST(e AS INTEGER), CAST(e AS VARCHAR(3)) FROM curated.stars WHERE id = 'b'", [(-2, "-2.")]),
        ("SELECT LOG(EXP(2)), LOG10(100), MOD(7, 3), TRUNCATE(-2.57, 1), ROUND(2.55e1, -1) FROM curated.plain",
         [(2.0, 2.0, 1, -2.5, 30.0)]),
        ("SELECT 7 / 2, 0x1F, 5 % 3, 6 & 3, 6 | 3, 6 ^ 3, - -1 FROM curated.plain", [(3.5, 31, 2, 2, 7, 5, 1)]),
        ("SELECT id FROM curated.stars WHERE Name LIKE 'A%' OR Name ILIKE 'B%' ORDER BY 1", [("a",), ("b",)]),
        ("SELECT COUNT(*), COUNT(g), COUNT(DISTINCT FLOOR(g)) FROM curated.stars", [(3, 2, 2)]),
        ("SELECT FLOOR(g) AS f, COUNT(*) FROM curated.stars GROUP BY FLOOR(g) HAVING COUNT(g) > 0 ORDER BY f",
         [(5.0, 1), (6.0, 1)]),
        ("SELECT * FROM curated.stars NATURAL JOIN curated.plain", [("a", 10.0, 0.0, 5.5, "Alpha", 1, 2.5, 7)]),
        ("SELECT t.*, value_1 FROM scores.teff AS t LEFT OUTER JOIN curated.plain USING (id) ORDER BY t.ra",
         [("a", 10.0, 0.0, 5000.0, 7), ("b", 11.0, 1.0, 6000.0, None)]),
        ("SELECT id FROM curated.stars UNION SELECT id FROM scores.teff EXCEPT SELECT id FROM curated.plain ORDER BY id",
         [("b",), ("c",)]),
        ("SELECT id FROM curated.stars INTERSECT SELECT id FROM scores.teff UNION SELECT 'z' AS id FROM curated.plain"
         " ORDER BY id", [("a",), ("b",), ("z",)]),
        ("WITH q (n) AS (SELECT id FROM curated.stars) SELECT COUNT(*) FROM q WHERE n IN (SELECT id FROM scores.teff)", [(2,)]),
        ("SELECT id FROM curated.stars AS s WHERE NOT EXISTS (SELECT 1 FROM scores.teff AS t WHERE t.id = s.id)", [("c",)]),
        ("SELECT x.n FROM (SELECT COUNT(*) AS n FROM curated.stars) AS x -- a remark\n", [(3,)]),
        ("SELECT id FROM curated.stars WHERE 0 < CONTAINS(POINT(ra, dec), BOX(10.5, 0.5, 1.01, 1.01))",
         [("a",), ("b",)]),
        ("SELECT COORD1(CENTROID(CIRCLE(10, 20, 1))), COORD2(POINT(1, -2)) FROM curated.plain", [(10.0, -2.0)]),
        ("SELECT INTERSECTS(CIRCLE(0, 0, 1), CIRCLE(0, 2.9, 2)), INTERSECTS(CIRCLE(0, 0, 1), CIRCLE(0, 3.1, 2)),"
         " CONTAINS(CIRCLE(0, 0, 1), CIRCLE(0, 0.9, 2)) FROM curated.plain", [(1, 0, 1)]),
        ("SELECT id FROM curated.stars WHERE Name = 'it''s; DROP TABLE x --'", []),
    ],
)  # fmt: skip
def test_a_query_means_what_adql_says(database, text, expected):
    found = rows(database, text)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert [pytest.approx(v) if isinstance(v, float) else v for v in other] == list(one)


def test_a_cast_to_bigint_cuts_off_and_keeps_every_digit(database):
    casts = ("2.7", "-2.7", "e", "9007199254740993", "'9007199254740993'", "'12.7'", "CAST(2.7 AS REAL)", 'SUM("size")')
    text = ", ".join(f"CAST({one} AS BIGINT)" for one in casts)
    found = rows(database, f"SELECT {text}, MAX(CAST(g AS BIGINT)) FROM curated.stars WHERE id = 'b' GROUP BY e")
    assert found == [(2, -2, -2, 9007199254740993, 9007199254740993, 12, 2, 2, 6)]


@pytest.mark.parametrize(
    ("condition", "function"),
    [
        ("1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 10, -2, 0.5))", "cone('curated.stars', 10.0::DOUBLE"),
        ("CONTAINS(POINT(s.ra, s.dec), CIRCLE(10, 2, 0.5)) = 1 AND g < 3", "cone("),
        ("g < 3 AND (1 = CONTAINS(POINT(ra, dec), CIRCLE(POINT(10, 2), 0.5)))", "cone("),
        ("1 = CONTAINS(POINT(ra, dec), POLYGON(1, 1, 2, 1, 2, 2))", "polygon("),
        ("1 = CONTAINS(POINT(ra, dec), BOX(1, 1, 2, 1))", "polygon("),
        ("0 = CONTAINS(POINT(ra, dec), CIRCLE(10, 2, 0.5))", None),
        ("1 = CONTAINS(POINT(ra, dec), CIRCLE(10, 2, 0.5)) OR g < 3", None),
        ("NOT 1 = CONTAINS(POINT(ra, dec), CIRCLE(10, 2, 0.5))", None),
        ("1 = CONTAINS(POINT(dec, ra), CIRCLE(10, 2, 0.5))", None),
        ("1 = CONTAINS(POINT(ra + 1, dec), CIRCLE(10, 2, 0.5))", None),
        ("1 = CONTAINS(POINT(ra, dec), CIRCLE(ra, dec, 0.5))", None),
        ("1 = CONTAINS(POINT(10, 2), CIRCLE(ra, dec, 0.5))", None),
    ],
)
def test_a_region_is_read_where_the_condition_allows_it(condition, function):
    sql = translate(f"SELECT id FROM curated.stars AS s WHERE {condition}", TABLES).sql()
    assert (function in sql) if function else ("cone(" not in sql and "polygon(" not in sql)


@settings(max_examples=60, deadline=None)
@given(*[st.floats(0, 360), st.floats(-90, 90)] * 2)
def test_distance_is_the_great_circle(database, a1, d1, a2, d2):
    (found,) = database.execute(
        f"SELECT _adql_distance({a1!r}::DOUBLE, {d1!r}::DOUBLE, {a2!r}::DOUBLE, {d2!r}::DOUBLE)"
    ).fetchone()
    assert found * 3600 == pytest.approx(float(separation_arcsec(a1, d1, np.array([a2]), np.array([d2]))[0]), abs=1e-6)


def test_areas(database):
    (circle, box, octant) = rows(
        database,
        "SELECT AREA(CIRCLE(1, 2, 90)), AREA(BOX(50, 60, 0.01, 0.02)), AREA(POLYGON(0, 0, 90, 0, 0, 89.99999)) FROM curated.plain",
    )[0]
    sphere = 4 * np.pi * np.degrees(1) ** 2
    assert circle == pytest.approx(sphere / 2)
    assert box == pytest.approx(2e-4, rel=1e-6)
    assert octant == pytest.approx(sphere / 8, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT ra FROM curated.stars WHERE ra >", "line 1, column 40: the query ends too early"),
        ("SELECT ra\nFROM curated.stars\nWHERE )", "line 3, column 7: ')' cannot stand here"),
        ("SELECT ra curated.stars", "expected ',' or FROM"),
        ("SELECT size FROM curated.stars", 'as a name write "size"'),
        ("SELECT rra FROM curated.stars", "line 1, column 8: no column 'rra' in this FROM; did you mean ra?"),
        ("SELECT ra FROM stars", "did you mean curated.stars?"),
        ("SELECT x.ra FROM curated.stars AS s", "no table 'x' in this FROM, which has s"),
        ('SELECT "RA" FROM curated.stars', "no column 'RA'"),
        ("SELECT ra FROM curated.stars, scores.teff", "stars and teff"),
        ("SELECT s.ra FROM curated.stars s, curated.plain s", "two tables"),
        ("SELECT ra FROM curated.stars JOIN curated.plain", "ON or USING"),
        ("SELECT ra FROM curated.stars UNION SELECT ra, dec FROM curated.stars", "1 and 2 columns"),
        ("SELECT ra FROM curated.stars ORDER BY 2", "the list has 1 columns"),
        ("SELECT SECRET(ra) FROM curated.stars", "no function SECRET"),
        ("SELECT CAST(ra AS JSON) FROM curated.stars", "CAST to JSON"),
        ("SELECT ra FROM curated.stars WHERE 1=CONTAINS(POINT(ra, 91), CIRCLE(1, 2, 3))", "lies in [-90, 90]"),
        ("SELECT ra FROM curated.stars WHERE 1=CONTAINS(POINT('FK5', ra, dec), CIRCLE(1, 2, 3))", "ICRS"),
        ("SELECT ra FROM curated.stars WHERE 1=CONTAINS(POINT(ra, dec), POLYGON(ra, 1, 2, 1, 2, 2))", "must be numbers"),
        ("SELECT ra FROM curated.stars WHERE 1=CONTAINS(POINT(ra, dec), POLYGON(1, 1, 1, 1, 1, 1))", "distinct vertices"),
        ("SELECT 1; SELECT 2", "one query at a time"),
        ("  ", "QUERY is empty"),
        ("SELECT ra FROM curated.stars WHERE Name = 'x", "cannot stand here"),
    ],
)  # fmt: skip
def test_an_error_says_where_and_what(text, said):
    with pytest.raises(InputError) as error:
        translate(text, TABLES)
    assert said in str(error.value)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="SELECTFROMWHR abcdra,.*()'\"=<>-+/0123456789;\n\\%|&^~[]{}:?$@!`é", max_size=60))
def test_any_text_is_refused_or_reads_published_tables_alone(text):
    try:
        found = translate(f"SELECT {text}", TABLES)
    except InputError:
        return
    assert found.tables <= {one.name for one in TABLES.values()}
    assert len(duckdb.extract_statements(found.sql(10))) == 1


def test_nothing_after_the_most_rows_is_asked_for():
    assert translate("SELECT TOP 5 ra FROM curated.stars", TABLES).sql(3).endswith("LIMIT 3")
    assert translate("SELECT TOP 5 ra FROM curated.stars", TABLES).sql(30).endswith("LIMIT 5")


def test_names_that_need_quotation_marks():
    assert [name for name in ("ra", "e", "Name", "size", "_x", "a b", "1a", "zone", "x_1") if is_regular(name)] == [
        "ra",
        "e",
        "Name",
        "x_1",
    ]


def test_a_long_list_is_read_in_time():
    text = f"SELECT ra FROM curated.stars WHERE g IN ({', '.join(map(str, range(500)))})"
    assert parse(text) is not None
