"""Why a plan builds what it builds: the plan held against the snapshot that is current now.

What decides every partition (the step, its parameters, models, columns, margins, layout, writer) is compared once;
what each partition reads is compared by the hashes that the current snapshot's manifest keeps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stellar.engine.context import Context, read_manifest
from stellar.engine.outside import MARGIN
from stellar.engine.plan import Plan, identity
from stellar.engine.step import Partition, Step
from stellar.ledger import snapshots
from stellar.sky.healpix import Cell

#: What `identity` calls it, and what people do.
_NAMES = {
    "engine": "the engine's version",
    "step": "the step",
    "version": "the step's version",
    "layout": "how rows are laid out in cells",
    "id_column": "the id columns",
    "position": "the position's columns",
    "margin_arcsec": "the width of the margins",
    "quarantine": "the quarantine dataset",
    "writer": "the writer's settings or pyarrow's version",
}


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was: of which kind, in which input and partition of it, and how it reads.

    Kinds: ``first``, ``step``, ``parameter``, ``model``, ``reads`` (columns or margin of an input), ``input``,
    ``margin``, ``cell``, ``file``, ``other``.
    """

    kind: str
    what: str
    dataset: str | None = None
    partition: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass
class Reasons:
    """Why a plan builds: `every` holds for all partitions, `partitions` by name for those that are built.

    `removed` are partitions of the current snapshot that the new one does not have; `state` is that of the planned
    snapshot where it is found.
    """

    current: str | None = None
    state: str | None = None
    every: list[Change] = field(default_factory=list)
    partitions: dict[str, list[Change]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)


def plan_reasons(ctx: Context, step: Step, plan: Plan) -> Reasons:
    """Compare a plan, from `plan` or `draft`, with the current snapshot of its dataset."""
    row = snapshots.current(ctx.engine, step.dataset)
    if plan.found:
        return Reasons(row.key if row else None, snapshots.get(ctx.engine, plan.key).state)
    manifest = read_manifest(ctx, row) if row is not None else None
    if row is None or manifest is None:
        what = "nothing is current yet" if row is None else "the current snapshot's manifest is missing"
        first = Change("first", what)
        built = {one.partition.name: [first] for one in plan.partitions if not one.carried}
        return Reasons(row.key if row else None, None, [first], built)
    return compare(step, plan, manifest)


def compare(step: Step, plan: Plan, manifest: Mapping[str, Any]) -> Reasons:
    """Compare a plan with the manifest of an earlier snapshot of its dataset."""
    every = list(_general(step, plan, manifest))
    before = {one["name"]: one for one in manifest["partitions"]}
    built = {}
    for one in plan.partitions:
        if one.carried:
            continue
        name = one.partition.name
        old = before.get(name)
        if old is None:
            own = [Change("cell", _new_place(one.partition, before))]
        elif old["key"] == one.key:
            own = [Change("file", "its file is missing or damaged")]
        else:  # manifests of older programs do not tell what was read
            own = list(_reads(plan, one.reads, old["reads"])) if old.get("reads") is not None else []
        built[name] = own or ([] if every else [Change("other", "how its inputs are read has changed")])
    names = {one.partition.name for one in plan.partitions}
    return Reasons(manifest["key"], None, every, built, sorted(set(before) - names))


def _general(step: Step, plan: Plan, manifest: Mapping[str, Any]) -> Iterable[Change]:
    was, now = manifest.get("identity"), json.loads(json.dumps(identity(step)))
    if was is None:
        yield Change("step", "the current snapshot was made by an older version of the platform")
        return
    for name, said in _NAMES.items():
        if was.get(name) != now[name]:
            shown = name not in ("layout", "writer")
            yield Change("step", f"{said}: {_short(was.get(name))} -> {_short(now[name])}" if shown else said)
    for name in sorted({*was["params"], *now["params"]}):
        if (a := was["params"].get(name)) != (b := now["params"].get(name)):
            yield Change("parameter", f"parameter {name}: {_short(a)} -> {_short(b)}")
    for role in sorted({*was["models"], *now["models"]}):
        if (a := was["models"].get(role)) != (b := now["models"].get(role)):
            yield Change("model", f"model {role}: version {str(a)[:16]} -> {str(b)[:16]}")
    for role in sorted({*was["reads"], *now["reads"]}):
        yield from _input_changes(role, was["reads"].get(role), now["reads"].get(role))


def _input_changes(role: str, was: list[Any] | None, now: list[Any] | None) -> Iterable[Change]:
    if was == now:
        return
    if was is None or now is None:
        dataset = (now or was or [role])[0]
        yield Change("reads", f"{dataset} is {'read too' if was is None else 'not read any more'}", dataset)
        return
    for what, a, b in zip(("input", "margin read", "columns read"), was, now, strict=True):
        if a != b:
            yield Change("reads", f"{now[0]}: {what}: {_short(a)} -> {_short(b)}", now[0])


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _new_place(place: Partition, before: Mapping[str, Any]) -> str:
    if place.cell is None:
        return "the number of buckets changed" if place.bucket is not None else "it was not there"
    cells = [Cell.parse(name) for name in before if name.startswith("Norder=")]
    low, high = place.cell.range29()
    around = [one for one in cells if one.range29()[0] < high and low < one.range29()[1]]
    if not around:
        return "new cell: there were no rows"
    if around[0].order < place.cell.order:
        return f"new cell: {around[0]} was split"
    return f"new cell: {len(around)} cells were merged ({', '.join(map(str, around[:4]))})"


def _reads(plan: Plan, now: Mapping[str, Mapping[str, str]], was: Mapping[str, Mapping[str, str]]) -> Iterable[Change]:
    """What a partition reads that is not what it read."""
    for role, reads in now.items():
        before, dataset = was.get(role, {}), plan.inputs[role].dataset
        for name in sorted({*reads, *before}):
            if (a := before.get(name)) == (b := reads.get(name)):
                continue
            kind = "margin" if name.startswith(MARGIN) else "input"
            part = name.removeprefix(MARGIN)
            said = "is new" if a is None else "is gone" if b is None else "changed"
            shown = f"the margin of {part}" if kind == "margin" else part if "=" in part else part[:16]
            yield Change(kind, f"{dataset}: {shown} {said}", dataset, part)
