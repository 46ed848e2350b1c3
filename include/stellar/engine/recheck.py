"""Building partitions of a committed snapshot once more, aside, and holding them against what is stored.

A snapshot is a pure function of what went in: the same step on the same inputs has to give the same bytes. Where it
does not, the step is no function (time, threads, an unseeded number), or the library or machine below it differs.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from stellar.engine.build import build_one
from stellar.engine.context import Context
from stellar.engine.inputs import InputPlan, Reader, resolve_inputs
from stellar.engine.plan import companion_key, key_of, plan_afresh, staging
from stellar.engine.step import Step
from stellar.errors import InputError
from stellar.ledger.partitions import partitions_of

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Rebuilt:
    """One partition built anew: its rows, and the hashes of its file and of what it quarantined (None: nothing)."""

    partition: str
    rows: int
    stored: tuple[str | None, str | None]
    made: tuple[str | None, str | None]

    @property
    def same(self) -> bool:
        """Whether it came out as it is stored."""
        return self.stored == self.made


def inputs_of(ctx: Context, step: Step, pinned: Mapping[str, str]) -> dict[str, InputPlan]:
    """A step's inputs as a snapshot had them: what it did not read was not there, whatever is current now."""
    there = {
        role: one
        for role, one in step.inputs.items()
        if one.dataset in pinned or one.batches is not None or one.folder is not None or not one.optional
    }
    found = resolve_inputs(ctx, replace(step, inputs=there), pinned)
    absent = {role: InputPlan(role, one.dataset, None, None, None, 0, "absent") for role, one in step.inputs.items()}
    return {role: found.get(role, absent[role]) for role in step.inputs}


def rebuild_partitions(
    ctx: Context,
    step: Step,
    key: str,
    pinned: Mapping[str, str],
    names: Collection[str] | None = None,
    progress: Progress | None = None,
) -> list[Rebuilt]:
    """Build partitions of a snapshot from scratch; nothing that is stored, and nothing in the ledger, is changed.

    Parameters
    ----------
    key, pinned
        The snapshot, and dataset -> key of what it was made from.
    names
        Partitions; all when None.
    progress
        Called as (partition, done, of how many).

    Raises
    ------
    InputError
        When the step as it is now would not make this snapshot: then it is stale, and no rebuild says anything.
    """
    inputs = inputs_of(ctx, step, pinned)
    if key_of(step, inputs) != key:
        raise InputError(
            f"{step.dataset}: the step, a model, a setting or the profile changed since {key[:16]} was made, so it "
            f"would not come out again; `stellar plan {step.dataset}` says what would be built now"
        )
    afresh = plan_afresh(ctx, step, key, inputs)
    stored, refused = (
        {one["name"]: one["sha256"] if one["file"] else None for one in partitions_of(ctx.engine, of)}
        for of in (key, companion_key(key))
    )
    wanted = [one for one in afresh.partitions if names is None or one.partition.name in names]
    aside = replace(afresh, key=f"again-{uuid.uuid4().hex}")
    reader = Reader(ctx.settings, step, inputs)
    found = []
    try:
        for done, one in enumerate(wanted, start=1):
            note = build_one(ctx.settings, step, aside, one, reader).note
            name, quarantine = one.partition.name, note["quarantine"]
            made = (note["sha256"] if note["rows"] else None, quarantine["sha256"] if quarantine else None)
            found.append(Rebuilt(name, note["rows"], (stored.get(name), refused.get(name)), made))
            if progress is not None:
                progress(name, done, len(wanted))
    finally:
        shutil.rmtree(staging(ctx.settings, aside.key), ignore_errors=True)
    return found
