"""Which object does a survey's row belong to: the long table of associations, read per partition."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from stellar.engine.step import Input, PartitionInput

ASSOCIATIONS = "curated.associations"


def associations_input(margin_arcsec: float, dataset: str = ASSOCIATIONS) -> Input:
    """The input that `object_ids` needs.

    Parameters
    ----------
    margin_arcsec : float
        How far a row's object may stand from it (`Profile.chain_arcsec`): an object has the position and epoch of its
        best survey, so that a fast star's may lie in the neighbouring cell.
    """
    return Input(dataset, margin_arcsec=margin_arcsec, columns=("object_id", "survey", "survey_id"))


def object_ids(ids: pa.ChunkedArray, survey: str, associations: PartitionInput) -> pa.ChunkedArray:
    """Object of each row, null where no object claims it.

    Parameters
    ----------
    ids : pa.ChunkedArray
        The survey's own ids.
    survey : str
        Name of the survey in the associations.
    associations : PartitionInput
    """
    parts = [part for part in (associations.rows, associations.margin) if part.num_rows]
    if not parts:
        return pa.chunked_array([pa.nulls(len(ids), pa.string())])
    claims = pa.concat_tables(parts)
    claims = claims.filter(pc.equal(claims["survey"], survey))
    place = pc.index_in(pc.cast(ids, pa.string()), value_set=claims["survey_id"].combine_chunks())
    return (
        pa.chunked_array([pc.take(claims["object_id"].combine_chunks(), place)]) if len(ids) else ids.cast(pa.string())
    )
