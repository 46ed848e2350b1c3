"""The step `scores.catalog`: one row per object with what every current model says of it, for people and TOPCAT.

A model's columns carry its name: `photometric_teff__teff_k`, `photometric_teff__teff_k_lower`, …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stellar.engine.step import Accounting, ColumnSource, Input, Partition, PartitionInput, Step, StepResult
from stellar.ledger.lineage import MERGED

STEP_VERSION = 1
#: Of a score's columns: what the object has already, and what is the same in every row or of use to programs alone.
LEFT_OUT = ("object_id", "ra", "dec", "model", "_healpix_29")
PROBABILITY = "probability_"


def column_of(scores: str, column: str) -> str:
    """Name of a score's column in the catalogue: `scores.x` and `teff_k` give `x__teff_k`."""
    return f"{scores.partition('.')[2]}__{column}"


def merge(objects: pa.Table, scores: Mapping[str, pa.Table]) -> pa.Table:
    """Objects with each model's answer, null where it has none.

    Of an object with several scored rows of one model (spectra, light curves) the surest counts: that of the highest
    probability, else of the narrowest interval, else of the lowest id.

    Parameters
    ----------
    objects : pa.Table
        With `object_id`.
    scores : mapping
        Dataset -> its rows, with `object_id`; those of other objects are not used.
    """
    merged = objects
    for dataset, rows in scores.items():
        best = rows.filter(pc.is_valid(rows["object_id"])).sort_by(_surest_first(rows))
        place = pc.index_in(objects["object_id"].combine_chunks(), value_set=best["object_id"].combine_chunks())
        for field in best.schema:
            if field.name in LEFT_OUT or field.name.startswith(PROBABILITY):
                continue
            values = best[field.name]
            if pa.types.is_list(field.type):  # a set of classes as text, so that every format of tables can hold it
                values = pc.binary_join(values, ";")
            named = field.with_name(column_of(dataset, field.name)).with_nullable(True).with_type(values.type)
            merged = merged.append_column(named, values.take(place))
    return merged


def _surest_first(rows: pa.Table) -> list[tuple[str, str]]:
    names = rows.column_names
    if "probability" in names:
        keys = [("probability", "descending")]
    else:
        keys = [(name, "ascending") for name in names if name.endswith("_width")][:1]
    scalars = [
        (one.name, "ascending") for one in rows.schema if pa.types.is_string(one.type) and one.name.endswith("id")
    ]
    return [*keys, *scalars]


def run(_: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function; `params["scores"]` are the datasets that are merged, in order."""
    objects = inputs["objects"].rows
    scores = {}
    for dataset in params["scores"]:
        given = inputs[dataset]
        if not given.absent:
            scores[dataset] = pa.concat_tables([given.rows, given.margin], promote_options="default")
    return StepResult(merge(objects, scores), Accounting(objects.num_rows, objects.num_rows))


def merged_step(scores: Sequence[str], margin_arcsec: float) -> Step:
    """The step that puts objects and scores together.

    Parameters
    ----------
    scores : sequence of str
        Datasets of scores on the sky whose rows belong to objects.
    margin_arcsec : float
        How far a scored row may stand from its object (`Profile.chain_arcsec`).
    """
    return Step(
        dataset=MERGED,
        name="merge scores",
        version=STEP_VERSION,
        inputs={
            "objects": Input("curated.objects"),
            **{dataset: Input(dataset, margin_arcsec=margin_arcsec, optional=True) for dataset in scores},
        },
        params={"scores": list(scores)},
        run=run,
        id_column="object_id",
        layout="inherit",
        primary="objects",
        description="One row per object with what every current model says of it",
        columns={
            **{column_of(one, "*"): [ColumnSource(one, "*", "the surest of the object's rows")] for one in scores},
            "*": [ColumnSource("objects", "*")],
        },
    )
