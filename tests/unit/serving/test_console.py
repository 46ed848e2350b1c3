"""The console's pure parts: what a question may name, what its columns mean, how its answer is written."""

import datetime
import io

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.serving import console_answers as answers
from stellar.serving.console_columns import columns_of
from stellar.serving.console_guard import datasets_named, looked_at
from stellar.serving.console_ids import by_index

STARS = {"ra": {"unit": "deg"}, "g": {"unit": "mag", "ucd": "phot.mag", "description": "G"}}


def stars(name):
    return STARS if name == "curated.stars" else None


@pytest.mark.parametrize(
    ("statement", "known"),
    [
        ("SELECT s.ra AS x, g FROM curated.stars s", {"x": {"unit": "deg"}, "g": STARS["g"]}),
        ("SELECT avg(g) AS a, count(g) AS n FROM curated.stars", {"a": {"unit": "mag", "description": "avg of: G"}}),
        ("SELECT g * 2 AS g FROM curated.stars", {}),
        ("WITH w AS (SELECT g AS h FROM curated.stars) SELECT w.*, 1 AS ra FROM w", {"h": STARS["g"]}),
        ("SELECT x.* FROM (SELECT ra FROM cone('curated.stars', 1, 2, 3)) AS x", {"ra": {"unit": "deg"}}),
        ("SELECT ra FROM curated.stars UNION ALL SELECT 1", {"ra": {"unit": "deg"}}),
        ("SELECT g::INTEGER AS g FROM curated.stars", {"g": STARS["g"]}),
        ("SELECT 1 AS ra", {}),
    ],
)
def test_what_is_known_of_columns_follows_them(statement, known):
    assert columns_of(looked_at(statement), stars) == known


def test_a_cone_has_its_distance():
    about = columns_of(looked_at("SELECT * FROM cone('curated.stars', 1, 2, 3)"), stars)
    assert about["center_separation_arcsec"]["unit"] == "arcsec" and about["ra"] == {"unit": "deg"}


def test_the_datasets_that_a_statement_reads():
    node = looked_at("SELECT * FROM a.b JOIN cone('c.d', 1, 2, 3) USING (x) WHERE y IN (SELECT z FROM Ledger.Run)")
    assert datasets_named(node) == {"a.b", "c.d", "ledger.run"}


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text):
    try:
        assert isinstance(looked_at(text), dict)
    except InputError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("statement", "ids"),
    [
        ("SELECT * FROM curated.stars WHERE id = 7", "('7')"),
        ("SELECT * FROM curated.stars AS s WHERE 2061002419910738688 = s.id AND g < 3", "('2061002419910738688')"),
        ("SELECT * FROM curated.stars WHERE id IN (1, 2)", "('1', '2')"),
        ("SELECT * FROM curated.stars WHERE id = 7 OR g < 3", None),
        ("SELECT * FROM curated.stars WHERE id = '7'", None),
        ("SELECT * FROM curated.stars WHERE id <> 7", None),
        ("SELECT * FROM curated.stars WHERE id NOT IN (7)", None),
        ("SELECT * FROM curated.stars WHERE g = 7", None),
        ("SELECT * FROM curated.other WHERE id = 7", None),
        ("SELECT * FROM curated.stars JOIN curated.other USING (id) WHERE id = 7", None),
    ],
)
def test_only_rows_chosen_by_ids_are_read_by_their_index(statement, ids):
    with duckdb.connect() as connection:
        found = by_index(
            looked_at(statement), lambda name: ("id", True) if name == "curated.stars" else None, connection
        )
    assert (found is None) == (ids is None)
    if ids:
        assert f"by_id('curated.stars', list_value{ids})" in found and " WHERE " in found


def test_cells_keep_what_javascript_would_lose():
    assert answers.cell(2**53) == 2**53 and answers.cell(2**53 + 1) == str(2**53 + 1)
    assert answers.cell(float("nan")) == "NaN" and answers.cell(float("-inf")) == "-inf" and answers.cell(None) is None
    assert answers.cell(True) is True and answers.cell([1, None]) == "[1, null]"
    assert answers.cell(list(range(4000))).endswith("… 4,000 items]")
    assert answers.cell(datetime.datetime(2026, 1, 2, 3, 4)) == "2026-01-02 03:04:00"
    assert answers.cell("x" * 20_000).endswith("… 20,000 characters") and answers.cell(b"\x01\xff") == "01ff"


