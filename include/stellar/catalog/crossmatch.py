"""Cross-match of all curated datasets on the sky, pair by pair, with epochs respected.

For a pair of surveys the one that comes first in the profile is `left`. A row with proper motion is moved to the other
row's own epoch (the left one where both have it); the separation is taken there. A pair is kept when each is the
other's nearest within the pair's radius. Ties go to the lower id: the outcome does not depend on how the sky is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stellar.catalog.epochs import Points, candidates, separations
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.lake.schema import field
from stellar.profile import Curated, Matches, Profile

VERSION = 1
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SCHEMA = pa.schema(
    [
        field("pair_id", pa.string(), description="survey_left:id_left|survey_right:id_right"),
        field("survey_left", pa.string(), description="Curated dataset that comes first in the profile's order"),
        field("id_left", pa.string(), description="Id of the left row"),
        field("survey_right", pa.string()),
        field("id_right", pa.string(), description="Id of the right row"),
        field("separation_arcsec", pa.float64(), unit="arcsec", ucd="pos.angDistance", description="At a common epoch"),
        field("n_candidates", pa.int32(), description="Right rows within the radius of the left row"),
        field("ra", pa.float64(), unit="deg", ucd="pos.eq.ra", description="Of the left row, at its own epoch"),
        field("dec", pa.float64(), unit="deg", ucd="pos.eq.dec", description="Of the left row, at its own epoch"),
        field("ra_right", pa.float64(), unit="deg", ucd="pos.eq.ra"),
        field("dec_right", pa.float64(), unit="deg", ucd="pos.eq.dec"),
    ]
)


@dataclass(frozen=True)
class Sources:
    """Positions of one survey: id as text, degrees, Julian years, mas/yr (NaN: unknown), own = in the partition."""

    survey: str
    id: npt.NDArray[np.str_]
    ra: Floats
    dec: Floats
    epoch_yr: Floats
    pmra: Floats
    pmdec: Floats
    own: npt.NDArray[np.bool_]

    @property
    def points(self) -> Points:
        """Positions with what moves them."""
        return Points(self.ra, self.dec, self.epoch_yr, self.pmra, self.pmdec)

    def take(self, index: Ints) -> Sources:
        columns = ("id", "ra", "dec", "epoch_yr", "pmra", "pmdec", "own")
        return Sources(self.survey, *(getattr(self, name)[index] for name in columns))


@dataclass(frozen=True)
class Pairs:
    """Matched rows of two `Sources`: indices, separation at the common epoch, right rows within the radius."""

    left: Ints
    right: Ints
    separation_arcsec: Floats
    n_candidates: npt.NDArray[np.int32]


def sources(config: Curated, rows: pa.Table, margin: pa.Table) -> Sources:
    """Positions of a curated table's rows in the partition and in its margin."""
    parts = [t for t in (rows, margin) if len(t)]
    if not parts:
        none = np.empty(0)
        return Sources(config.dataset, np.empty(0, str), none, none, none, none, none, np.empty(0, bool))
    table = pa.concat_tables(parts, promote_options="permissive")
    motion = (config.motion.pmra, config.motion.pmdec) if config.motion else (None, None)
    ra, dec, epoch_yr, pmra, pmdec = (_floats(table, name) for name in ("ra", "dec", "epoch_yr", *motion))
    own = np.arange(len(table)) < len(rows)
    return Sources(config.dataset, ids(table, config.id), ra, dec, epoch_yr, pmra, pmdec, own)


def ids(table: pa.Table, column: str) -> npt.NDArray[np.str_]:
    """An id column as text, shape (n,)."""
    return np.asarray(table[column].cast(pa.string()).to_pylist(), dtype=str)


def _floats(table: pa.Table, name: str | None) -> Floats:
    if name is None or name not in table.column_names:
        return np.full(len(table), np.nan)
    return table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)


def match_epochs(left: Sources, right: Sources, radius_arcsec: float, max_motion_arcsec: float) -> Pairs:
    """Mutual nearest pairs within `radius_arcsec`, each pair at the epoch of the row that does not move.

    A pair whose moving row travelled further than `max_motion_arcsec` is not considered, so that nothing beyond
    ``radius_arcsec + max_motion_arcsec`` of a row can matter to it.
    """
    i, j = candidates(left.points, right.points, radius_arcsec)
    separation, motion = separations(left.points.take(i), right.points.take(j))
    inside = (separation <= radius_arcsec) & (motion <= max_motion_arcsec)
    i, j, separation = i[inside], j[inside], separation[inside]
    rank_left, rank_right = (np.argsort(np.argsort(s.id, kind="stable"), kind="stable") for s in (left, right))
    counts = np.bincount(i, minlength=len(left.id)).astype(np.int32)
    nearest_right = _first(i, separation, rank_right[j])
    nearest_left = _first(j, separation, rank_left[i])
    both = np.flatnonzero(nearest_right & nearest_left)
    both = both[np.argsort(i[both], kind="stable")]
    return Pairs(i[both], j[both], separation[both], counts[i[both]])


