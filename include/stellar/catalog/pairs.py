"""Pairs of two catalogues as rows: what a match gives, as a step and as a function of two tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stellar.catalog.nearest import Floats, Ints, Rows, find, floats, in_sky_order, probability
from stellar.catalog.pairing import How, Pairing, Side
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.lake.schema import INDEX_FIELD
from stellar.sky.healpix import INDEX_COLUMN, spatial_index

NAME = "crossmatch_pairs"
VERSION = 2
#: Some rows of a column, by the column's name.
Taker = Callable[[str], pa.Array]


@dataclass(frozen=True)
class Lines:
    """Rows of the result: numbers of the left and the right row (-1: none) and what was measured of the pair."""

    left: Ints
    right: Ints
    separation_arcsec: Floats
    probability: Floats
    n_candidates: npt.NDArray[np.int32]
    runner_up_arcsec: Floats

    def with_unmatched(self, left: Ints, counts: npt.NDArray[np.int32]) -> Lines:
        """With left rows that have no partner, in the order of the left rows."""
        nothing = np.full(len(left), np.nan)
        both = self._with(left, np.full(len(left), -1), nothing, nothing, counts[left], nothing)
        return both._take(np.argsort(both.left, kind="stable"))

    def with_alone(self, right: Ints) -> Lines:
        """With right rows that have no partner, at the end."""
        nothing, nobody = np.full(len(right), np.nan), np.full(len(right), -1)
        return self._with(nobody, right, nothing, nothing, nobody.astype(np.int32), nothing)

    def _with(self, *columns: npt.NDArray[Any]) -> Lines:
        return Lines(*(np.concatenate(pair) for pair in zip(self._columns(), columns, strict=True)))

    def _take(self, order: Ints) -> Lines:
        return Lines(*(column[order] for column in self._columns()))

    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return tuple(getattr(self, one.name) for one in fields(self))


def pair_rows(left: Rows, right: Rows, pairing: Pairing, threads: int = 1) -> tuple[pa.Table, Accounting]:
    """The result of one partition, by left row, then separation.

    Accounting: rows in are the partition's left rows, each further partner of one of them, and (outer) its right rows
    without a left one. Left rows without a partner that do not come out are filtered by `unmatched`.
    """
    found = find(left, right, pairing, threads)
    mine = np.arange(*np.searchsorted(found.pairs.left_index, [left.own.start, left.own.stop]))
    pairs = found.pairs.take(mine)
    likely = probability(left, right, found, pairs, pairing)
    lines = Lines(*pairs[:3], likely, *pairs[3:])
    own, count = left.own.stop - left.own.start, len(likely)
    matched = int(np.count_nonzero(np.diff(pairs.left_index))) + 1 if count else 0
    rows_in, unmatched = own + count - matched, own - matched
    if pairing.how != "inner" and found.counts is not None:
        lines = lines.with_unmatched(_others(left.own, pairs.left_index), found.counts)
        unmatched = 0
    if pairing.how == "outer":
        alone = _others(right.own, found.pairs.right_index)
        lines = lines.with_alone(alone)
        rows_in += len(alone)
    accounting = Accounting(rows_in, len(lines.left), filtered={"unmatched": unmatched} if unmatched else {})
    return _table(left, right, lines, pairing), accounting


def _others(own: slice, taken: Ints) -> Ints:
    """Own rows that are not among some."""
    free = np.ones(own.stop - own.start, bool)
    free[taken[(taken >= own.start) & (taken < own.stop)] - own.start] = False
    return own.start + np.flatnonzero(free)


def _table(left: Rows, right: Rows, lines: Lines, pairing: Pairing) -> pa.Table:
    schema = pairing.schema(left.table.schema, right.table.schema)
    i, j = (_numbers(rows, pairing.how != "inner") for rows in (lines.left, lines.right))
    from_left = _taken(left.table, i)
    from_right = _taken(right.table, j)
    columns = [
        from_left(left.side.id),
        from_right(right.side.id),
        _nullable(lines.separation_arcsec),
        _nullable(lines.probability),
        pa.array(lines.n_candidates, mask=lines.n_candidates < 0),
        *(from_left(name) for name in left.side.columns if name != "id"),
        *(from_right(name) for name in right.side.columns if name != "id"),
        _nullable(lines.runner_up_arcsec),
    ]
    index = from_left(INDEX_COLUMN)
    if pairing.how == "outer":
        columns += _either(left.side, right.side, from_left, from_right)
        index = pc.coalesce(index, from_right(INDEX_COLUMN))
    return pa.table([*columns, index], schema=schema)


def _either(left: Side, right: Side, from_left: Taker, from_right: Taker) -> list[pa.Array]:
    """A name and a place for every row, whichever side it is of."""
    ids = [pc.fill_null(one.cast(pa.string()), "") for one in (from_left(left.id), from_right(right.id))]
    places = [
        pc.coalesce(from_left(a).cast(pa.float64()), from_right(b).cast(pa.float64()))
        for a, b in ((left.ra, right.ra), (left.dec, right.dec))
    ]
    return [pc.binary_join_element_wise(*ids, "|"), *places]


def _taken(table: pa.Table, rows: pa.Array) -> Taker:
    """Column of some rows, by name."""

    def column(name: str) -> pa.Array:
        values = table[name]
        values = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
        return values.take(rows)

    return column


def _numbers(rows: Ints, may_lack: bool) -> pa.Array:
    return pa.array(rows, mask=rows < 0) if may_lack else pa.array(rows)


def _nullable(values: Floats) -> pa.Array:
    """Floats with null for NaN."""
    return pa.array(values, pa.float64(), from_pandas=True)


def run(_: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function; `params` as `Pairing.to_params` makes them."""
    pairing = Pairing.from_params(params)
    left, right = (
        in_sky_order(side, inputs[role].rows, inputs[role].margin)
        for role, side in (("left", pairing.left), ("right", pairing.right))
    )
    return StepResult(*pair_rows(left, right, pairing))


