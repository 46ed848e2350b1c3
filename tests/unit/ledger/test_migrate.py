import pytest

from stellar.errors import LedgerError
from stellar.ledger.migrate import check, read_migrations


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name[1:]}.sql").write_text(text)
    return read_migrations(folder)


def test_files_come_in_order_with_checksums(tmp_path):
    found = write(tmp_path, _0002_b="SELECT 2", _0001_a="SELECT 1")
    assert [one.name for one in found] == ["0001_a.sql", "0002_b.sql"]
    assert len({one.checksum for one in found}) == 2


@pytest.mark.parametrize(
    ("names", "said"), [(["_1_a"], "NNNN_name"), (["_0001_a", "_0001_b"], "number 0001"), ([], "no migrations")]
)
def test_wrong_folders_are_refused(tmp_path, names, said):
    with pytest.raises(LedgerError, match=said):
        write(tmp_path, **dict.fromkeys(names, "SELECT 1"))


def test_an_edited_file_is_refused(tmp_path):
    landed = {one.name: one.checksum for one in write(tmp_path, _0001_a="SELECT 1", _0002_b="SELECT 2")}
    with pytest.raises(LedgerError, match=r"0001_a\.sql was edited"):
        check(landed, write(tmp_path, _0001_a="SELECT 1 "), tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    files = write(tmp_path, _0001_a="SELECT 1")
    with pytest.raises(LedgerError, match=r"0002_b\.sql is applied"):
        check({files[0].name: files[0].checksum, "0002_b.sql": "x"}, files, tmp_path)


def test_a_file_slipped_in_between_is_refused(tmp_path):
    landed = {one.name: one.checksum for one in write(tmp_path, _0001_a="SELECT 1", _0003_c="SELECT 3")}
    with pytest.raises(LedgerError, match=r"0002_b\.sql comes before"):
        check(landed, write(tmp_path, _0002_b="SELECT 2"), tmp_path)


def test_new_files_at_the_end_are_welcome(tmp_path):
    landed = {one.name: one.checksum for one in write(tmp_path, _0001_a="SELECT 1")}
    check(landed, write(tmp_path, _0002_b="SELECT 2"), tmp_path)
