"""Which object does a survey's row belong to: the long table of associations, read per partition."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from stellar.engine.step import Input, PartitionInput

ASSOCIATIONS = "curated.associations"
# An object stands where its best survey saw it, at that survey's epoch; a star of 10"/yr (Barnard's) moves 200" in 20
# years, so its object may lie in the neighbouring cell.
MARGIN_ARCSEC = 240.0


def associations_input(dataset: str = ASSOCIATIONS) -> Input:
    """The input that `object_ids` needs."""
    return Input(dataset, margin_arcsec=MARGIN_ARCSEC, columns=("object_id", "survey", "survey_id"))


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
    claimed: Mapping[str, str] = {
        survey_id: object_id
        for part in (associations.rows, associations.margin)
        if part.num_rows
        for object_id, named, survey_id in zip(
            part.column("object_id").to_pylist(),
            part.column("survey").to_pylist(),
            part.column("survey_id").to_pylist(),
            strict=True,
        )
        if named == survey
    }
    return pa.chunked_array([pa.array([claimed.get(str(one)) for one in ids.to_pylist()], pa.string())])
