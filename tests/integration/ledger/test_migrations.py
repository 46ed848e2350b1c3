import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from stellar.errors import LedgerError
from stellar.ledger.connect import ledger_session, migrations
from stellar.ledger.migrate import migrate


@pytest.fixture
def owner(settings):
    with ledger_session(settings, role="owner") as engine:
        yield engine


@pytest.fixture
def folder(settings, tmp_path):
    return shutil.copytree(migrations(settings), tmp_path / "sql")


def test_landed_files_may_not_be_edited(owner, folder):
    path = folder / "0001_lake.sql"
    path.write_text(path.read_text() + "-- a word more\n")
    with pytest.raises(LedgerError, match=r"0001_lake\.sql was edited"):
        migrate(owner, folder)


def test_landed_files_may_not_vanish(owner, folder):
    (folder / "0002_ingest.sql").unlink()
    with pytest.raises(LedgerError, match=r"0002_ingest\.sql is applied"):
        migrate(owner, folder)


def test_a_failing_file_leaves_nothing(owner, folder):
    (folder / "9000_two.sql").write_text("CREATE TABLE lake.first (a int); SELECT 1 / 0;")
    with pytest.raises(LedgerError, match=r"9000_two\.sql failed and was undone"):
        migrate(owner, folder)
    with owner.connect() as connection:
        assert connection.scalar(sa.text("SELECT to_regclass('lake.first')")) is None
    (folder / "9000_two.sql").write_text("CREATE TABLE lake.first (a int);")
    assert migrate(owner, folder) == ["9000_two.sql"]
    assert migrate(owner, folder) == []


def test_two_at_once_apply_each_file_once(owner, folder):
    for number in range(5):
        (folder / f"900{number}_one.sql").write_text(f"CREATE TABLE lake.t{number} (a int); SELECT pg_sleep(0.05);")
    with ThreadPoolExecutor(4) as pool:
        applied = [name for names in pool.map(lambda _: migrate(owner, folder), range(4)) for name in names]
    assert sorted(applied) == [f"900{number}_one.sql" for number in range(5)]


def test_new_tables_can_be_read_and_written_by_their_roles(owner, settings, folder):
    (folder / "9000_new.sql").write_text("CREATE TABLE lake.new (a int);")
    migrate(owner, folder)
    with owner.connect() as connection:
        rights = connection.execute(
            sa.text(
                "SELECT has_table_privilege('stellar_pipeline', 'lake.new', 'INSERT'),"
                " has_table_privilege('stellar_reader', 'lake.new', 'SELECT'),"
                " has_table_privilege('stellar_reader', 'lake.new', 'INSERT')"
            )
        ).one()
    assert tuple(rights) == (True, True, False)