@pytest.mark.parametrize("value", [["x" * 50_000], [["x" * 50_000] * 9], [{"a": b"x" * 50_000}], {"a": ["x" * 50_000]},
                                   [list(range(50_000))] * 9, ["x" * 50_000] * 20, [("k", "x" * 50_000)]])  # fmt: skip
def test_cells_are_short_whatever_lies_inside_them(value):
    assert len(answers.cell(value)) < answers.SHOWN_CHARACTERS + 100


def batches(rows, size):
    table = pa.table({"n": np.arange(rows)})
    return table.schema, table.to_batches(max_chunksize=size)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 50), st.integers(1, 20), st.integers(1, 60))
def test_more_is_said_exactly_when_rows_were_left_out(rows, size, most):
    schema, parts = batches(rows, size)
    found = answers.screen(parts, schema, most)
    assert [row[0] for row in found["rows"]] == list(range(min(rows, most))) and found["more"] == (rows > most)
    content = bytearray()
    written, more = answers.write("csv", parts, schema, content.extend, most)
    assert written == min(rows, most) and more == (rows > most)
    assert content.decode().split()[1:] == [str(n) for n in range(written)]


def test_a_votable_says_what_columns_are_and_keeps_every_value():
    schema = answers.described(
        pa.schema(
            [("id", pa.int64()), ("mag", pa.float32()), ("name", pa.string()), ("ok", pa.bool_()),
             ("flux", pa.list_(pa.float64()))]
        ),
        {"mag": {"unit": "mag", "ucd": "phot.mag", "description": "a < b & c"}},
    )  # fmt: skip
    columns = [[2**62 + 1, 2], [1.5, None], ["<&>\x01é", None], [True, False], [[1.0, float("nan")], [2.0, 3.0]]]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
    )
    content = bytearray()
    assert answers.write("votable", [batch], schema, content.extend, 10) == (2, False)
    table = Table.read(io.BytesIO(bytes(content)), format="votable")
    assert table["id"].tolist() == columns[0] and str(table["mag"].unit) == "mag"
    assert table["mag"].description == "a < b & c" and table["mag"].meta["ucd"] == "phot.mag"
    assert table["name"][0] == "<&> é" and table["ok"].tolist() == [True, False]
    assert np.isnan(np.ma.filled(table["flux"][0], np.nan)[1]) and list(table["flux"][1]) == [2.0, 3.0]
    with pytest.raises(InputError, match="take one of csv, parquet, votable"):
        answers.write("exe", [], schema, content.extend, 10)


def test_every_form_takes_what_duckdb_answers():
    import duckdb

    found = duckdb.sql(
        "SELECT INTERVAL 40 DAY AS span, [1, 2, NULL]::INT[] AS few, [9223372036854775807] AS large, 'ab'::BLOB AS raw,"
        " {'a': 1} AS pair, NULL AS nothing, DATE '2020-01-01' AS day, TIME '10:00' AS hour, 1.5::DECIMAL(10, 2) AS d,"
        " 18446744073709551615::UBIGINT AS most, uuid() AS one"
    ).to_arrow_table()
    texts = {}
    for form in answers.WRITERS:
        content = bytearray()
        assert answers.write(form, found.to_batches(), found.schema, content.extend, 10) == (1, False)
        texts[form] = bytes(content)
    read = Table.read(io.BytesIO(texts["votable"]), format="votable")[0]
    assert read["span"] == "P0M40DT0S" and read["raw"] == b"ab".hex() and read["most"] == str(2**64 - 1)
    assert read["few"][:2].tolist() == [1, 2] and np.ma.getmaskarray(np.ma.masked_invalid(read["few"]))[2]
    assert read["large"] == "[9223372036854775807]"
    assert b"P0M40DT0S" in texts["csv"] and b"6162" in texts["csv"]
    assert pq.read_table(io.BytesIO(texts["parquet"]))["span"].to_pylist() == ["P0M40DT0S"]
    assert answers.cell(found["span"][0].as_py()) == "P0M40DT0S"
