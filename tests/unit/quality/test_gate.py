"""A gate passes what is sound, fails what is not, and shows the rows."""

import json

import numpy as np
import pyarrow as pa
import pytest

from made_catalog import stars, store
from stellar.lake.hats import finish_catalog, finish_plain
from stellar.lake.write import write_partition
from stellar.quality import gate as gates
from stellar.quality.gate import run_gate
from stellar.quality.suites import Check, Column, Metric, Rows, Suite, load_suite

SUITE = Suite(id=["star_id"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("stars") / "0123456789abcdef"
    store(root, stars())
    return root


@pytest.fixture
def plain(tmp_path):
    """Make a plain dataset of given columns."""

    def make(folder="plain", **columns):
        root = tmp_path / folder
        table = pa.table(columns)
        id_column = table.column_names[0]
        kept = table.filter(table[id_column].is_valid())
        write_partition(kept, root / "dataset" / "bucket=000.parquet", id_column=id_column, sky=False)
        finish_plain(root, table.schema)
        return root

    return make


def failed(result) -> set[tuple[str, str]]:
    return {(row["column_name"], row["expectation"]) for row in result.expectations if not row["passed"]}


def only_failure(root, suite, **options):
    result = run_gate("curated.stars", root, suite=suite, **options)
    assert not result.passed
    rows = [row for row in result.expectations if not row["passed"]]
    assert len(rows) == 1 and len(result.reasons()) == 1
    json.dumps(result.expectations)
    return rows[0]


def test_a_sound_dataset_passes(folder):
    suite = Suite(
        id=["star_id"],
        columns={
            "star_id": Column(type="int64"),
            "g_mag": Column(type="float", nulls=0.2, between=(0, 30)),
            "name": Column(nulls=0.4, matches="s[0-9]+$"),
            "absent": Column(optional=True, type="int64"),
        },
        metrics={"mean": Metric(sql="SELECT avg(g_mag) FROM gated", min=10, max=20)},
        checks={"far": Check(failing="SELECT star_id FROM gated WHERE g_mag > 99")},
    )
    result = run_gate("curated.stars", folder, suite=suite, previous_rows=3000)
    assert result.passed and result.failing_rows is None and result.reasons() == [] and result.rows == 3000
    kinds = {row["expectation"] for row in result.expectations}
    assert len(result.expectations) > 10 and "expect_column_values_to_match_regex" in kinds
    assert [row["number"] for row in result.expectations] == list(range(1, len(result.expectations) + 1))


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (Column(type="double"), "expect_column_values_to_be_in_set"),
        (Column(between=(0, 14)), "expect_column_values_to_be_between"),
        (Column(nulls=0.1), "expect_column_values_to_not_be_null"),
        (Column(among=[1, 2]), "expect_column_values_to_be_in_set"),
    ],
)
def test_each_rule_of_a_column_can_fail(folder, column, what):
    row = only_failure(folder, SUITE.model_copy(update={"columns": {"g_mag": column}}))
    assert (row["column_name"], row["expectation"]) == ("g_mag", what)
    if column.type is None:
        assert 1 <= len(row["failing_rows"]) <= 20 and set(row["failing_rows"][0]) == {"star_id", "g_mag"}
        assert row["failing"] > 400


def test_mostly_tolerates_a_share(folder):
    suite = SUITE.model_copy(update={"columns": {"g_mag": Column(between=(0, 18.9), mostly=0.9)}})
    assert run_gate("curated.stars", folder, suite=suite).passed


def test_a_missing_column_and_a_pattern_fail(folder):
    row = only_failure(folder, SUITE.model_copy(update={"columns": {"absent": Column(between=(0, 1))}}))
    assert row["expectation"] == "expect_column_to_exist" and row["observed"] == {"value": "missing"}
    row = only_failure(folder, SUITE.model_copy(update={"columns": {"name": Column(matches="t")}}))
    assert row["failing_rows"][0]["name"].startswith("s")


