"""The step that makes a dataset of users' own tables: rows as they came, each in its cell of the sky."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.engine.staging import floats
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult

VERSION = 1
STAGED = "staged"


def run(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function: what has a place goes out, what has none is quarantined with the reason."""
    rows = inputs[STAGED].rows
    if partition.cell is not None:
        return StepResult(rows, Accounting(len(rows), len(rows)))
    refused = rows.append_column("reason", reasons(rows, params))
    return StepResult(
        rows.slice(0, 0).select([name for name in rows.column_names if name in params["columns"]]),
        Accounting(len(rows), 0, quarantined=len(rows)),
        refused,
    )


def reasons(rows: pa.Table, params: dict[str, Any]) -> pa.Array:
    """Why each row has no place: no id, no position, or one that is not on the sky."""
    ra, dec = (floats(rows[params[name]]) for name in ("ra", "dec"))
    missing = np.isnan(ra) | np.isnan(dec)
    said = np.where(missing, f"{params['ra']} or {params['dec']} is missing", "")
    outside = ~missing & ~(np.isfinite(ra) & (np.abs(dec) <= 90))
    said = np.where(outside, f"{params['ra']}, {params['dec']} are not on the sky (degrees, -90 to 90)", said)
    no_id = ~rows[params["id"]].is_valid().to_numpy()
    return pa.array(np.where(no_id, f"{params['id']} is null", said).tolist(), pa.string())


def import_step(
    dataset: str,
    batches: Sequence[str],
    columns: Sequence[str],
    id_column: str,
    ra: str,
    dec: str,
    margin_arcsec: float,
) -> Step:
    """The step that cuts staged batches into cells.

    Parameters
    ----------
    dataset : str
        ``own.<name>``.
    batches : sequence of str
        Ids of the staged batches that the dataset consists of.
    columns : sequence of str
        Of the tables.
    id_column, ra, dec : str
        Names of columns; degrees.
    margin_arcsec : float
        Width of the margins that are kept.
    """
    return Step(
        dataset=dataset,
        name="import",
        version=VERSION,
        inputs={STAGED: Input(dataset, batches=tuple(batches))},
        params={"id": id_column, "ra": ra, "dec": dec, "columns": list(columns)},
        run=run,
        id_column=id_column,
        layout="rows",
        primary=STAGED,
        quarantine=f"quarantine.{dataset.replace('.', '_')}",
        description="Imported from files",
        position=(ra, dec),
        margin_arcsec=margin_arcsec,
        keeps_index=True,
        threads=True,
    )
