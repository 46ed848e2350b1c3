"""Cross-match of two catalogues as a dataset: what `stellar crossmatch`, its DAG and a notebook call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stellar.catalog.pairing import How, Pairing
from stellar.catalog.pairs import NAME, pairs_step
from stellar.engine.context import Context
from stellar.engine.step import Input, Step
from stellar.errors import InputError
from stellar.flow.motions import largest_motion
from stellar.flow.sides import Source, open_source, side_of
from stellar.flow.tables import Clock, make
from stellar.lake.names import own_name
from stellar.ledger import snapshots

Progress = Callable[[str, int, int], None]
SIDES = ("left", "right")
#: Left cells may be this fine: the density of right rows is counted in pixels of this order.
FINEST_ORDER = 11


def crossmatch(
    ctx: Context,
    left: str | Path,
    right: str | Path,
    name: str,
    *,
    radius_arcsec: float,
    promote: bool = True,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Match two catalogues and keep the pairs as a dataset.

    By default each left row gets its nearest right row within the radius; left rows without one do not come out.

    Parameters
    ----------
    ctx : Context
    left, right : str or path
        Names of datasets of the lake (a bare NAME means ``own.NAME``), or HATS folders outside it (with a ``/``).
    name : str
        The dataset to make; without a layer it is ``own.<name>``.
    radius_arcsec : float
        Largest separation, inclusive.
    promote : bool
        Whether the snapshot becomes current once it has passed its gate.
    progress : callable, optional
        Called as (phase, done, of how many).
    **options
        As `request` takes them.

    Returns
    -------
    dict
        ``dataset, snapshot, rows, unmatched, partitions, built, carried, found, changed, left, right`` and ``seconds``
        by phase; ``unmatched`` are the left rows that did not come out, None where all do.

    Raises
    ------
    InputError
        When a side, column or option is not what it should be, or a match needs wider margins than a catalogue keeps.
    GateFailed
        When the snapshot did not pass its gate; it is kept as rejected.
    """
    from stellar.sky import native  # LLVM comes with it

    clock = Clock()
    with clock("open"):
        asked = request(ctx, left, right, name, radius_arcsec=radius_arcsec, **options)
        step = step_of(asked)
    native.load()  # now: where it has to be compiled first, the threads would wait for one of them
    made = make(ctx, step, on=asked["snapshots"], promote=promote, clock=clock, progress=progress)
    filtered = made.pop("filtered")
    unmatched = filtered if step.params["how"] == "inner" else None  # else they are among the rows
    made.pop("quarantined")
    return made | {"unmatched": unmatched, **{who: asked[who]["folder"] or asked[who]["dataset"] for who in SIDES}}


def request(
    ctx: Context,
    left: str | Path,
    right: str | Path,
    name: str,
    *,
    radius_arcsec: float,
    k: int = 1,
    how: How = "inner",
    mutual: bool = False,
    min_separation_arcsec: float = 0.0,
    id_left: str | None = None,
    id_right: str | None = None,
    columns_left: Sequence[str] | None = None,
    columns_right: Sequence[str] | None = None,
    epoch_left: str | float | None = None,
    epoch_right: str | float | None = None,
    pm_left: Sequence[str] | None = None,
    pm_right: Sequence[str] | None = None,
    sigma_left: str | float | None = None,
    sigma_right: str | float | None = None,
    margin_arcsec: float = 0.0,
) -> dict[str, Any]:
    """What a cross-match is to do, checked against both catalogues, as JSON that `step_of` takes.

    Parameters
    ----------
    k : int
        How many nearest right rows a left row gets at most.
    how : {"inner", "left", "outer"}
        Whether left rows (left), or rows of both sides (outer), come out without a partner too.
    mutual : bool
        Keep a pair only where the left row is the right row's nearest as well.
    min_separation_arcsec : float
        Rows nearer than this are no candidates.
    id_*, columns_*, epoch_*, pm_*, sigma_*
        As `stellar.flow.sides.side_of` takes them. Positions are moved only where both sides have an epoch.
    margin_arcsec : float
        Width of the margins that are kept with the result, for later matches of it.

    Raises
    ------
    InputError
        As for `crossmatch`.
    """
    dataset = own_name(name)
    if (epoch_left is None) != (epoch_right is None):
        raise InputError("positions are moved between two epochs: give --epoch-left and --epoch-right, or neither")
    sources = _open(ctx, [left, right])
    _check_name(ctx, dataset, sources)
    options = (
        (id_left, columns_left, epoch_left, pm_left, sigma_left),
        (id_right, columns_right, epoch_right, pm_right, sigma_right),
    )
    sides = [
        side_of(
            source,
            id_column=id_column,
            columns=columns,
            epoch=epoch,
            motion=motion,
            sigma=sigma,
            with_position=source.who == "left",
            both_have_epochs=epoch_left is not None,
        )
        for source, (id_column, columns, epoch, motion, sigma) in zip(sources, options, strict=True)
    ]
    pairing = Pairing(sides[0], sides[1], float(radius_arcsec), int(k), how, bool(mutual), float(min_separation_arcsec))
    asked = {"dataset": dataset, "pairing": pairing.to_params(), "margin_arcsec": float(margin_arcsec)}
    return asked | _inputs(sources, pairing)


