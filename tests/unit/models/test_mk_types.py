import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.models.mk_types import USED, subtype_name, subtype_number, subtype_numbers


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("O5", 5),
        ("A5V", 25),
        ("F9", 39),
        ("G2V", 42),
        ("dM0", 60),
        ("gM3", 63),
        ("sdF3", 33),
        ("sd:F0 (G_84-29)", 30),
        ("B9.5V+...", 19.5),
        ("F3/F5V", 33),
        (" K7", 57),
    ],
)
def test_types_of_the_surveys(name, number):
    assert subtype_number(name) == number


@pytest.mark.parametrize("name", [None, "", "Non", "WD", "CV", "Carbon", "Am", "L5", "DoubleStar", "M", "AGN5"])
def test_no_mk_type(name):
    assert math.isnan(subtype_number(name))


@given(st.sampled_from(USED.tolist()))
def test_name_and_number_are_inverse(number):
    assert subtype_number(subtype_name(number)) == number


@given(st.floats(-20, 90))
def test_name_is_the_nearest_type(number):
    found = subtype_number(subtype_name(number))
    assert abs(found - number) == pytest.approx(np.abs(USED - number).min())


@pytest.mark.parametrize(("number", "name"), [(55.9, "K5"), (56, "K7"), (58.4, "K7"), (58.6, "M0"), (41.5, "G2")])
def test_there_is_no_k6_k8_or_k9(number, name):
    assert subtype_name(number) == name
    assert subtype_number("K8") == 58


def test_many():
    assert subtype_numbers(["A0", "G5"]).tolist() == [20, 45]
    assert subtype_numbers([]).shape == (0,)
