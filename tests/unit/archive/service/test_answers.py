"""Documents that the service writes, and its faults."""

import io

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import Table

from stellar.archive.columns import Column
from stellar.archive.service import votable
from stellar.archive.service.catalogue import Result
from stellar.archive.service.faults import Faults, parse

VALUES = {
    "id": pa.array([1, 2**62, -5], pa.int64()),
    "mag": pa.array([1.5, None, 3e-30], pa.float64()),
    "name": pa.array(["<&>", None, "plain"], pa.string()),
    "flag": pa.array([True, False, True]),
    "few": pa.array([None, 7, 8], pa.int16()),
}


def result(overflow: bool = False) -> Result:
    table = pa.table(VALUES)
    columns = [
        Column(field.name, field.type, "mag" if field.name == "mag" else "", "meta.id") for field in table.schema
    ]
    return Result(table, columns, overflow)


def test_a_votable_reads_back_as_it_was():
    read = Table.read(io.BytesIO(votable.document(result(), "SELECT '<'")), format="votable", use_names_over_ids=True)
    assert read["id"].tolist() == [1, 2**62, -5]
    assert read["mag"].unit == "mag"
    np.testing.assert_array_equal(read["mag"].filled(-1), [1.5, -1, 3e-30])
    assert read["name"].tolist()[0] == "<&>"
    assert read["flag"].tolist() == [True, False, True]
    assert read["few"].mask.tolist() == [True, False, False]


def test_overflow_stands_after_the_rows_and_only_then():
    assert b'value="OVERFLOW"' not in votable.document(result(), "q")
    document = votable.document(result(overflow=True), "q")
    assert document.index(b'value="OVERFLOW"') > document.index(b"</TABLE>")


def test_an_empty_result_is_a_table_without_rows():
    empty = Result(pa.table(VALUES).slice(0, 0), result().columns, False)
    assert len(Table.read(io.BytesIO(votable.document(empty, "q")), format="votable")) == 0
    assert votable.csv_document(empty) == b"id,mag,name,flag,few\n"


def test_csv_has_empty_fields_for_nulls():
    lines = votable.csv_document(result(), "#Table1\n").decode().splitlines()
    assert lines[:2] == ["#Table1", "id,mag,name,flag,few"]
    assert lines[3].split(",")[1] == ""


def test_the_same_seed_spoils_the_same_answers_at_the_told_rate():
    settings = {"rates": {"429": 0.1, "cut": 0.1}, "seed": 5}
    requests = [f"GET /sas/{n}" for n in range(3000)]
    one = [Faults.from_dict(settings).draw("/sas", request) for request in requests[:50]]
    faults = Faults.from_dict(settings)
    two = [faults.draw("/sas", request) for request in requests]
    assert one == two[:50]
    assert two.count("429") == pytest.approx(300, abs=60)
    assert two.count("cut") == pytest.approx(300, abs=60)
    other = Faults.from_dict({**settings, "seed": 6})
    assert [other.draw("/sas", request) for request in requests] != two


def test_asked_again_an_answer_can_be_good():
    faults = Faults.from_dict({"rates": {"503": 0.5}, "seed": 1})
    assert {faults.draw("/x", "GET /x") for _ in range(40)} == {"", "503"}
    assert sum(faults.to_dict()["given"].values()) == 40


def test_faults_leave_other_paths_and_the_admin_alone():
    faults = Faults.from_dict({"rates": {"503": 1.0}, "paths": "/tap-server"})
    assert faults.draw("/sas/x", "x") == ""
    assert Faults.from_dict({"rates": {"503": 1.0}}).draw("/_faults", "x") == ""
    assert faults.draw("/tap-server/tap/sync", "x") == "503"


@pytest.mark.parametrize(
    "values", [{"rates": {"teapot": 0.1}}, {"rates": {"429": 1.2}}, {"rates": {"429": 0.6, "503": 0.6}}, {"rate": 1}]
)
def test_impossible_faults_are_refused(values):
    with pytest.raises(ValueError):
        Faults.from_dict(values)


def test_no_text_is_no_faults():
    assert parse("").rates == {}
    assert parse('{"rates": {"stall": 0.2}, "stall_s": 1}').stall_s == 1
