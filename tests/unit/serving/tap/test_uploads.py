"""Uploaded tables: what ends the reading of them."""

import pytest

from stellar.errors import InputError
from stellar.serving.tap.queries import Stop
from stellar.serving.tap.uploads import Room, joined, read_uploads

ROWS = 1_000
DOCUMENT = (
    '<VOTABLE><RESOURCE><TABLE><FIELD name="x" datatype="long"/><DATA><TABLEDATA>'
    + "<TR><TD>1</TD></TR>" * ROWS
    + "</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
)


def test_the_rows_of_all_uploads_share_the_room(tmp_path):
    (tmp_path / "t.vot").write_text(DOCUMENT)
    files = {"a": tmp_path / "t.vot", "b": tmp_path / "t.vot"}
    assert [len(rows) for _, rows in read_uploads(files, Room(20_000, 2 * ROWS, Stop().check))] == [ROWS, ROWS]
    for room, what in ((Room(20_000, 2 * ROWS - 1, Stop().check), "rows"), (Room(12_000, 2 * ROWS, print), "memory")):
        with pytest.raises(InputError, match=f"UPLOAD b: it takes more {what} than"):
            read_uploads(files, room)


def test_a_query_is_ended_while_its_uploads_are_read(tmp_path):
    (tmp_path / "t.vot").write_text(DOCUMENT)
    stop, asked = Stop(), []

    def check() -> None:
        asked.append(1)
        if len(asked) == 2:  # once before the file, then after each chunk
            stop.stop("the job was aborted")
        stop.check()

    with pytest.raises(InputError, match="the job was aborted"):
        read_uploads({"a": tmp_path / "t.vot"}, Room(1 << 20, 2 * ROWS, check))


def test_a_table_that_is_given_again_is_the_later_one():
    assert joined("", "a,param:x") == "a,param:x"
    assert joined("a,param:x;b,param:y", "A,param:z") == "b,param:y;A,param:z"
    with pytest.raises(InputError, match="at most 8"):
        joined(";".join(f"t{n},param:x" for n in range(8)), "u,param:x")