def test_ids_given_twice_or_not_at_all_fail(plain):
    row = only_failure(plain(id=[1, 2, 2, 3], x=[1.0, 2, 3, 4]), Suite(id=["id"]))
    assert row["expectation"] == "expect_column_values_to_be_unique"
    assert row["failing_rows"] == [{"id": 2}, {"id": 2}]
    pairs = plain("pairs", a=["x", "x", "y"], b=[1, 1, 1])
    row = only_failure(pairs, Suite(id=["a", "b"]))
    assert row["expectation"] == "expect_compound_columns_to_be_unique" and row["failing_rows"][0] == {"a": "x", "b": 1}
    assert run_gate("raw.x", pairs, suite=Suite(id=["a"], unique_id=False)).passed
    assert ("b", "expect_column_values_to_not_be_null") in failed(
        run_gate("raw.x", plain("nulls", a=["x"], b=pa.array([None], pa.int64())), suite=Suite(id=["b"]))
    )


def test_big_ids_are_not_rounded(plain):
    """Two ids that are one as floats are two here, and come back exactly."""
    ids = [2**60 + 1, 2**60 + 2, 2**60 + 2, None]
    root = plain(key=["a", "b", "c", "d"], source_id=pa.array(ids, pa.int64()))
    suite = Suite(id=["key"], columns={"source_id": Column(unique=True)})
    row = only_failure(root, suite)
    assert [r["source_id"] for r in row["failing_rows"]] == [2**60 + 2] * 2


def test_row_counts_against_the_last_snapshot(folder):
    row = only_failure(folder, SUITE, previous_rows=6001)
    assert row["column_name"] == "row_count_to_last" and row["observed"]["value"] == pytest.approx(3000 / 6001)
    assert "6001" in row["kwargs"]["note"]
    row = only_failure(folder, SUITE.model_copy(update={"rows": Rows(min=3001)}))
    assert row["column_name"] == "row_count"
    row = only_failure(folder, SUITE.model_copy(update={"rows": Rows(max_ratio=2.0)}), previous_rows=1000)
    assert row["observed"] == {"value": 3.0}


def test_metrics_and_checks_fail_and_show_rows(folder):
    metric = Metric(sql="SELECT max(g_mag) FROM gated", max=1, description="as bright as Vega")
    row = only_failure(folder, SUITE.model_copy(update={"metrics": {"brightest": metric}}))
    assert row["observed"]["value"] > 15 and row["kwargs"]["note"] == "as bright as Vega"
    check = Check(failing="SELECT star_id, g_mag FROM gated WHERE g_mag > 15", max=10)
    result = run_gate("curated.stars", folder, suite=SUITE.model_copy(update={"checks": {"faint": check}}))
    row = next(row for row in result.expectations if not row["passed"])
    assert row["observed"]["value"] > 1000 and len(row["failing_rows"]) == 20 and row["failing_rows"][0]["g_mag"] > 15
    assert result.failing_rows.num_rows == 20
    assert json.loads(result.failing_rows["row"][0].as_py())["g_mag"] > 15


@pytest.mark.parametrize(
    "broken",
    [
        {"metrics": {"m": Metric(sql="SELECT nope FROM gated", min=0)}},
        {"metrics": {"m": Metric(sql="SELECT 'text'", min=0)}},
        {"checks": {"c": Check(failing="SELECT 1 FROM nowhere")}},
        # An expectation of Great Expectations itself that raises: a number compared with text.
        {"columns": {"name": Column(between=(0, 1))}},
    ],
)
def test_what_raises_an_exception_fails(folder, broken):
    row = only_failure(folder, SUITE.model_copy(update=broken))
    assert row["observed"]["error"]


