"""What would be rebuilt and why, before it is: plans that are noted nowhere, held against what is current."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stellar.engine.context import Context, read_manifest
from stellar.engine.plan import Plan, draft
from stellar.engine.reasons import Reasons, plan_reasons
from stellar.engine.staging import read_staged
from stellar.engine.step import Partition, Step
from stellar.errors import InputError, IntegrityError, StellarError
from stellar.flow.steps import STAGES, stage_steps
from stellar.lake.names import OWN, full_name
from stellar.ledger import snapshots
from stellar.sky.healpix import Cell, overlapping

#: Partitions that a text names of each dataset.
SHOWN = 20


@dataclass
class Pending:
    """Partitions of a dataset that are to be made anew, and those of it that go: where its readers will differ."""

    cells: list[Cell] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, names: Iterable[str]) -> Pending:
        names = set(names)
        return cls([Cell.parse(name) for name in names if name.startswith("Norder=")], names)


def dry_plan(ctx: Context, name: str | None = None) -> list[dict[str, Any]]:
    """What a run would rebuild on what is current now, and why; nothing is noted in the ledger or the lake.

    Parameters
    ----------
    name : str, optional
        A stage, or a dataset (a bare NAME means ``own.NAME``): then it and what it is made from. Every stage and every
        one of the users' own datasets when not given.

    Returns
    -------
    list of dict
        A dataset each, in the order in which they are made: ``stage, dataset, key`` (of the snapshot that would be),
        ``current`` (key or None), ``found`` (it is there already, in ``state``), ``partitions, carried, build``
        (counts), ``models``, ``every`` (changes that all partitions share), ``rebuilt`` (``partition, why`` of each
        that is built), ``removed`` (partitions that go), ``follows`` (partitions that may be rebuilt too, once what
        they read is: ``partition, after``), ``notes``, and ``error`` where no plan can be made.

    Raises
    ------
    InputError
        When there is no such stage or dataset.
    """
    pending: dict[str, Pending] = {}
    return [_plan_one(ctx, stage, step, pending) for stage, step in planned_steps(ctx, name)]


def dag_plan(ctx: Context, dag: str) -> list[dict[str, Any]]:
    """What the stages of one DAG would rebuild on what is current now; items as of `dry_plan`."""
    pending: dict[str, Pending] = {}
    stages = [stage for stage, owner in STAGES.items() if owner == dag]
    return [_plan_one(ctx, stage, step, pending) for stage in stages for step in stage_steps(ctx, stage)]


def own_dry_plan(ctx: Context, step: Step, on: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What making one of the users' own datasets would build; an item as of `dry_plan`."""
    return _plan_one(ctx, OWN, step, {}, on)


def planned_steps(ctx: Context, name: str | None = None) -> list[tuple[str, Step]]:
    """Stage and step of a stage, of a dataset and what it is made from, or of everything; sources come first."""
    if name in STAGES:
        return [(str(name), step) for step in stage_steps(ctx, str(name))]
    made = {step.dataset: (stage, step) for stage in STAGES for step in stage_steps(ctx, stage)}
    current = snapshots.current_keys(ctx.engine)
    if name is None:
        own = [dataset for dataset in current if dataset.startswith(f"{OWN}.")]
        return _closure(ctx, [*made, *own], made)
    dataset = full_name(name)
    if dataset not in made and dataset not in current:
        raise InputError(
            f"{name}: there is no such stage or dataset to plan; the stages are {', '.join(STAGES)}, the datasets "
            f"{', '.join(sorted({*made, *current})) or 'none yet'}"
        )
    steps = _closure(ctx, [dataset], made)
    if dataset not in {step.dataset for _, step in steps}:
        by = "a sync" if dataset.startswith("raw.") else f"step {snapshots.get(ctx.engine, current[dataset]).step}"
        raise InputError(f"{dataset} is made by {by}, which is not planned by itself; plan a dataset that reads it")
    return steps


