"""Pixels' centres by our own formulas are those of healpy and cdshealpix, at every order."""

import healpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.sky.pixels import centres, sky_order, spatial_index
from stellar.sky.separation import separation_deg


def some_pixels(order: int) -> np.ndarray:
    """All of a coarse order; of a fine one some, with the corners of every base cell."""
    if order < 6:
        return np.arange(12 << 2 * order)
    side = 1 << 2 * order
    corners = np.array([0, 1, side // 3, side // 2, side // 3 * 2, side - 2, side - 1])
    random = np.random.default_rng(order).integers(0, 12 * side, 5000)
    return np.unique(np.concatenate([random, *(base * side + corners for base in range(12))]))


@pytest.mark.parametrize("order", range(30))
def test_centres(order):
    pixels = some_pixels(order)
    ra, dec = centres(pixels, order)
    theirs = healpy.pix2ang(1 << order, pixels, nest=True, lonlat=True)
    assert separation_deg(ra, dec, *theirs).max() < 1e-12
    assert (ra >= 0).all() and (ra < 360).all()
    if order < 28:  # a pixel of order 29 is a few times the spacing of doubles at RA 360
        assert (spatial_index(ra, dec) >> 2 * (29 - order) == pixels).all()


def test_no_pixels_have_no_centres():
    assert [len(x) for x in centres(np.empty(0, np.int64), 5)] == [0, 0]


INDICES = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-1, 12 << 58), st.integers(5 << 58, (5 << 58) + 40)
)


@given(st.lists(INDICES, max_size=300))
def test_the_order_along_the_sky_is_that_of_a_stable_sort(values):
    index = np.array(values, np.int64)
    order = sky_order(index)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(order, np.argsort(index, kind="stable"))


@pytest.mark.parametrize("span", [1, 1 << 15, 1 << 16, 1 << 40, 12 << 58])
def test_the_order_of_many_rows_with_and_without_ties(span):
    index = np.random.default_rng(1).integers(-1, span, 50_000)
    np.testing.assert_array_equal(sky_order(index), np.argsort(index, kind="stable"))
