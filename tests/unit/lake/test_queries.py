"""The questions in sql/queries are sentences, read only, and name what exists."""

import re

import pytest

from stellar.lake.sql import refuse_writing

QUESTIONS = "sql/queries"


def test_there_are_enough(root):
    assert len(list((root / QUESTIONS).glob("*.sql"))) >= 14


def pytest_generate_tests(metafunc):
    if "path" in metafunc.fixturenames:
        folder = metafunc.config.rootpath / QUESTIONS
        metafunc.parametrize("path", sorted(folder.glob("*.sql")), ids=lambda path: path.stem)


def test_first_line_is_the_question(path):
    first = path.read_text().splitlines()[0]
    assert re.fullmatch(r"-- [A-Z].{20,110}\?", first), first


def test_it_reads_one_statement_and_orders_its_rows(path):
    text = path.read_text()
    refuse_writing(text)
    assert "ORDER BY" in text.rsplit(")", 1)[-1] or "ORDER BY" in text.splitlines()[-1] + text.splitlines()[-2]


def test_tables_of_the_ledger_are_in_its_migrations(path, root):
    made = "\n".join(file.read_text() for file in sorted((root / "sql" / "ledger").glob("*.sql")))
    names = re.findall(r"CREATE (?:TABLE|VIEW) (\w+)\.(\w+)", made)
    tables = [table for _, table in names]
    known = {table if tables.count(table) == 1 else f"{schema}_{table}" for schema, table in names}
    assert set(re.findall(r"ledger\.(\w+)", path.read_text())) <= known


@pytest.mark.parametrize("name", ["quarantined", "source_batches"])
def test_views_that_questions_use_exist(root, name):
    assert (root / "sql" / "views" / f"{name}.sql").read_text().startswith("-- ")
