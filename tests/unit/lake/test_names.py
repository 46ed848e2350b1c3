"""Names of datasets."""

import pytest

from stellar.errors import InputError
from stellar.lake.names import full_name


def test_a_bare_name_is_of_the_users_own_layer():
    assert full_name("gaia_2") == "own.gaia_2"
    assert full_name("curated.gaia") == "curated.gaia"


@pytest.mark.parametrize("name", ["", ".", "Gaia", "2mass", "a.b.c", "a b", "own.", ".x", "a-b", "gaia\n"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(InputError, match="no name of a dataset"):
        full_name(name)
