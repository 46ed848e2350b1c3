import pytest
from airflow.sdk.exceptions import AirflowFailException

from stellar.surveys.base import Scope


def scope(**params):
    from common.sync import scope_of

    return Scope.from_dict(scope_of(params))


def test_a_cone_becomes_a_region():
    found = scope(ra_deg=10.0, dec_deg=-5.0, radius_deg=0.5, magnitude_limit=18.0)
    assert [(r.ra, r.dec, r.radius_deg) for r in found.regions] == [(10.0, -5.0, 0.5)]
    assert found.magnitude_limit == 18.0


def test_cells_are_read_as_order_and_pixel():
    assert scope(cells=["5/1024", "12/7"]).cells == ((5, 1024), (12, 7))


def test_an_empty_form_is_the_configured_scope():
    assert scope(ra_deg=None, dec_deg=None, radius_deg=None, cells=None, release=None, row_cap=None).everywhere


def test_half_a_cone_fails_at_once():
    with pytest.raises(AirflowFailException, match="ra_deg, dec_deg and radius_deg"):
        scope(ra_deg=10.0, dec_deg=None, radius_deg=0.5)


def test_cells_that_were_covered_are_added_once():
    assert scope(cells=["3/1", "3/2"], covered=["3/2", "3/9"]).cells == ((3, 1), (3, 2), (3, 9))


def test_a_cell_that_does_not_exist_fails_with_how_many_there_are():
    with pytest.raises(AirflowFailException, match="cell 1/48: order 1 has the pixels 0 to 47"):
        scope(cells=["1/48"])
