"""Associations: which object each curated row belongs to.

Rows with the same object key are one source (the sectors of one TESS target, a spectrum and the photometry that it
names), and so are rows of a dataset of repeated observations that lie in one place (the spectra of one star). A source
attaches to the best survey's source that it is matched with, and so on along the chain; the source at its end is the
object, whose key is the object's id. Only steps to a better survey count, so a chain ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stellar.catalog.crossmatch import Sources, ids, match_params, position_columns, sources
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.lake.schema import field
from stellar.profile import Curated, Profile
from stellar.sky.match import match_all
from stellar.sky.motion import propagate
from stellar.sky.separation import separation_arcsec

VERSION = 1
Ints = npt.NDArray[np.int64]

SCHEMA = pa.schema(
    [
        field("association_id", pa.string(), description="survey:survey_id"),
        field("object_id", pa.string(), ucd="meta.id;meta.main", description="Key of the object's best source"),
        field("survey", pa.string(), description="Curated dataset"),
        field("survey_id", pa.string(), ucd="meta.id", description="Id of the row in it"),
        field(
            "separation_arcsec",
            pa.float64(),
            unit="arcsec",
            ucd="pos.angDistance",
            description="To the object moved to the row's epoch",
        ),
        field("ra", pa.float64(), unit="deg", ucd="pos.eq.ra", description="Of the object, at its epoch"),
        field("dec", pa.float64(), unit="deg", ucd="pos.eq.dec", description="Of the object, at its epoch"),
    ]
)


@dataclass(frozen=True)
class Graph:
    """Rows of all surveys, best first, with the node (source) of each, each node's best row and that row's key."""

    rows: Sources
    survey: Ints
    node: Ints
    keys: npt.NDArray[np.str_]
    best_row: Ints


def graph(all_sources: list[Sources], keys: list[npt.NDArray[np.str_]], repeats: list[float | None]) -> Graph:
    """Join the surveys' rows (best survey first) and find the nodes.

    Parameters
    ----------
    keys
        Object key of each row, by survey.
    repeats
        By survey: within how many arcsec its rows are one source; None where every row is one of its own.
    """
    columns = ("id", "ra", "dec", "epoch_yr", "pmra", "pmdec", "own")
    rows = Sources("", *(np.concatenate([getattr(s, name) for s in all_sources]) for name in columns))
    survey = np.repeat(np.arange(len(all_sources)), [len(s.id) for s in all_sources])
    key = np.concatenate(keys)
    node = _joined(np.unique(key, return_inverse=True)[1], rows, survey, repeats)
    order = np.lexsort((rows.id, survey, node))
    best_row = order[_starts(node[order])]
    return Graph(rows, survey, node, key[best_row], best_row)


def _joined(node: Ints, rows: Sources, survey: Ints, repeats: list[float | None]) -> Ints:
    """Nodes, with those made one that hold rows of one dataset within its `repeats` of each other."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends: list[tuple[Ints, Ints]] = []
    for number, radius in enumerate(repeats):
        mine = np.flatnonzero(survey == number)
        if radius is not None and len(mine) > 1:
            near = match_all(rows.ra[mine], rows.dec[mine], rows.ra[mine], rows.dec[mine], radius)
            ends.append((node[mine[near.left_index]], node[mine[near.right_index]]))
    if not ends:
        return node
    left, right = (np.concatenate(side) for side in zip(*ends, strict=True))
    count = int(node.max()) + 1
    return connected_components(coo_array((np.ones(len(left)), (left, right)), shape=(count, count)))[1][node]


def _starts(group: Ints) -> npt.NDArray[np.bool_]:
    """Mark of the first row of each run of equal values."""
    first = np.ones(len(group), bool)
    first[1:] = group[1:] != group[:-1]
    return first


def roots(joined: Graph, left: Ints, right: Ints, separation: npt.NDArray[np.float64]) -> Ints:
    """Root node of each node, shape (nodes,), given matched rows `left` (better survey) and `right`."""
    rank = joined.survey[joined.best_row]
    child, parent = joined.node[right], joined.node[left]
    upward = rank[parent] < rank[child]
    child, parent, separation = child[upward], parent[upward], separation[upward]
    key_order = np.argsort(np.argsort(joined.keys, kind="stable"), kind="stable")
    order = np.lexsort((key_order[parent], separation, rank[parent], child))
    best = order[_starts(child[order])]
    root = np.arange(len(joined.keys))
    root[child[best]] = parent[best]
    while True:
        further = root[root]
        if np.array_equal(further, root):
            return root
        root = further