def _first(group: Ints, separation: Floats, tie: Ints) -> npt.NDArray[np.bool_]:
    """Mark of the smallest (separation, tie) of each group."""
    order = np.lexsort((tie, separation, group))
    first = np.ones(len(order), bool)
    first[1:] = group[order][1:] != group[order][:-1]
    mark = np.zeros(len(order), bool)
    mark[order[first]] = True
    return mark


def crossmatch(all_sources: list[Sources], matches: Matches) -> tuple[pa.Table, Accounting]:
    """All pairs of surveys; rows are written where their left row is.

    Accounting: `rows_in` counts each left row in the partition once per survey that it is matched against; a left row
    without a partner there is filtered by the rule `unmatched`.
    """
    tables, rows_in = [SCHEMA.empty_table()], 0
    for left, right in combinations(all_sources, 2):
        rows_in += int(left.own.sum())
        if not left.own.any() or not len(right.id):
            continue
        radius = matches.radius(left.survey, right.survey)
        tables.append(_table(left, right, match_epochs(left, right, radius, matches.max_motion_arcsec)))
    table = pa.concat_tables(tables)
    unmatched = rows_in - len(table)
    return table, Accounting(rows_in, len(table), filtered={"unmatched": unmatched} if unmatched else {})


def _table(left: Sources, right: Sources, pairs: Pairs) -> pa.Table:
    own = left.own[pairs.left]
    i, j = pairs.left[own], pairs.right[own]
    ids_left, ids_right = pa.array(left.id[i], pa.string()), pa.array(right.id[j], pa.string())
    names = [pa.array([s.survey] * len(i), pa.string()) for s in (left, right)]
    ends = [pc.binary_join_element_wise(n, x, ":") for n, x in zip(names, (ids_left, ids_right), strict=True)]
    return pa.table(
        [
            pc.binary_join_element_wise(*ends, "|"),
            names[0],
            ids_left,
            names[1],
            ids_right,
            pairs.separation_arcsec[own],
            pairs.n_candidates[own],
            left.ra[i],
            left.dec[i],
            right.ra[j],
            right.dec[j],
        ],
        schema=SCHEMA,
    )


def position_columns(config: Curated) -> tuple[str, ...]:
    """Columns of a curated dataset that matching and unifying read."""
    motion = (config.motion.pmra, config.motion.pmdec) if config.motion else ()
    return tuple(dict.fromkeys((config.id, "object_key", "ra", "dec", "epoch_yr", *motion)))


def run(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function; `params` as `match_params` makes them."""
    matches = Matches.model_validate(params["matches"])
    configs = [Curated.model_validate(c) for c in params["curated"]]
    found = [sources(c, inputs[c.dataset].rows, inputs[c.dataset].margin) for c in configs]
    return StepResult(*crossmatch(found, matches))


def match_params(profile: Profile) -> dict[str, Any]:
    """What matching and unifying depend on, as JSON: order, radii, and each dataset's id, key and motion columns."""
    return {
        "matches": profile.matches.model_dump(mode="json"),
        "curated": [
            c.model_dump(mode="json", include={"dataset", "source", "id", "object_key", "motion", "repeats_arcsec"})
            | {"columns": [{"name": n, "type": c.column(n).type} for n in position_columns(c) if n != "object_key"]}
            for c in profile.on_sky()
        ],
    }


def crossmatch_step(profile: Profile) -> Step:
    """The step that makes `curated.crossmatch` from all curated datasets with positions."""
    # a left row's partner lies within one reach, and that partner's own nearest left row within another
    margin = 2 * profile.matches.reach_arcsec + 1.0
    return Step(
        dataset="curated.crossmatch",
        name="crossmatch",
        version=VERSION,
        inputs={
            c.dataset: Input(f"curated.{c.dataset}", margin, position_columns(c), optional=True)
            for c in profile.on_sky()
        },
        params=match_params(profile),
        run=run,
        id_column="pair_id",
        layout="union",
        description="Mutual nearest rows of each pair of surveys, at a common epoch",
    )