def _closure(ctx: Context, datasets: Iterable[str], made: Mapping[str, tuple[str, Step]]) -> list[tuple[str, Step]]:
    """Steps of datasets and of all that they are made from, the latter first."""
    found: dict[str, tuple[str, Step]] = {}

    def add(dataset: str) -> None:
        if dataset in found:
            return
        one = made.get(dataset) or ((OWN, step) if (step := own_step(ctx, dataset)) else None)
        if one is None:
            return
        for source in one[1].inputs.values():
            if source.dataset != dataset and source.batches is None and source.folder is None:
                add(source.dataset)
        found[dataset] = one

    for dataset in datasets:
        add(dataset)
    return [*found.values()]


def own_step(ctx: Context, dataset: str) -> Step | None:
    """The step that made one of the users' own datasets, as its current snapshot's manifest tells; None of others."""
    row = snapshots.current(ctx.engine, dataset)
    manifest = read_manifest(ctx, row) if row is not None else None
    if manifest is None or not dataset.startswith(f"{OWN}."):
        return None
    params = manifest["params"]
    if manifest["step"] == "import":
        from stellar.catalog.tables import import_step

        return import_step(
            dataset,
            manifest["batches"],
            params["schema"],
            params["id"],
            params["ra"],
            params["dec"],
            manifest["margin_arcsec"],
        )
    from stellar.catalog.pairs import NAME
    from stellar.flow.matching import SIDES, step_of

    if manifest["step"] != NAME:
        return None
    sides = {
        who: {name: manifest["inputs"][who][name] for name in ("dataset", "folder", "margin_arcsec")} for who in SIDES
    }
    return step_of({"dataset": dataset, "pairing": params, "margin_arcsec": manifest["margin_arcsec"], **sides})


def _as_of_today(ctx: Context, step: Step) -> tuple[Step, dict[str, str] | None]:
    """The step as a run would make it: a cross-match reads as far as its rows move today; and on which snapshots."""
    from stellar.catalog.pairs import NAME
    from stellar.flow.matching import SIDES, renewed, step_of

    if step.name != NAME:
        return step, None
    sides = {
        who: {name: getattr(step.inputs[who], name) for name in ("dataset", "folder", "margin_arcsec")} for who in SIDES
    }
    made = {"dataset": step.dataset, "pairing": step.params, "margin_arcsec": step.margin_arcsec, **sides}
    asked = renewed(ctx, made)
    return step_of(asked), asked["snapshots"]


def _plan_one(
    ctx: Context, stage: str, step: Step, pending: dict[str, Pending], on: Mapping[str, str] | None = None
) -> dict[str, Any]:
    item: dict[str, Any] = {"stage": stage, "dataset": step.dataset, "models": dict(step.models), "batch": None}
    try:
        if on is None:
            step, on = _as_of_today(ctx, step)
        plan = draft(ctx, step, on)
        reasons = plan_reasons(ctx, step, plan)
        notes = _touched_files(ctx, step)
    except StellarError as error:
        said = str(error)
        if isinstance(error, IntegrityError) and any(one.batches for one in step.inputs.values()):
            said = f"what was read from its files is not kept here; import them again to see what changed ({error})"
        return {**item, "error": said, "found": False}
    follows = _follows(ctx, step, plan, reasons, pending)
    pending[step.dataset] = Pending.of([*reasons.partitions, *reasons.removed, *follows])
    return {
        **item,
        "key": plan.key,
        "current": reasons.current,
        "found": plan.found,
        "state": reasons.state,
        "partitions": len(plan.partitions),
        "carried": sum(one.carried for one in plan.partitions),
        "build": len(reasons.partitions),
        "every": [one.to_dict() for one in reasons.every],
        "rebuilt": [
            {"partition": name, "why": [one.to_dict() for one in why]} for name, why in reasons.partitions.items()
        ],
        "removed": reasons.removed,
        "follows": [{"partition": name, "after": datasets} for name, datasets in follows.items()],
        "notes": notes,
    }