def associate(joined: Graph, names: list[str], crossmatch: pa.Table) -> tuple[pa.Table, Accounting]:
    """Rows whose object lies in the partition, each with its object.

    Parameters
    ----------
    names
        Surveys, best first, as `joined.survey` counts them.
    crossmatch
        Pairs of the partition and its margin.
    """
    if not len(joined.rows.id):
        return SCHEMA.empty_table(), Accounting(0, 0)
    left, right, separation = _edges(joined, names, crossmatch)
    root = roots(joined, left, right, separation)
    anchor = joined.best_row[root[joined.node]]
    rows = joined.rows
    here = np.flatnonzero(rows.own[anchor])
    at, row = rows.take(anchor[here]), rows.take(here)
    moved = propagate(at.ra, at.dec, at.pmra, at.pmdec, at.epoch_yr, row.epoch_yr)
    surveys = np.asarray(names)[joined.survey[here]] if len(here) else np.empty(0, str)
    table = pa.table(
        [
            row_names(surveys, row.id),
            pa.array(joined.keys[root[joined.node[here]]], pa.string()),
            pa.array(surveys, pa.string()),
            pa.array(row.id, pa.string()),
            separation_arcsec(*moved, row.ra, row.dec),
            at.ra,
            at.dec,
        ],
        schema=SCHEMA,
    )
    return table, Accounting(int(rows.own.sum()), len(table))


def _edges(joined: Graph, names: list[str], crossmatch: pa.Table) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """Matched pairs as row numbers; a pair with a row beyond the margin is left out."""
    if not len(crossmatch):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    places = row_names(np.asarray(names)[joined.survey], joined.rows.id)
    left, right = (
        pc.fill_null(pc.index_in(row_names(crossmatch[f"survey_{side}"], crossmatch[f"id_{side}"]), places), -1)
        .to_numpy(zero_copy_only=False)
        .astype(np.int64)
        for side in ("left", "right")
    )
    known = (left >= 0) & (right >= 0)
    return left[known], right[known], crossmatch["separation_arcsec"].to_numpy()[known]


def renamed(old: pa.Table, new: pa.Table) -> list[tuple[str, str]]:
    """Objects that are gone under their old id, with the ids under which their rows are now: (old, new), sorted.

    Parameters
    ----------
    old, new
        `association_id` and `object_id` of all rows of two snapshots of the associations.
    """
    names = ["association_id", "object_id"]
    gone = old.select(names).filter(pc.invert(pc.is_in(old["object_id"], value_set=new["object_id"].combine_chunks())))
    now = gone.join(new.select(names), "association_id", join_type="inner", right_suffix="_new")
    pairs = now.group_by(["object_id", "object_id_new"]).aggregate([])
    return sorted(zip(pairs["object_id"].to_pylist(), pairs["object_id_new"].to_pylist(), strict=True))


def row_names(surveys: Any, row_ids: Any) -> pa.Array:
    """`survey:id` of each row, shape (n,)."""
    columns = (
        c.combine_chunks() if isinstance(c, pa.ChunkedArray) else pa.array(c, pa.string()) for c in (surveys, row_ids)
    )
    return pc.binary_join_element_wise(*columns, ":")


def run(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function; params as for the cross-match.

    Accounting: rows in are the curated rows of the partition, rows out those whose object is there; over the whole sky,
    where each row has exactly one object, they are equal.
    """
    configs = [Curated.model_validate(c) for c in params["curated"]]
    found, keys = [], []
    for config in configs:
        given = inputs[config.dataset]
        found.append(sources(config, given.rows, given.margin))
        keys += [ids(t, "object_key") for t in (given.rows, given.margin) if len(t)]
    pairs = inputs["crossmatch"]
    tables = [t for t in (pairs.rows, pairs.margin) if len(t)]
    crossmatch = pa.concat_tables(tables) if tables else pairs.rows
    joined = graph(found, keys or [np.empty(0, str)], [c.repeats_arcsec for c in configs])
    return StepResult(*associate(joined, [c.dataset for c in configs], crossmatch))


def associations_step(profile: Profile) -> Step:
    """The step that makes `curated.associations` from the cross-match and the curated datasets."""
    margin = profile.chain_arcsec
    inputs = {
        c.dataset: Input(f"curated.{c.dataset}", margin, position_columns(c), optional=True) for c in profile.on_sky()
    }
    inputs["crossmatch"] = Input("curated.crossmatch", margin + profile.matches.reach_arcsec)
    return Step(
        dataset="curated.associations",
        name="associations",
        version=VERSION,
        inputs=inputs,
        params=match_params(profile),
        run=run,
        id_column="association_id",
        layout="union",
        description="Which object each row of each survey belongs to",
    )