def pairs_step(dataset: str, left: Input, right: Input, pairing: Pairing, margin_arcsec: float = 0.0) -> Step:
    """The step that matches two catalogues.

    Parameters
    ----------
    dataset : str
        Output, ``own.<name>``.
    left, right : Input
        With the margins that `Pairing.reaches` asks for; their columns are set here.
    pairing : Pairing
    margin_arcsec : float
        Width of the margins that are kept with the result.
    """
    return Step(
        dataset=dataset,
        name=NAME,
        version=VERSION,
        inputs={
            "left": replace(left, columns=pairing.left.reads),
            "right": replace(right, columns=pairing.right.reads),
        },
        params=pairing.to_params(),
        run=run,
        id_column=pairing.id_columns,
        layout="cover" if pairing.how == "outer" else "inherit",
        primary="left",
        description=f"Cross-match of {left.dataset} with {right.dataset} within {pairing.radius_arcsec:g} arcsec",
        position=pairing.position,
        margin_arcsec=margin_arcsec,
        keeps_index=True,
        threads=True,
        adds_rows=pairing.how == "outer" or pairing.k > 1,
    )


def match_tables(
    left: pa.Table,
    right: pa.Table,
    radius_arcsec: float,
    *,
    id_left: str,
    id_right: str,
    k: int = 1,
    how: How = "inner",
    mutual: bool = False,
    min_arcsec: float = 0.0,
    **sides: Any,
) -> pa.Table:
    """Match two tables in memory; the result is that of `stellar crossmatch`.

    Parameters
    ----------
    left, right : pyarrow.Table
        Rows in any order.
    radius_arcsec : float
        Largest separation, inclusive.
    id_left, id_right : str
        Columns that identify a row.
    k, how, mutual, min_arcsec
        As `stellar.catalog.pairing.Pairing` says.
    **sides
        Any other attribute of `stellar.catalog.pairing.Side`, with ``_left`` or ``_right`` at its end, for example
        ``ra_left="RAJ2000"``, ``epoch_yr_right=2000.0`` or ``columns_left=["mag"]`` (all columns when not given).

    Returns
    -------
    pyarrow.Table
        ``id_left, id_right, separation_arcsec, match_probability, n_candidates``, left's columns with ``_left``,
        right's with ``_right``, ``runner_up_arcsec``, ``_healpix_29``; in the order of the left rows on the sky, then
        by separation.

    Raises
    ------
    InputError
        When a column is missing or cannot be what it is taken for, or a position is not on the sky.
    """
    found = []
    for who, table, column in (("left", left, id_left), ("right", right, id_right)):
        given = {name.removesuffix(f"_{who}"): value for name, value in sides.items() if name.endswith(f"_{who}")}
        every = [name for name in table.column_names if name != INDEX_COLUMN]
        given["columns"] = tuple(given.get("columns", every))
        given["motion"] = tuple(given.get("motion", ()))
        side = Side(id=column, **given).checked(table.schema, who)
        index = spatial_index(floats(table, side.ra), floats(table, side.dec))
        table = table.select([name for name in table.column_names if name != INDEX_COLUMN])
        found.append(in_sky_order(side, table.append_column(INDEX_FIELD, pa.array(index))))
    a, b = found
    pairing = Pairing(a.side, b.side, radius_arcsec, k, how, mutual, min_arcsec)
    return pair_rows(a, b, pairing, threads=os.cpu_count() or 1)[0]