def renewed(ctx: Context, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A request with the margins that it needs today: rows may move farther than when it was made.

    Parameters
    ----------
    ctx : Context
    asked : mapping
        As `request` gives it; what else it holds is kept.

    Returns
    -------
    dict
        The request; its ``snapshots`` are those that it holds for now, to be planned on.

    Raises
    ------
    InputError
        When a side is not there any more, or the match needs wider margins than a catalogue keeps.
    """
    sources = _open(ctx, [asked[who]["folder"] or asked[who]["dataset"] for who in SIDES])
    return {**asked, **_inputs(sources, Pairing.from_params(asked["pairing"]))}


def _open(ctx: Context, given: Sequence[str | Path]) -> list[Source]:
    """Both sides; a catalogue that is matched with itself is the same snapshot twice."""
    left, right = (open_source(ctx, who, one) for who, one in zip(SIDES, given, strict=True))
    same = (left.dataset, left.folder) == (right.dataset, right.folder)
    return [left, replace(left, who=right.who) if same else right]


def _inputs(sources: Sequence[Source], pairing: Pairing) -> dict[str, dict[str, Any]]:
    """How both sides are read, as a request says it, and the snapshots (dataset -> key) of which that holds."""
    finest = max(cell.order for cell in sources[0].catalog.cells)
    if finest > FINEST_ORDER:
        raise InputError(
            f"left: {sources[0].named} has partitions of order {finest}, finer than {FINEST_ORDER}; bring it into the "
            "lake with `stellar import`"
        )
    read = {
        source.who: {"dataset": source.dataset, "folder": source.folder, "margin_arcsec": margin}
        for source, margin in zip(sources, margins_of(sources, pairing), strict=True)
    }
    return read | {"snapshots": {source.dataset: source.snapshot for source in sources if source.snapshot}}


def step_of(asked: Mapping[str, Any]) -> Step:
    """The step that a request stands for."""
    left, right = (Input(**asked[who]) for who in SIDES)
    pairing = Pairing.from_params(asked["pairing"])
    return pairs_step(asked["dataset"], left, right, pairing, asked["margin_arcsec"])


def _check_name(ctx: Context, dataset: str, sources: Iterable[Source]) -> None:
    """A match does not take the place of a dataset that was made otherwise."""
    if dataset in {source.dataset for source in sources}:
        raise InputError(f"{dataset} is one of the two catalogues; give the result another --name")
    now = snapshots.current(ctx.engine, dataset)
    if now is not None and now.step != NAME:
        raise InputError(f"{dataset} is there already, and was not made by a cross-match; give another --name")


def margins_of(sources: Sequence[Source], pairing: Pairing) -> list[float]:
    """How far beyond a cell each side is read, arcsec: what is kept with it, where that is enough.

    Of a catalogue that keeps no margins, the neighbours' partitions are read as far as needed.

    Raises
    ------
    InputError
        When more is needed than is kept; says how much, and how to keep it.
    """
    motion = largest_motion(sources, pairing) if pairing.moves else 0.0
    found = []
    for source, needed in zip(sources, pairing.reaches(motion), strict=True):
        if needed <= 0 or source.margin_arcsec >= needed:
            found.append(source.margin_arcsec if needed > 0 else 0.0)
        elif source.margin_arcsec == 0:
            # a power of two: what motions there are changes from day to day, and the partitions' keys must not
            found.append(2.0 ** math.ceil(math.log2(needed)))
        else:
            raise InputError(_too_narrow(source, pairing, needed, motion))
    return found


def _too_narrow(source: Source, pairing: Pairing, needed: float, motion: float) -> str:
    why = f"a radius of {pairing.radius_arcsec:g} arcsec"
    why += f" and motions of up to {motion:.3g} arcsec" if motion else ""
    wider = math.ceil(needed)
    if source.folder:
        then = (
            f"bring it into the lake with `stellar import {source.folder} --name NAME --id COL --margin {wider}`, or "
            f"name its table {source.catalog.table} instead, to read the neighbours' partitions"
        )
    else:
        then = f"make it again with wider ones, `stellar import … --name {source.dataset} --margin {wider}`"
    return (
        f"{source.who}: {source.named} keeps margins of {source.margin_arcsec:g} arcsec, and this match needs "
        f"{needed:.6g} ({why}); {then}"
    )
