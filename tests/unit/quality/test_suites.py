"""Every suite of the package is sound, and wrong ones are refused with file and line."""

import duckdb
import pytest

from stellar.checked_yaml import load_yaml
from stellar.errors import InputError
from stellar.quality.expectations import Rule, column_rules, validate
from stellar.quality.suite_files import GATES, counts_alone
from stellar.quality.suites import Suite, load_suite

NAMES = sorted(path.stem for path in GATES.glob("*.yaml"))


def suite_named(name: str) -> Suite:
    return load_yaml(GATES / f"{name}.yaml", Suite)


@pytest.mark.parametrize("name", NAMES)
def test_sql_of_every_suite_parses_as_one_reading_statement(name):
    suite = suite_named(name)
    for sql in [m.sql for m in suite.metrics.values()] + [c.failing for c in suite.checks.values()]:
        statements = duckdb.extract_statements(sql)
        assert [s.type.name for s in statements] == ["SELECT"], sql
    for check in suite.checks.values():
        assert duckdb.extract_statements(f"SELECT count(*) FROM ({check.failing})")[0].type.name == "SELECT"


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_among_what_is_checked(name):
    suite = suite_named(name)
    assert all("." in dataset for dataset in suite.references)
    assert suite.id is None or all(isinstance(column, str) for column in suite.id)


def test_great_expectations_knows_every_rule_of_every_suite():
    import pandas as pd

    rules: list[Rule] = []
    for name in NAMES:
        suite = suite_named(name)
        columns = set(suite.columns) | set(suite.id or ["id"])
        rules += column_rules(suite, suite.id or ["id"], columns)
    frame = pd.DataFrame({column: pd.Series([], dtype="float64") for rule in rules for column in [rule.column]})
    results = validate(frame, rules)
    assert len(results) == len(rules) > 100


def test_own_suite_then_layer_then_default():
    assert load_suite("curated.gaia").name == "curated.gaia"
    assert load_suite("curated.something_new").name == "curated"
    assert load_suite("raw.gaia").name == "raw"
    assert load_suite("images.frames").name == "default"


@pytest.mark.parametrize("name", ["gaia", "curated.", "../x.y", "curated.ga/ia", ""])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(InputError, match="not a dataset's name"):
        load_suite(name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("columns:\n  x: {betwen: [0, 1]}\n", "2: columns.x.betwen: there is no such key"),
        ("metrics:\n  m: {sql: SELECT 1}\n", "a metric needs min, max or both"),
        ("columns:\n  x: {between: [null, null]}\n", "smallest or a largest"),
        ("columns:\n  x: {nulls: 2}\n", "columns.x.nulls"),
    ],
)
def test_a_wrong_suite_is_refused_by_line(tmp_path, text, told):
    path = tmp_path / "curated.x.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_yaml(path, Suite)
    assert told in str(caught.value) and str(path) in str(caught.value)


def test_users_tables_are_counted_unless_they_have_a_suite_of_their_own(tmp_path, monkeypatch):
    for name in ("default", "own", "own.mine"):
        (tmp_path / f"{name}.yaml").write_text("description: x\n")
    monkeypatch.setattr("stellar.quality.suite_files.GATES", tmp_path)
    assert counts_alone("own.other")
    assert not counts_alone("own.mine")
    assert not counts_alone("curated.gaia")
    (tmp_path / "own.yaml").unlink()
    assert not counts_alone("own.other")
