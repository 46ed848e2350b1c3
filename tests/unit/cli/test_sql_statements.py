"""Several statements in one text: all are looked at before the first is run."""

import pytest

from stellar.cli.sql import split_statements
from stellar.errors import InputError


def test_a_text_is_parted_by_semicolons_outside_of_strings():
    one = "SELECT 'a;b' -- one; only\n;"
    assert split_statements(one) == [one]
    text = "-- first\nSELECT 1;\nSELECT 'é;y' AS \"a;b\";; -- last\nDESCRIBE SELECT 3"
    assert split_statements(text) == ["SELECT 1;\n", "SELECT 'é;y' AS \"a;b\";; -- last\n", "DESCRIBE SELECT 3"]


@pytest.mark.parametrize(
    "text", ["SELECT 1; DROP TABLE x", "COPY (SELECT 1) TO 'x'; SELECT 1", "SELECT 1; SELEC 2", "", ";"]
)
def test_one_that_does_not_only_read_stops_all(text):
    with pytest.raises(InputError):
        split_statements(text)
