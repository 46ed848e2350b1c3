import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.serving.sky_counts import FINEST, Counts, coarser


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 12 * 4**FINEST - 1), st.integers(1, 9), max_size=50), st.integers(0, FINEST))
def test_coarser_pixels_hold_what_their_parts_do(rows, order):
    pixels = np.array(sorted(rows), np.int64)
    many = np.array([rows[pixel] for pixel in pixels.tolist()], np.int64)
    found = coarser(Counts(pixels, many, many, 2.0 * many), order)
    wanted = {}
    for pixel, one in rows.items():
        wanted[pixel >> 2 * (FINEST - order)] = wanted.get(pixel >> 2 * (FINEST - order), 0) + one
    assert dict(zip(found.pixels.tolist(), found.rows.tolist(), strict=True)) == wanted
    assert (np.diff(found.pixels) > 0).all()
    np.testing.assert_array_equal(found.total, 2.0 * found.valid)
