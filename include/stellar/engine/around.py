"""The rows of a catalogue in any cell of the sky and around it, for cells that follow one another on the sky."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stellar.engine.memory import Recent
from stellar.engine.outside import MARGIN
from stellar.lake.margins import edge_mask
from stellar.lake.read import Catalog
from stellar.sky.healpix import INDEX_COLUMN, Cell, in_margin, margin_ranges

# Partitions, their margins and their edges that are kept in memory: cells that follow one another read the same ones.
_PARTITIONS, _MARGINS, _EDGES = 1, 32, 64


class Around:
    """Reads a catalogue cell by cell.

    What lies around a cell is in the margins that are kept with the catalogue's own cells there. It is read from the
    neighbours' partitions where no margins are kept, or where the catalogue has no rows in a part of the cell (what
    lies beyond that part is in no margin).

    Parameters
    ----------
    catalog : Catalog
    margin_arcsec : float
        How far beyond a cell rows are wanted too.
    columns : sequence of str or None
        All when None; those that the catalogue lacks are left out.
    kept : bool
        Whether the margins that are kept with the catalogue are to be read; they must be wide enough.
    ours : bool
        Whether they were made by this package: which of several margins a row is in can be told then.
    """

    def __init__(
        self,
        catalog: Catalog,
        margin_arcsec: float,
        columns: Sequence[str] | None = None,
        *,
        kept: bool = False,
        ours: bool = True,
    ) -> None:
        self.catalog, self.margin_arcsec, self.kept, self.ours = catalog, margin_arcsec, kept, ours
        self.empty = catalog.empty(columns)
        self._wanted = list(dict.fromkeys([INDEX_COLUMN, *self.empty.column_names]))
        self._partitions: Recent[pa.Table] = Recent(_PARTITIONS)
        self._margins: Recent[pa.Table] = Recent(_MARGINS)
        self._edges: Recent[pa.Table] = Recent(_EDGES)

    @cached_property
    def _bounds(self) -> NDArray[np.int64]:
        return np.array([cell.range29() for cell in self.catalog.cells], np.int64).reshape(-1, 2)

    def own(self, cell: Cell) -> list[Cell]:
        """The catalogue's cells that share sky with a cell, in their order on the sky."""
        return self._within(np.array([cell.range29()], np.int64))

    def _within(self, ranges: NDArray[np.int64]) -> list[Cell]:
        first = np.searchsorted(self._bounds[:, 1], ranges[:, 0], side="right")
        beyond = np.searchsorted(self._bounds[:, 0], ranges[:, 1], side="left")
        pairs = {(int(a), int(b)) for a, b in zip(first, beyond, strict=True) if a < b}
        return [self.catalog.cells[i] for i in sorted({i for a, b in pairs for i in range(a, b)})]

    def _near(self, cell: Cell) -> list[Cell]:
        """The catalogue's cells that share sky with a cell's margin but not with the cell itself."""
        own = set(self.own(cell))
        return [one for one in self._within(margin_ranges(cell, self.margin_arcsec)) if one not in own]

    def _by_margins(self, own: Sequence[Cell], cell: Cell) -> bool:
        """Whether all around a cell is in the margins of the catalogue's cells there."""
        if not self.kept or (len(own) > 1 and not self.ours):
            return False
        return any(one.order <= cell.order for one in own) or sum(4.0**-one.order for one in own) == 4.0**-cell.order

    def names(self, cell: Cell) -> list[str]:
        """What `read` reads for a cell: partitions by their cell, margins by ``margin/`` and the cell."""
        own = self.own(cell)
        if self.margin_arcsec <= 0:
            return [str(one) for one in own]
        if self._by_margins(own, cell):
            return [*map(str, own), *(f"{MARGIN}{one}" for one in own)]
        return [str(one) for one in sorted([*own, *self._near(cell)], key=Cell.range29)]

    def read(self, cell: Cell) -> tuple[pa.Table, pa.Table]:
        """Rows in a cell, and rows around it within the margin (and some that are farther); none of them twice.

        Rows in the cell are in the order of `_healpix_29`.
        """
        own = self.own(cell)
        rows = [_between(self._partition(one), cell) for one in own]
        margin = []
        if self.margin_arcsec > 0:
            coarser = [one for one in own if one.order < cell.order]
            margin += [self._beyond(self._partition(one), cell) for one in coarser]
            margin += self._from_margins(own, cell) if self._by_margins(own, cell) else self._from_edges(cell)
        return self._together(rows), self._together(margin)

    def _from_margins(self, own: Sequence[Cell], cell: Cell) -> list[pa.Table]:
        """A row beyond a cell is in the margin of each own cell that it is near to: it is taken from the first."""
        found = []
        for number, one in enumerate(own):
            table = self._margin(one)
            index = table[INDEX_COLUMN].to_numpy()
            wanted = in_margin(index, cell, self.margin_arcsec)
            for other in own[:number]:
                wanted &= ~in_margin(index, other, self.catalog.margin_arcsec or 0.0)
            found.append(table.filter(pa.array(wanted)))
        return found

    def _from_edges(self, cell: Cell) -> list[pa.Table]:
        return [self._beyond(self._edge(one), cell) for one in self._near(cell)]

    def _beyond(self, table: pa.Table, cell: Cell) -> pa.Table:
        """Rows of a table in order that lie in a cell's margin."""
        index = table[INDEX_COLUMN].to_numpy()
        ranges = margin_ranges(cell, self.margin_arcsec)
        first, beyond = (np.searchsorted(index, ranges[:, side]) for side in (0, 1))
        # the rows in all ranges: each range's first, then as many more as it has
        counts = beyond - first
        rows = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        return table.take(pa.array(rows[in_margin(index[rows], cell, self.margin_arcsec)]))

    def _together(self, parts: list[pa.Table]) -> pa.Table:
        parts = [part.select(self.empty.column_names) for part in parts if part.num_rows]
        if len(parts) == 1:
            return parts[0]
        return pa.concat_tables([self.empty, *parts])

    def _partition(self, cell: Cell) -> pa.Table:
        return self._partitions.get(cell, lambda: _in_order(self.catalog.read(cell, self._wanted)))

    def _margin(self, cell: Cell) -> pa.Table:
        return self._margins.get(cell, lambda: self.catalog.read_margin(cell, self._wanted))

    def _edge(self, cell: Cell) -> pa.Table:
        return self._edges.get(cell, lambda: self._read_edge(cell))

    def _read_edge(self, cell: Cell) -> pa.Table:
        table = self.catalog.read(cell, self._wanted)
        # taken, not sliced: what is kept must not keep the whole partition in memory
        return _in_order(table.filter(pa.array(edge_mask(table[INDEX_COLUMN].to_numpy(), cell, self.margin_arcsec))))


def _in_order(table: pa.Table) -> pa.Table:
    """The table in one chunk and in the order of `_healpix_29`, which others do not always keep."""
    table = table.combine_chunks()
    index = table[INDEX_COLUMN].to_numpy()
    if (index[1:] >= index[:-1]).all():
        return table
    return table.take(pa.array(np.argsort(index, kind="stable"))).combine_chunks()


def _between(table: pa.Table, cell: Cell) -> pa.Table:
    """Rows of a cell, from a table in order."""
    low, high = np.searchsorted(table[INDEX_COLUMN].to_numpy(), cell.range29())
    return table if high - low == len(table) else table.slice(low, high - low)
