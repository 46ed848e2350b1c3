"""The edges of all cells together hold every cell's margin, at any orders, and nothing depends on how they are cut."""

import healpy
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.lake.margins import edge_mask, margin_rows, margin_sources
from stellar.sky.healpix import (
    INDEX_COLUMN,
    Cell,
    in_margin,
    margin_mask,
    margin_ranges,
    overlapping_ranges,
    spatial_index,
)

CELL = st.integers(0, 11).flatmap(lambda k: st.integers(0, 12 * 4**k - 1).map(lambda n: Cell(k, n)))
# Poles, RA 0, and corners where three base cells meet instead of four.
AWKWARD = [Cell(k, n) for k in (0, 3, 7, 11) for n in (0, 4**k - 1, 4 * 4**k, 7 * 4**k + 2 * 4**k // 3, 12 * 4**k - 1)]


def around(cell: Cell, margin_deg: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions on both sides of a cell's edge, and at its corners."""
    random = np.random.default_rng(seed)
    edge = np.concatenate(
        [healpy.boundaries(1 << cell.order, cell.pixel, step=k, nest=True).T for k in (1, 1, 1, 1, 1, 64)]
    )
    centre = edge[random.integers(0, len(edge), n)]
    axis = np.cross(centre, random.normal(size=(n, 3)))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.radians(margin_deg * random.uniform(0, 3, n))[:, None]
    x, y, z = (centre * np.cos(angle) + np.cross(axis, centre) * np.sin(angle)).T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


@settings(max_examples=150, deadline=None)
@given(st.one_of(CELL, st.sampled_from(AWKWARD)), st.floats(-1, 4.7), st.integers(0, 11), st.integers(0, 2**32 - 1))
def test_a_cells_margin_lies_in_other_cells_edges(cell, log_margin, order, seed):
    """The sky outside the cell is cut at another order: each row of the margin is on the edge of where it lies."""
    margin = 10.0**log_margin
    index = spatial_index(*around(cell, margin / 3600, 400, seed))
    taken = in_margin(index, cell, margin)
    for row in index[taken].tolist():
        for k in (order, cell.order, 11, 0):
            own = Cell(k, row >> 2 * (29 - k))
            disjoint = own.order >= cell.order or cell.parent(own.order) != own
            if disjoint and not cell.contains(row):
                assert edge_mask([row], own, margin)[0]


@settings(max_examples=100, deadline=None)
@given(st.one_of(CELL, st.sampled_from(AWKWARD)), st.floats(-1, 4.7), st.integers(0, 2**32 - 1))
def test_every_point_within_the_margin_is_taken_and_few_beyond(cell, log_margin, seed):
    margin = 10.0**log_margin
    ra, dec = around(cell, margin / 3600 / 3, 300, seed)
    assert (margin_mask(ra, dec, cell, margin) == ~cell.contains(spatial_index(ra, dec))).all()
    far = around(cell, margin / 3600 * 20, 300, seed)
    outside = ~cell.contains(spatial_index(*far))
    if margin < 1000 and outside.sum() > 50:
        # Pixels are at most four margins wide, and slanted.
        assert margin_mask(*far, cell, margin).sum() < 0.5 * outside.sum()


@pytest.mark.parametrize("cell", AWKWARD, ids=str)
@pytest.mark.parametrize("margin", [0.1, 10.0, 3600.0, 90_000.0])
def test_the_margin_is_the_same_from_any_cut_and_order_of_rows(cell, margin):
    ra, dec = around(cell, margin / 3600, 500, 4)
    index = spatial_index(ra, dec)
    table = pa.table({INDEX_COLUMN: index, "id": np.arange(500)}).filter(pa.array(~cell.contains(index)))
    expected = margin_rows(table, cell, margin, id_column="id")
    at = table[INDEX_COLUMN].to_numpy()
    for order in range(12):
        pixels = at >> 2 * (29 - order)
        parts = []
        for pixel in np.unique(pixels).tolist():
            own = Cell(order, pixel)
            if own.order < cell.order and cell.parent(own.order) == own:
                parts.append(table.filter(pa.array(pixels == pixel)))  # not disjoint from the cell: it cannot be
                continue
            rows = table.filter(pa.array(pixels == pixel))
            parts.append(rows.filter(pa.array(edge_mask(rows[INDEX_COLUMN].to_numpy(), own, margin))))
        given_rows = pa.concat_tables(parts[::-1])
        assert margin_rows(given_rows, cell, margin, id_column="id").equals(expected)
    found = expected.to_pydict()
    assert list(zip(found[INDEX_COLUMN], found["id"], strict=True)) == sorted(
        zip(found[INDEX_COLUMN], found["id"], strict=True)
    )


def test_an_edge_is_a_narrow_strip_and_nothing_without_a_margin():
    random = np.random.default_rng(1)
    low, high = Cell(5, 777).range29()
    index = random.integers(low, high, 20_000)
    assert 0 < edge_mask(index, Cell(5, 777), 10.0).mean() < 0.03
    assert not edge_mask(index, Cell(5, 777), 0.0).any()
    assert edge_mask(index, Cell(5, 777), 40_000.0).all()


def test_a_margin_narrower_than_a_pixel_of_a_coarse_cell_is_still_exact():
    """A cell of order 0 with a margin of 0.1 arcsec: pixels of order 20, a million along its edge."""
    cell = Cell(0, 4)
    ra, dec = around(cell, 0.1 / 3600, 2000, 9)
    index = spatial_index(ra, dec)
    near = in_margin(index, cell, 0.1)
    assert (near <= ~cell.contains(index)).all() and near.any()
    wide = around(cell, 60 / 3600, 2000, 9)
    assert in_margin(spatial_index(*wide), cell, 0.1).mean() < 0.05


@settings(max_examples=100, deadline=None)
@given(st.lists(CELL, min_size=1, max_size=25), st.floats(-1, 5.3), st.integers(0, 2**32 - 1))
def test_sources_are_all_cells_that_the_margins_ranges_meet(cells, log_margin, seed):
    random = np.random.default_rng(seed)
    for cell in list(cells):  # neighbours of other orders too
        for index in spatial_index(*around(cell, 10.0**log_margin / 3600, 6, seed)).tolist():
            order = int(random.integers(0, 12))
            cells.append(Cell(order, index >> 2 * (29 - order)))
    disjoint: list[Cell] = []
    for cell in cells:
        low, high = cell.range29()
        if all(high <= a or b <= low for a, b in map(Cell.range29, disjoint)):
            disjoint.append(cell)
    found = margin_sources(disjoint, 10.0**log_margin)
    assert set(found) == set(disjoint)
    for cell, near in found.items():
        needed = set(overlapping_ranges(disjoint, margin_ranges(cell, 10.0**log_margin))) - {cell}
        assert needed <= set(near) and cell not in near
        assert near == sorted(near, key=Cell.range29)
    assert margin_sources(disjoint, 0.0) == {cell: [] for cell in disjoint}
