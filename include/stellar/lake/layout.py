"""Which cells a dataset is cut into: a pure function of where its rows lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stellar.sky.healpix import INDEX_ORDER, Cell

#: A cell with more bytes than this in memory is split. 4 MiB is about 15,000 rows of Gaia or 50 SDSS spectra.
THRESHOLD_BYTES = 4 << 20
#: Cells are not split beyond this order (0.9 degrees wide).
MAX_ORDER = 6

#: What decides a layout beside the rows. It goes into the keys of what is laid out.
LAYOUT: dict[str, Any] = {"layout": 1, "threshold_bytes": THRESHOLD_BYTES, "max_order": MAX_ORDER}


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
    if not 0 <= max_order <= INDEX_ORDER:
        raise ValueError(f"max_order must be in [0, {INDEX_ORDER}], got {max_order}")
    if threshold_bytes <= 0:
        raise ValueError(f"threshold_bytes must be positive, got {threshold_bytes}")
    index = np.sort(np.asarray(index29, np.int64))
    largest = threshold_bytes / max(bytes_per_row, 1e-9)
    return [cell for pixel in range(12) for cell in _split(index, Cell(0, pixel), largest, max_order)]


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


def _split(index: NDArray[np.int64], cell: Cell, largest: float, max_order: int) -> list[Cell]:
    """Cells within `cell` for a sorted index."""
    low, high = np.searchsorted(index, cell.range29())
    if low == high:
        return []
    if high - low <= largest or cell.order >= max_order:
        return [cell]
    children = [Cell(cell.order + 1, 4 * cell.pixel + k) for k in range(4)]
    return [part for child in children for part in _split(index[low:high], child, largest, max_order)]
