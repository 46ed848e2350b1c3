"""Doing something once more: units of a survey fetched again, partitions built again and held against what is there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.flow.sync import dealt, survey_of
from stellar.ledger import batches


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
