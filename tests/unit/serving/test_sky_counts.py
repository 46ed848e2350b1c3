import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.serving.sky_counts import FINEST, Counts, _count, coarser
from stellar.sky.healpix import INDEX_COLUMN, INDEX_ORDER


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


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("group", [1, 7, 1000])
def test_rows_are_counted_whatever_their_row_groups_and_order(tmp_path, ordered, group):
    rng = np.random.default_rng(3)
    index = rng.integers(0, 40, 500) << 2 * (INDEX_ORDER - FINEST)
    index = np.sort(index) if ordered else index
    value = pa.array(rng.uniform(size=500), mask=rng.random(500) < 0.2)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({INDEX_COLUMN: index, "v": value}), path, row_group_size=group)
    pixels, rows = np.unique(index >> 2 * (INDEX_ORDER - FINEST), return_counts=True)
    for column in (None, "v"):
        found = _count(path, column)
        np.testing.assert_array_equal(found.pixels, pixels)
        np.testing.assert_array_equal(found.rows, rows)
    numbers = value.to_numpy(zero_copy_only=False)
    for number, pixel in enumerate(pixels):
        some = numbers[index >> 2 * (INDEX_ORDER - FINEST) == pixel]
        assert found.valid[number] == np.isfinite(some).sum()
        assert found.total[number] == pytest.approx(np.nansum(some))


def test_a_file_without_rows_has_no_pixels(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({INDEX_COLUMN: pa.array([], pa.int64())}), path)
    assert len(_count(path, None).pixels) == 0


def test_counting_does_not_wait_for_the_import_of_pandas(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({INDEX_COLUMN: pa.array([1, 2]), "v": pa.array([1.0, 2.0])}), path)
    code = (
        "import sys; from stellar.serving.sky_counts import _count\n"
        f"_count({str(path)!r}, None)\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