def _follows(
    ctx: Context, step: Step, plan: Plan, reasons: Reasons, pending: Mapping[str, Pending]
) -> dict[str, list[str]]:
    """Partitions that are as they should be now, but read what is to be made anew first: name -> datasets."""
    sources = {role: pending[one.dataset] for role, one in step.inputs.items() if one.dataset in pending}
    sources = {role: one for role, one in sources.items() if one.names}
    if not sources:
        return {}
    reads = {one.partition.name: one.reads for one in plan.partitions}
    if plan.found:
        manifest = read_manifest(ctx, snapshots.get(ctx.engine, plan.key))
        reads = {one["name"]: one.get("reads") or {} for one in (manifest or {"partitions": []})["partitions"]}
    found = {}
    for name in (one.partition.name for one in plan.partitions):
        if name in reasons.partitions:
            continue
        after = {
            step.inputs[role].dataset
            for role, one in sources.items()
            if reads_some(name, reads.get(name, {}).get(role, {}), one, step.inputs[role].margin_arcsec)
        }
        if after:
            found[name] = sorted(after)
    return found


def reads_some(name: str, reads: Mapping[str, str], pending: Pending, margin_arcsec: float) -> bool:
    """Whether a partition reads some of those that are to be made anew, by its cell or by what it read before."""
    cell = Partition(name).cell
    if cell is not None and pending.cells:
        return bool(overlapping(pending.cells, cell, margin_arcsec))
    return any(one.rpartition("margin/")[2] in pending.names for one in reads)


def _touched_files(ctx: Context, step: Step) -> list[str]:
    """Files that a table was imported from and that were changed or removed since."""
    notes = []
    for one in step.inputs.values():
        for batch_id in one.batches or ():
            staged = read_staged(ctx.settings.workspace, one.dataset, batch_id)
            source = Path(staged.source)
            kept = (ctx.settings.workspace / staged.parts[0]).stat().st_mtime
            if not source.exists():
                notes.append(f"{source} is not there any more; what was read from it stays until you import again")
            elif source.stat().st_size != staged.source_bytes or source.stat().st_mtime > kept:
                notes.append(f"{source} was changed since it was read; `stellar import` reads it again")
    return notes


def summary(item: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Why partitions are built, in short: what each reads that changed, and of how many partitions that is so."""
    counts: Counter[str] = Counter()
    for one in item["rebuilt"]:
        for said in dict.fromkeys(_in_short(why) for why in one["why"]):
            counts[said] += 1
    return counts.most_common()


def _in_short(why: Mapping[str, Any]) -> str:
    if why["kind"] in ("input", "margin"):
        return f"{why['dataset']}: {'a margin' if why['kind'] == 'margin' else 'a partition'} that they read changed"
    return why["what"].partition(":")[0] if why["kind"] == "cell" else why["what"]


def told(item: Mapping[str, Any]) -> list[str]:
    """The lines on one dataset."""
    head = f"{item['stage']:10} {item['dataset']:32} "
    if "error" in item:
        return [f"{head}cannot be planned yet: {item['error']}"]
    if item["found"]:
        state = "up to date" if item["key"] == item["current"] else f"made already ({item['state']})"
        lines = [f"{head}{state}: {item['partitions']} partitions"]
    else:
        lines = [f"{head}{item['build']} of {item['partitions']} partitions to build, {item['carried']} carried over"]
    lines += [f"  every partition: {one['what']}" for one in item["every"]]
    lines += _partitions(item)
    if item["removed"]:
        lines.append(f"  {len(item['removed'])} partitions go: {_some(item['removed'], 4)}")
    if item["follows"]:
        after = sorted({dataset for one in item["follows"] for dataset in one["after"]})
        lines.append(f"  {len(item['follows'])} more may be rebuilt once {', '.join(after)} is")
    return [*lines, *(f"  {note}" for note in item["notes"])]


def _partitions(item: Mapping[str, Any]) -> list[str]:
    # what holds for every partition is said above
    rebuilt = [one for one in item["rebuilt"] if one["why"] and one["why"] != item["every"]]
    lines = [f"  {one['partition']}: {_some([why['what'] for why in one['why']], 4, '; ')}" for one in rebuilt[:SHOWN]]
    if len(rebuilt) > SHOWN:
        lines.append(f"  and {len(rebuilt) - SHOWN} more; --json names them. In all:")
        lines += [f"    {count} partitions: {what}" for what, count in summary(item)]
    return lines


def _some(names: list[str], count: int, between: str = ", ") -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return between.join(names[:count]) + more
