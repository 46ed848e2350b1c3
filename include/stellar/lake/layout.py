"""Which cells a dataset is cut into: a pure function of where its rows lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stellar.sky.healpix import INDEX_ORDER, Cell

#: A cell with more bytes than this in memory is split. 16 MiB is about 200,000 rows of ten numbers, 60,000 of Gaia or
#: 200 SDSS spectra.
THRESHOLD_BYTES = 16 << 20
#: Cells are not split beyond this order (1.7 arcmin wide).
MAX_ORDER = 11

#: What decides a layout beside the rows. It goes into the keys of what is laid out.
LAYOUT: dict[str, Any] = {"layout": 2, "threshold_bytes": THRESHOLD_BYTES, "max_order": MAX_ORDER}


def layout(
    index29: ArrayLike, bytes_per_row: float, *, threshold_bytes: int = THRESHOLD_BYTES, max_order: int = MAX_ORDER
) -> list[Cell]:
    """The coarsest cells that hold all rows with at most a threshold of bytes each.

    A cell splits in four when its rows exceed the threshold, and four merge again when their parent fits under it,
    since the cells follow from the rows alone and from no earlier layout. Cells without rows are left out.

    Parameters
    ----------
    index29 : array_like of int64, shape (n,)
        Order 29 nested HEALPix indices, in any order.
    bytes_per_row : float
        Mean bytes of a row in memory (`stellar.lake.write.row_bytes`).
    threshold_bytes : int
        More than this in a cell splits it.
    max_order : int
        No cell is finer; those that are still too big stay so.

    Returns
    -------
    list of Cell
        Disjoint, in their order on the sky.
    """
    index = np.asarray(index29, np.int64)
    if (index[1:] < index[:-1]).any():
        index = np.sort(index)
    return layout_by(lambda bounds: np.searchsorted(index, bounds), bytes_per_row, threshold_bytes, max_order)


def layout_from_counts(
    pixels: ArrayLike,
    rows: ArrayLike,
    bytes_per_row: float,
    *,
    order: int = MAX_ORDER,
    threshold_bytes: int = THRESHOLD_BYTES,
    max_order: int = MAX_ORDER,
) -> list[Cell]:
    """`layout` from how many rows lie in each pixel of one order.

    Parameters
    ----------
    pixels : array_like of int64, shape (n,)
        Pixels with rows, ascending.
    rows : array_like of int64, shape (n,)
        Rows of each.
    bytes_per_row : float
    order : int
        Of the pixels, at least `max_order`.
    threshold_bytes, max_order : int
        As for `layout`.
    """
    if order < max_order:
        raise ValueError(f"counts of order {order} do not tell the rows of cells of order {max_order}")
    first = np.asarray(pixels, np.int64) << 2 * (INDEX_ORDER - order)
    below = np.concatenate([[0], np.cumsum(np.asarray(rows, np.int64))])
    return layout_by(lambda bounds: below[np.searchsorted(first, bounds)], bytes_per_row, threshold_bytes, max_order)


def layout_by(
    below: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    bytes_per_row: float,
    threshold_bytes: int = THRESHOLD_BYTES,
    max_order: int = MAX_ORDER,
) -> list[Cell]:
    """`layout` from a function that tells how many rows have an index below each of some (ascending) indices."""
    if not 0 <= max_order <= INDEX_ORDER:
        raise ValueError(f"max_order must be in [0, {INDEX_ORDER}], got {max_order}")
    if threshold_bytes <= 0:
        raise ValueError(f"threshold_bytes must be positive, got {threshold_bytes}")
    largest = threshold_bytes / max(bytes_per_row, 1e-9)
    cells: list[Cell] = []
    pixels = np.arange(12, dtype=np.int64)
    for order in range(max_order + 1):
        shift = 2 * (INDEX_ORDER - order)
        rows = below((pixels + 1) << shift) - below(pixels << shift)
        fits = (rows > 0) & ((rows <= largest) | (order == max_order))
        cells += [Cell(order, pixel) for pixel in pixels[fits].tolist()]
        pixels = (4 * pixels[(rows > 0) & ~fits][:, None] + np.arange(4)).ravel()
        if not len(pixels):
            break
    return sorted(cells, key=Cell.range29)


def cells_beyond(own: list[Cell], others: list[Cell]) -> list[Cell]:
    """The coarsest cells that hold what `others` have of the sky and `own` have not, in their order on the sky."""
    bounds = np.array(sorted(cell.range29() for cell in own), np.int64).reshape(-1, 2)
    found, waiting = [], list(others)
    while waiting:
        cell = waiting.pop()
        low, high = cell.range29()
        first = int(np.searchsorted(bounds[:, 1], low, side="right"))
        if first == len(bounds) or bounds[first, 0] >= high:
            found.append(cell)
        elif bounds[first, 0] > low or bounds[first, 1] < high:  # neither within an own cell nor free of them
            waiting += [Cell(cell.order + 1, 4 * cell.pixel + part) for part in range(4)]
    return sorted(found, key=Cell.range29)


def cell_of(index29: ArrayLike, cells: list[Cell]) -> NDArray[np.int64]:
    """Position in `cells` (disjoint, any order) of the cell that holds each index; -1 where none does."""
    index = np.asarray(index29, np.int64)
    if not cells:
        return np.full(index.shape, -1, np.int64)
    bounds = np.array([cell.range29() for cell in cells], np.int64)
    order = np.argsort(bounds[:, 0])
    at = np.searchsorted(bounds[order, 0], index, side="right") - 1
    found = order[np.maximum(at, 0)]
    return np.where((at >= 0) & (index < bounds[found, 1]), found, -1)
