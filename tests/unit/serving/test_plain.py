import datetime as dt
import json
import math

from stellar.serving.plain import cell_value, record


def test_values_of_rows_become_what_a_page_can_show():
    row = [
        None,
        True,
        3,
        2**53,
        -(2**60),
        1.5,
        math.nan,
        math.inf,
        "x",
        b"12345",
        [1, 2],
        list(range(4000)),
        [math.nan],
    ]
    shown = [cell_value(value) for value in row]
    assert shown[:6] == [None, True, 3, str(2**53), str(-(2**60)), 1.5]
    assert shown[6:11] == [None, None, "x", "5 bytes", "[1, 2]"]
    assert shown[11] == "[0, 1, 2, 3, 4, 5, … 4000 in all]"
    assert cell_value(dt.date(2026, 1, 2)) == "2026-01-02" and cell_value({"a": 1}) == "{'a': 1}"
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


def test_times_of_the_ledger_become_text():
    at = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)
    assert record({"at": at, "rows": 3}) == {"at": "2026-01-02T03:04:00+00:00", "rows": 3}
