"""Margins: for each cell, the rows of other cells that lie near to it, so that a match never looks beyond one cell.

A row is in the margin of a cell when its pixel of `margin_order` touches a pixel of that order that shares sky with the
cell. Nothing within the margin's width is missed, some rows that are farther come too, and which do follows from the
row, the cell and the width alone: not from how the rest of the sky is cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from stellar.sky.healpix import INDEX_COLUMN, INDEX_ORDER, Cell, in_margin, margin_order
from stellar.sky.pixels import external_neighbours, neighbours_of

# Every second bit of a pixel's number is of its column, the others of its row.
_COLUMN_BITS = 0x5555555555555555
# What touches a cell is looked for with pixels this many orders finer at most.
_SOURCE_DETAIL = 4


def edge_mask(index29: ArrayLike, cell: Cell, margin_arcsec: float) -> NDArray[np.bool_]:
    """Which rows of a cell may lie in the margin of another cell, whatever that is: those in pixels along its edge.

    Parameters
    ----------
    index29 : array_like of int64, shape (n,)
        Order 29 indices, all in the cell.
    cell : Cell
    margin_arcsec : float

    Returns
    -------
    ndarray of bool, shape (n,)
        Never False for a row that `in_margin` takes for a cell outside this one.
    """
    index = np.asarray(index29, np.int64)
    if margin_arcsec <= 0:
        return np.zeros(index.shape, bool)
    order = margin_order(margin_arcsec)
    if order <= cell.order:
        return np.ones(index.shape, bool)
    # Within the cell, a pixel of `order` is on the edge when its column or row there is the first or the last.
    within = (index >> 2 * (INDEX_ORDER - order)) & ((1 << 2 * (order - cell.order)) - 1)
    last = _COLUMN_BITS & ((1 << 2 * (order - cell.order)) - 1)
    columns, rows = within & last, (within >> 1) & last
    return (columns == 0) | (columns == last) | (rows == 0) | (rows == last)


def margin_rows(table: pa.Table, cell: Cell, margin_arcsec: float, *, id_column: str | None = None) -> pa.Table:
    """Those rows that lie in the margin of a cell, in the order in which they are stored.

    Parameters
    ----------
    table : pyarrow.Table
        Rows of other cells with `_healpix_29`: all of those along their edges (`edge_mask`), or more.
    cell : Cell
    margin_arcsec : float
    id_column : str, optional
        The rows are sorted by `_healpix_29`, then by this column where it is given.

    Returns
    -------
    pyarrow.Table
    """
    index = table[INDEX_COLUMN].to_numpy()
    near = np.flatnonzero(in_margin(index, cell, margin_arcsec))
    if not len(near):
        return table.slice(0, 0)
    if (np.diff(index[near]) > 0).all():
        return table.take(pa.array(near))
    found = table.take(pa.array(near))
    keys = [(name, "ascending") for name in (INDEX_COLUMN, id_column) if name is not None]
    return found.sort_by(keys)


def margin_sources(cells: Sequence[Cell], margin_arcsec: float) -> dict[Cell, list[Cell]]:
    """For each of some disjoint cells, those others that rows of its margin may lie in, in their order on the sky.

    A few are named that only come near to it.
    """
    ordered = sorted(cells, key=Cell.range29)
    if margin_arcsec <= 0 or not ordered:
        return {cell: [] for cell in ordered}
    bounds = np.array([cell.range29() for cell in ordered], np.int64)
    found: dict[Cell, list[Cell]] = {}
    for order in sorted({cell.order for cell in ordered}):
        own = [at for at, cell in enumerate(ordered) if cell.order == order]
        ranges = _around(np.array([ordered[at].pixel for at in own]), order, margin_order(margin_arcsec))
        first = np.searchsorted(bounds[:, 1], ranges[..., 0], side="right")
        beyond = np.searchsorted(bounds[:, 0], ranges[..., 1], side="left")
        for at, low, high in zip(own, first, beyond, strict=True):
            near = {i for a, b in set(zip(low.tolist(), high.tolist(), strict=True)) for i in range(a, b)}
            found[ordered[at]] = [ordered[i] for i in sorted(near - {at})]
    return found


def _around(pixels: NDArray[np.int64], order: int, of_margin: int) -> NDArray[np.int64]:
    """Order 29 ranges that hold the margins of pixels of one order, shape (n, m, 2); empty ones where there is none."""
    if of_margin < 0:
        return np.broadcast_to(np.array([0, 12 << 2 * INDEX_ORDER]), (len(pixels), 1, 2))
    if of_margin <= order:
        finest = of_margin
        near = neighbours_of(pixels >> 2 * (order - of_margin), of_margin)
    else:
        finest = min(of_margin, order + _SOURCE_DETAIL)
        near = external_neighbours(pixels, order, finest - order)
    shift = 2 * (INDEX_ORDER - finest)
    low = np.maximum(near, 0) << shift
    return np.stack([low, np.where(near < 0, low, (near + 1) << shift)], axis=-1)
