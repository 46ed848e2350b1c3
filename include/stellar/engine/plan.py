"""Planning: which snapshot a step would make, which partitions it has, and which of them are already there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stellar.engine.context import Context
from stellar.engine.step import Partition, Step


@dataclass(frozen=True)
class PartitionPlan:
    """One partition of the snapshot to be. `carried`: a file of this key is linked from an earlier snapshot."""

    partition: Partition
    key: str
    carried: bool


@dataclass(frozen=True)
class Plan:
    """What is to be done for one snapshot; `found` means nothing: a committed snapshot of this key exists."""

    key: str
    dataset: str
    found: bool
    partitions: list[PartitionPlan]
    batches: list[list[int]]


def plan(ctx: Context, step: Step, snapshots: Mapping[str, str] | None = None) -> Plan:
    """Plan a step on the current snapshots of its inputs, or on `snapshots` (dataset -> key) where given."""
    raise NotImplementedError


def load_plan(ctx: Context, key: str) -> Plan:
    """The plan that another process made, from the staging folder."""
    raise NotImplementedError
