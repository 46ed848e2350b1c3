"""Which partitions are built together: batches for threads, processes and workers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from stellar.engine.inputs import Reader

if TYPE_CHECKING:
    from stellar.engine.plan import PartitionPlan

_BATCH_BYTES = 4 << 20  # less work than this is not worth a task of its own
_LARGEST_BATCH_BYTES = 128 << 20


def deal(workers: int, reader: Reader, partitions: Sequence[PartitionPlan]) -> list[list[int]]:
    """Deal what is to be built out to as few batches as keep the cores busy: lists of places in `partitions`.

    A batch gets partitions that follow one another on the sky, of about equal bytes. Those that lie in one partition of
    an input stay together where they can, so that it is read once.
    """
    units = [
        list(unit)
        for _, unit in groupby(
            (n for n, one in enumerate(partitions) if not one.carried), lambda n: _within(partitions[n])
        )
    ]
    sizes = [_weights(reader, [partitions[number] for number in unit]) for unit in units]
    total, most = sum(map(sum, sizes)), sum(map(len, units))
    if not units:
        return []
    count = min(workers, 1 + int(total // _BATCH_BYTES))
    if total > count * _LARGEST_BATCH_BYTES:
        count = int(np.ceil(total / _LARGEST_BATCH_BYTES / workers)) * workers  # as many for each
    count = min(most, count)
    share, taken = total / count, 0.0
    batches: list[list[int]] = [[] for _ in range(count)]
    for unit, weights in zip(units, sizes, strict=True):
        together = sum(weights) <= share
        for number, size in zip(unit, weights, strict=True):
            # the batch in whose share the middle of this unit, or of this partition of a larger one, falls
            middle = taken + (sum(weights) if together else size) / 2
            batches[min(count - 1, int(middle / share)) if share else 0].append(number)
            taken += 0.0 if together else size
        taken += sum(weights) if together else 0.0
    return [batch for batch in batches if batch]


def _within(one: PartitionPlan) -> tuple[tuple[str, str], ...]:
    """Role and name of the larger partitions of inputs that a partition lies in; of one in none, its own name."""
    cell = one.partition.cell
    if cell is None:
        return (("", one.partition.name),)
    parents = [str(cell.parent(order)) for order in range(cell.order)]
    found = tuple((role, name) for role, names in one.reads.items() for name in parents if name in names)
    return found or (("", one.partition.name),)


def _weights(reader: Reader, unit: list[PartitionPlan]) -> list[float]:
    """Bytes that each partition reads; what all of them lie in counts for the first."""
    shared = set(_within(unit[0]))
    return [
        sum(
            reader.weight(role, name, one.partition)
            for role, names in one.reads.items()
            for name in names
            if one is unit[0] or (role, name) not in shared
        )
        for one in unit
    ]
