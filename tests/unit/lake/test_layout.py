"""Cells follow from the rows alone."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut_sky import mixed_cells
from stellar.lake.layout import cell_of, cells_beyond, layout, layout_from_counts
from stellar.sky.healpix import Cell

INDEX = st.lists(st.integers(0, (12 << 58) - 1), max_size=200).map(lambda rows: np.array(rows, np.int64))
CLUSTERED = st.tuples(st.integers(0, 12 * 4**6 - 1), INDEX).map(lambda c: (c[0] << 46) + c[1] % (1 << 46))


@given(st.one_of(INDEX, CLUSTERED), st.integers(1, 60), st.integers(0, 8))
def test_cells_are_the_coarsest_that_fit(index, rows, max_order):
    cells = layout(index, 10.0, threshold_bytes=10 * rows, max_order=max_order)
    counts = [int(cell.contains(index).sum()) for cell in cells]
    assert sum(counts) == len(index) and all(counts)
    ranges = [cell.range29() for cell in cells]
    assert all(high <= low for (_, high), (low, _) in pairwise(ranges))
    for cell, count in zip(cells, counts, strict=True):
        assert count <= rows or cell.order == max_order
        if cell.order:
            assert cell.parent(cell.order - 1).contains(index).sum() > rows
    again = layout(np.random.default_rng(0).permutation(index), 10.0, threshold_bytes=10 * rows, max_order=max_order)
    assert again == cells
    for order in (max_order, 11, 29):
        pixels, counts = np.unique(index >> 2 * (29 - order), return_counts=True)
        options = {"order": order, "threshold_bytes": 10 * rows, "max_order": max_order}
        assert layout_from_counts(pixels, counts, 10.0, **options) == cells


@given(INDEX, st.integers(1, 20))
def test_rows_find_their_cell(index, rows):
    cells = layout(index, 1.0, threshold_bytes=rows)
    shuffled = [cells[i] for i in np.random.default_rng(1).permutation(len(cells))]
    at = cell_of(index, shuffled)
    assert (at >= 0).all()
    assert all(shuffled[i].contains(n).all() for i, n in zip(at, index, strict=True))
    missing = [cell for cell in shuffled if cell is not shuffled[0]] if shuffled else []
    if shuffled:
        assert ((cell_of(index, missing) == -1) == shuffled[0].contains(index)).all()


def test_merges_again_when_rows_go():
    index = np.concatenate([np.full(5, low) for low, _ in (Cell(1, k).range29() for k in range(4))])
    assert layout(index, 1.0, threshold_bytes=19) == [Cell(1, k) for k in range(4)]
    assert layout(index[1:], 1.0, threshold_bytes=19) == [Cell(0, 0)]


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="max_order"):
        layout([], 1.0, max_order=30)
    with pytest.raises(ValueError, match="threshold"):
        layout([], 1.0, threshold_bytes=0)
    with pytest.raises(ValueError, match="order 3 do not tell"):
        layout_from_counts([1], [1], 1.0, order=3, max_order=4)
    assert layout_from_counts([], [], 1.0) == layout([], 1.0) == []


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_cells_beyond_others_fill_the_gaps_and_no_more(seed, other):
    random = np.random.default_rng(seed)
    index = random.integers(0, 12 << 58, 60)
    own, others = mixed_cells(index[:30], seed, 6), mixed_cells(index[20:], other, 6)
    found = cells_beyond(own, others)
    together = sorted([*own, *found], key=Cell.range29)
    assert all(a.range29()[1] <= b.range29()[0] for a, b in pairwise(together)), "disjoint"
    probe = np.concatenate([index, random.integers(0, 12 << 58, 2000)])
    wanted = (cell_of(probe, others) >= 0) & (cell_of(probe, own) < 0)
    assert (wanted == (cell_of(probe, found) >= 0)).all()
    assert cells_beyond(own, own) == [] and cells_beyond([], others) == others
