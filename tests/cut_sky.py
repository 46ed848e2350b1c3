"""Cutting tables into HEALPix cells with margins, as the engine does for a step."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa

from stellar.engine.step import Input, Partition, PartitionInput
from stellar.sky.healpix import Cell, cells_at, margin_mask, spatial_index


def cells(tables: Mapping[str, pa.Table], order: int) -> list[Cell]:
    """All cells of an order that hold rows of any table."""
    found = {Cell(order, int(p)) for t in tables.values() if len(t) for p in set(_pixels(t, order))}
    return sorted(found)


def _pixels(table: pa.Table, order: int) -> list[int]:
    index = spatial_index(table["ra"].to_numpy(), table["dec"].to_numpy())
    return cells_at(index, order).tolist()


def inputs_of(cell: Cell, wanted: Mapping[str, Input], tables: Mapping[str, pa.Table]) -> dict[str, PartitionInput]:
    """What a step gets for a cell: each role's rows in it, and those of its margin."""
    given = {}
    for role, one in wanted.items():
        table = tables[role]
        if not len(table):
            given[role] = PartitionInput(table, table)
            continue
        ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
        inside = cell.contains(spatial_index(ra, dec))
        near = margin_mask(ra, dec, cell, one.margin_arcsec)
        given[role] = PartitionInput(table.filter(pa.array(inside)), table.filter(pa.array(near)))
    return given


def partitions(
    order: int, wanted: Mapping[str, Input], tables: Mapping[str, pa.Table]
) -> Iterator[tuple[Partition, dict[str, PartitionInput]]]:
    """Every partition of a step's output at an order, with its inputs."""
    for cell in cells(tables, order):
        yield Partition.of_cell(cell), inputs_of(cell, wanted, tables)


def whole(wanted: Mapping[str, Input], tables: Mapping[str, pa.Table]) -> dict[str, PartitionInput]:
    """All rows as one partition."""
    return {role: PartitionInput(tables[role], tables[role].slice(0, 0)) for role in wanted}


def mixed_cells(index29: Iterable[int], seed: int, largest_order: int = 11) -> list[Cell]:
    """Disjoint cells of mixed orders that hold all indices, each with at least one: split where a coin says so."""
    random = np.random.default_rng(seed)
    found, waiting = [], [(Cell(0, pixel), np.asarray(index29, np.int64)) for pixel in range(12)]
    while waiting:
        cell, index = waiting.pop()
        index = index[cell.contains(index)]
        if not len(index):
            continue
        if cell.order >= largest_order or random.random() < 0.15:
            found.append(cell)
        else:
            waiting += [(Cell(cell.order + 1, 4 * cell.pixel + part), index) for part in range(4)]
    return sorted(found, key=Cell.range29)
