"""Doing something once more: units of a survey fetched again, partitions built again and held against what is there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from stellar.engine import engine
from stellar.engine.context import Context
from stellar.engine.step import Step
from stellar.errors import InputError
from stellar.flow.plans import own_step
from stellar.flow.steps import STAGES, stage_steps
from stellar.flow.sync import dealt, survey_of
from stellar.lake.names import full_name
from stellar.ledger import batches
from stellar.ledger.partitions import partitions_of
from stellar.sky.healpix import Cell, overlapping


def sync_again(ctx: Context, survey: str, units: Sequence[str], *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Open units that were fetched before, so that `sync_fetch` asks for them again, past the cache of answers.

    They are asked for as they were: same query, same release. The same content is the same batch and changes nothing;
    other content supersedes the unit's batch. (Where the survey itself says that a unit changed, any sync fetches it.)

    Parameters
    ----------
    units
        Names as `batches.known_units` has them; a name that several of the survey's datasets know means each of them.
    dry_run
        Only name them; nothing is recorded.

    Returns
    -------
    list of dict
        Batches as `sync_plan` gives them.

    Raises
    ------
    InputError
        When a unit was never fetched; names it and what comes near.
    """
    survey_of(ctx, survey)
    known = batches.known_units(ctx.engine, survey)
    names = {one["unit"] for one in known}
    if unknown := [unit for unit in dict.fromkeys(units) if unit not in names]:
        near = difflib.get_close_matches(unknown[0], names, n=3)
        raise InputError(
            f"{survey}: no unit {', '.join(map(repr, unknown))} was ever fetched"
            + (f"; near to it: {', '.join(near)}" if near else "")
            + f"; `stellar sync {survey} --list-units` lists all {len(names)}"
        )
    wanted = [one for one in known if one["unit"] in {*units}]
    if not dry_run:
        batches.reopen(ctx.engine, wanted)
    found = [(one["dataset"].removeprefix("raw."), one["unit"], one["expected_rows"]) for one in wanted]
    return [{**batch, "again": True} for batch in dealt(ctx, survey, found)]


def rebuild_text(found: Sequence[Mapping[str, Any]], dataset: str) -> str:
    """What a rebuild found, for people."""
    wrong = [one for one in found if not one["same"]]
    head = f"{dataset}: {len(found)} partitions built again, {len(found) - len(wrong)} came out the same."
    lines = [f"- {one['partition']}: stored {_short(one['stored'])}, built {_short(one['made'])}" for one in wrong]
    return "\n".join([head, *lines])


def _short(hashes: Sequence[str | None]) -> str:
    return " + ".join(one[:16] for one in hashes if one) or "no rows"


def rebuild(
    ctx: Context,
    dataset: str,
    cells: Sequence[str] = (),
    *,
    dry_run: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Build partitions of a current snapshot from scratch and hold them against what is stored; nothing is changed.

    Parameters
    ----------
    dataset
        Full name, or NAME of ``own.NAME``.
    cells
        ``ORDER/PIXEL`` of cells that the partitions share sky with, or names of partitions; all when empty.
    dry_run
        Only name the partitions.

    Returns
    -------
    list of dict
        ``partition, rows, stored, made, same``; of a dry run, ``partition`` alone.

    Raises
    ------
    InputError
        When there is no such dataset or partition, when a sync made it, or when it is out of date.
    """
    from stellar.engine.recheck import rebuild_partitions
    from stellar.ledger import snapshots

    name = full_name(dataset)
    row = snapshots.current(ctx.engine, name)
    if row is None:
        raise InputError(f"{name}: no such dataset with a current snapshot; see `stellar datasets`")
    pinned = engine.plan_inputs(ctx, row.key)
    wanted = _partitions(name, [one["name"] for one in partitions_of(ctx.engine, row.key)], cells)
    step = _step_of(ctx, name, pinned)
    if dry_run:
        return [{"partition": one} for one in wanted]
    made = rebuild_partitions(ctx, step, row.key, pinned, set(wanted), progress)
    return [{**asdict(one), "same": one.same} for one in made]


def _step_of(ctx: Context, dataset: str, pinned: Mapping[str, str]) -> Step:
    """The step that makes a dataset today."""
    if dataset.startswith("raw."):
        raise InputError(f"{dataset} comes from a survey: fetch its units again, `stellar sync SURVEY --unit UNIT`")
    found = next((one for stage in STAGES for one in stage_steps(ctx, stage, pinned) if one.dataset == dataset), None)
    found = found or own_step(ctx, dataset)
    if found is None:
        raise InputError(f"{dataset} is not made by itself (a quarantine, or by nothing of this profile)")
    return found


def _partitions(dataset: str, names: Sequence[str], cells: Sequence[str]) -> list[str]:
    """Names of the partitions that were asked for."""
    if not cells:
        return list(names)
    on_sky = [Cell.parse(name) for name in names if name.startswith("Norder=")]
    wanted: set[str] = set()
    for text in cells:
        order, slash, pixel = text.partition("/")
        hits = [text] if text in names else []
        if slash and order.isdecimal() and pixel.isdecimal() and int(order) <= 29 and int(pixel) < 12 * 4 ** int(order):
            hits = [str(one) for one in overlapping(on_sky, Cell(int(order), int(pixel)))]
        if not hits:
            shown = ", ".join(sorted(names)[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            raise InputError(f"{dataset}: no partition at {text!r}; give ORDER/PIXEL of a cell, or one of {shown}")
        wanted.update(hits)
    return [name for name in names if name in wanted]
