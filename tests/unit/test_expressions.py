from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.expressions import columns_of, query, row_values


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("a + b * 2", {"a", "b"}),
        ("case when s = 'sqrt(x' then 1 else y end", {"s", "y"}),
        ("ln(greatest(g_mag, 1))", {"g_mag"}),
        ("1", set()),
        ('"g mag" is null -- no more', {"g mag"}),
    ],
)
def test_columns_of_an_expression(sql, columns):
    assert columns_of(sql) == columns


@pytest.mark.parametrize(
    "sql",
    ["sqrt(a", "a, b", "a) + (b", "a) from t; drop table t; --", "(select max(a) from t)", "random()", "now()",
     "txid_current()", "max(a) over ()", "*", ""],
)  # fmt: skip
def test_what_is_not_one_value_of_a_row_is_refused(sql):
    with pytest.raises(InputError):
        columns_of(sql)


def test_values_of_each_row():
    table = pa.table({"a": [10.0, -1.0, 0.0, None], "s": ["x", "y", "z", None]})
    found = row_values(table, {"c": "log10(a)", "d": "1 / c", "e": "s in ('x', 'y')", "f": "2"}, "o")
    assert found["c"].to_pylist() == [1.0, None, None, None]
    assert found["d"].to_pylist() == [1.0, None, None, None]
    assert found["e"].to_pylist() == [True, True, False, None]
    assert np.asarray(found["f"]).tolist() == [2] * 4


@pytest.mark.parametrize(("sql", "said"), [("max(a)", "aggregates"), ("b + 1", "no column b"), ("nosuch(a)", "wrong")])
def test_a_wrong_expression_says_what_it_is_of(sql, said):
    with pytest.raises(InputError, match=said) as fault:
        row_values(pa.table({"a": [1.0]}), {"x": sql}, "my.yaml: derived")
    assert "my.yaml: derived" in str(fault.value)


def test_a_comment_at_the_end_of_an_expression():
    found = row_values(pa.table({"a": [1.0]}), {"b": "a + 1 -- one more"}, "here")
    assert found["b"].to_pylist() == [2.0]


def _doubled(number):
    table = pa.table({"a": pa.array([number] * 100)})
    return query("select a * 2 as b from t", table, "here")["b"].to_pylist() == [2 * number] * 100


def test_queries_side_by_side_and_in_forked_processes_see_their_own_table():
    assert _doubled(1)
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(_doubled, range(80)))
    with get_context("fork").Pool(2) as processes:
        assert all(processes.map(_doubled, range(8)))


def test_a_query_reaches_no_file(tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match="here: an expression is wrong: Permission Error"):
        query(f"select * from read_csv('{tmp_path}/secret.csv')", pa.table({"a": [1]}), "here")


def test_an_error_of_duckdb_s_own_spoils_no_other_query():
    raw = pa.array([b"a\xff\xfeb"])
    spoilt = pa.table({"a": pa.StringArray.from_buffers(1, *raw.buffers()[1:])})
    for _ in range(2):
        with pytest.raises(InputError, match="bad: an expression is wrong: INTERNAL Error"):
            query("select lower(a) as b from t", spoilt, "bad")
        assert _doubled(3)

    def ask(number):
        if number % 5:
            return _doubled(number)
        with pytest.raises(InputError, match="INTERNAL Error"):
            query("select lower(a) as b from t", spoilt, "bad")
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(40)))