def test_rows_with_a_false_index_or_outside_their_cell_fail(tmp_path):
    table = stars(300)
    files = store(tmp_path, table)
    cell = max(files, key=lambda one: files[one].rows)
    other = next(one for one in files if one != cell)
    (tmp_path / "dataset" / cell.path()).write_bytes((tmp_path / "dataset" / other.path()).read_bytes())
    suite = Suite(id=["star_id"], unique_id=False)
    row = only_failure(tmp_path, suite)
    assert row["column_name"] == "misplaced_rows" and row["observed"]["value"] == files[other].rows
    assert set(row["failing_rows"][0]) == {"_healpix_29", "ra", "dec", "star_id"}


def test_references_and_those_that_are_missing(folder, plain):
    known = plain("known", star_id=np.arange(2900))
    check = Check(failing="SELECT star_id FROM gated ANTI JOIN curated.known USING (star_id)")
    suite = SUITE.model_copy(update={"references": {"curated.known": ["star_id"]}, "checks": {"orphans": check}})
    row = only_failure(folder, suite, references={"curated.known": known})
    assert row["observed"] == {"value": 100.0}
    assert only_failure(folder, suite)["observed"] == {"value": 3000.0}


def test_no_rows_pass_where_none_are_asked_for(tmp_path):
    finish_catalog(tmp_path, "curated.stars", {}, stars(9).schema)
    suite = SUITE.model_copy(update={"columns": {"g_mag": Column(type="float", nulls=0, between=(0, 1))}})
    assert run_gate("curated.stars", tmp_path, suite=suite).passed
    assert not run_gate("curated.stars", tmp_path, suite=suite, previous_rows=10).passed


def test_default_suite_takes_the_first_column_as_id(folder, plain):
    default = load_suite("images.none")
    assert run_gate("images.none", folder, suite=default).passed
    assert not run_gate("images.none", plain(id=[1, 1]), suite=default).passed


def test_columns_are_loaded_a_few_at_a_time(folder, monkeypatch):
    suite = SUITE.model_copy(
        update={"columns": {"g_mag": Column(between=(0, 14)), "ra": Column(between=(0, 360)), "dec": Column(nulls=0)}}
    )
    together = run_gate("curated.stars", folder, suite=suite).expectations
    monkeypatch.setattr(gates, "FRAME_BYTES", 1)
    widths = []
    real = gates.validate
    monkeypatch.setattr(gates, "validate", lambda frame, rules: widths.append(len(frame.columns)) or real(frame, rules))
    assert run_gate("curated.stars", folder, suite=suite).expectations == together
    assert len(widths) == 4 and max(widths) == 2


def test_page_is_safe_and_says_what_failed(plain, tmp_path):
    root = plain("0123456789abcdef", name=["<script>alert(1)</script>", "b"])
    suite = Suite(id=["name"], columns={"name": Column(among=["b"])})
    result = run_gate("curated.x", root, suite=suite, docs=tmp_path / "docs")
    assert result.docs_path == tmp_path / "docs" / "curated.x" / "0123456789abcdef.html"
    html = result.docs_path.read_text()
    assert "<script" not in html and "&lt;script&gt;alert(1)" in html and "Failed: " in html
    assert "http://" not in html and "https://" not in html.replace('content="https', "")
    assert "default-src 'none'" in html
    evil = run_gate("../../evil", root, suite=suite, docs=tmp_path / "docs")
    assert evil.docs_path.resolve().is_relative_to(tmp_path / "docs")


def test_batches_that_lack_a_column_are_gated_with_the_others(tmp_path):
    full, partial = pa.table({"id": [1], "x": [0.5]}), pa.table({"id": [2]})
    for stem, part in (("b1", full), ("b2", partial)):
        write_partition(part, tmp_path / f"dataset/{stem}.parquet", id_column="id", sky=False)
    finish_plain(tmp_path, full.schema)
    metrics = {"known": Metric(sql="SELECT count(x) FROM gated", min=1, max=1)}
    assert run_gate("raw.things", tmp_path, suite=Suite(id=["id"], metrics=metrics)).passed
