"""Objects that a better survey joined are found under their old ids."""

import pyarrow as pa

from stellar.catalog.associations import renamed


def table(**rows: str) -> pa.Table:
    return pa.table({"association_id": list(rows), "object_id": list(rows.values())})


def test_object_joined_by_a_better_survey_keeps_its_old_id() -> None:
    old = table(sdss_7="sdss-7", tess_1="sdss-7", gaia_2="gaia-2")
    new = table(gaia_1="gaia-1", sdss_7="gaia-1", tess_1="gaia-1", gaia_2="gaia-2")
    assert renamed(old, new) == [("sdss-7", "gaia-1")]


def test_object_that_fell_apart_has_both_ids() -> None:
    old = table(sdss_7="sdss-7", tess_1="sdss-7")
    new = table(gaia_1="gaia-1", sdss_7="gaia-1", tess_1="tic-1")
    assert renamed(old, new) == [("sdss-7", "gaia-1"), ("sdss-7", "tic-1")]


def test_row_that_only_moved_to_another_object_renames_nothing() -> None:
    old = table(gaia_1="gaia-1", gaia_2="gaia-2", sdss_7="gaia-1")
    assert renamed(old, table(gaia_1="gaia-1", gaia_2="gaia-2", sdss_7="gaia-2")) == []
    assert renamed(old, old) == []
