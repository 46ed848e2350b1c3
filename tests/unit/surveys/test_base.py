"""Scopes, units and their signs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.settings import Settings
from stellar.sky.healpix import Cell, spatial_index
from stellar.sky.separation import separation_arcsec
from stellar.surveys.base import Region, Scope, WorkUnit, digest, missing, open_survey


def unit(name: str, sign: str) -> WorkUnit:
    return WorkUnit("gaia", "gaia", "gaiadr3", name, sign)


def test_a_scope_reads_back_from_its_dict():
    scope = Scope((Region(0, 20, 1.5),), "gaiadr3", 17.5, 100, ((3, 45),))
    assert Scope.from_dict(scope.to_dict()) == scope
    assert Scope.from_dict({"regions": [{"ra": 0, "dec": 20, "radius_deg": 1.5}], "cells": [[3, 45]]}).cells == (
        (3, 45),
    )


@pytest.mark.parametrize("values", [{"region": []}, {"regions": [{"ra": 400, "dec": 0, "radius_deg": 1}]}])
def test_a_wrong_scope_is_named(values):
    with pytest.raises(InputError, match=r"region"):
        Scope.from_dict(values)


def test_contains_across_ra_zero_and_in_cells():
    ra, dec = np.array([359.9, 0.1, 2.0, 180.0]), np.array([20.0, 20.1, 20.0, -40.0])
    assert Scope((Region(0, 20, 0.5),)).contains(ra, dec).tolist() == [True, True, False, False]
    cell = Cell(5, int(spatial_index(ra[3:], dec[3:])[0] >> 48))
    assert Scope(cells=(cell,)).contains(ra, dec).tolist() == [False, False, False, True]
    assert Scope().everywhere
    assert Scope().contains(ra, dec).all()


@settings(deadline=None)
@given(st.floats(0, 359.99), st.floats(-90, 90), st.floats(0.01, 10), st.floats(0, 359.99), st.floats(-90, 90))
def test_contains_is_the_separation(ra, dec, radius, ra2, dec2):
    inside = Scope((Region(ra, dec, radius),)).contains([ra2], [dec2])[0]
    assert inside == (separation_arcsec(ra, dec, ra2, dec2) <= radius * 3600)


def test_only_new_and_changed_units_are_missing():
    done = {("gaia", "a"): "1", ("gaia", "b"): "1"}
    assert [u.unit for u in missing([unit("a", "1"), unit("b", "2"), unit("c", "1")], done)] == ["b", "c"]


def test_digest_is_of_values_not_of_their_order():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_an_unknown_survey_is_named():
    with pytest.raises(InputError, match="known: gaia"):
        open_survey("hipparcos", Settings())
