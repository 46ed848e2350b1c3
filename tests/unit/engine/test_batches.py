"""Partitions are dealt out in order, evenly, and those that share a partition of an input together."""

import numpy as np
import pytest

from stellar.engine import batches
from stellar.engine.batches import deal
from stellar.engine.plan import PartitionPlan
from stellar.engine.step import Partition
from stellar.sky.healpix import Cell

MB = 1 << 20


class Sizes:
    """Weighs partitions as a reader does: by the name alone."""

    def __init__(self, left=4 * MB, right=32 * MB):
        self.bytes = {"left": left, "right": right}

    def weight(self, role, name, partition):
        return float(self.bytes[role])


def planned(order=4, count=64, right_order=2, carried=()):
    """Cells of one input in larger cells of another."""
    found = []
    for pixel in range(count):
        cell = Cell(order, pixel)
        reads = {"left": {str(cell): "0"}, "right": {str(cell.parent(right_order)): "1"}}
        found.append(PartitionPlan(Partition.of_cell(cell), f"{pixel}", pixel in carried, reads))
    return found


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("carried", [(), range(5, 40), range(64)])
def test_everything_that_is_not_carried_is_in_one_batch_in_order(workers, carried):
    found = deal(workers, Sizes(), planned(carried=carried))
    assert [number for batch in found for number in batch] == [n for n in range(64) if n not in carried]
    assert all(found)


def test_what_shares_a_partition_stays_together():
    found = deal(2, Sizes(), planned())
    assert len(found) >= 2 and len(found) % 2 == 0
    for batch in found:
        assert {number // 16 for number in batch}.isdisjoint(
            {number // 16 for other in found if other is not batch for number in other}
        )


def test_what_shares_a_huge_partition_is_parted_all_the_same():
    found = deal(2, Sizes(), planned(count=64, right_order=0))
    assert len(found) >= 4
    sizes = [len(batch) for batch in found]
    assert max(sizes) <= 2 * min(sizes[:-1])


def test_without_larger_partitions_batches_are_even():
    found = deal(3, Sizes(), planned(order=2, count=48, right_order=2))
    assert np.ptp([len(batch) for batch in found]) <= 1 and len(found) % 3 == 0


def test_little_work_is_one_batch():
    assert len(deal(8, Sizes(10_000, 10_000), planned())) == 1
    assert deal(8, Sizes(), []) == []
    assert batches._BATCH_BYTES < batches._LARGEST_BATCH_BYTES
