"""The step that makes a dataset of users' own tables: rows as they came, each in its cell of the sky."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stellar.engine.parts import BATCH
from stellar.engine.staging import floats
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.lake.schema import INDEX_FIELD, stored_schema
from stellar.sky.healpix import INDEX_COLUMN

VERSION = 2
STAGED = "staged"
REASON = "reason"


def run(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function: what has a place goes out, what has none is quarantined with the reason."""
    rows = inputs[STAGED].rows
    wanted = schema_of(params["schema"])
    if partition.cell is not None:
        return StepResult(_as_told(rows, wanted), Accounting(len(rows), len(rows)))
    # the two columns that every quarantined row has may be the table's own too: those keep another name
    own = [f"{name}_of_table" if name in (BATCH, REASON) else name for name in wanted.names]
    refused = _as_told(rows, wanted).drop_columns([INDEX_COLUMN]).rename_columns(own)
    refused = refused.append_column(BATCH, rows[rows.column_names[-1]]).append_column(REASON, reasons(rows, params))
    return StepResult(_as_told(rows.slice(0, 0), wanted), Accounting(len(rows), 0, quarantined=len(rows)), refused)


def _as_told(rows: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Staged rows with the import's columns: all files' rows carry the same units and descriptions."""
    columns = [rows[INDEX_COLUMN], *(rows[name] for name in wanted.names)]
    return pa.table(columns, schema=pa.schema([INDEX_FIELD, *wanted]))


def schema_text(schema: pa.Schema) -> str:
    """A schema as text that can be a step's parameter: types and the columns' metadata decide what is written."""
    plain = stored_schema(pa.schema([column for column in schema if column.name != INDEX_COLUMN]))
    return base64.b64encode(plain.serialize().to_pybytes()).decode("ascii")


def schema_of(text: str) -> pa.Schema:
    """The inverse of `schema_text`."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def reasons(rows: pa.Table, params: dict[str, Any]) -> pa.Array:
    """Why each row has no place: no id, no position, or one that is not on the sky."""
    ra, dec = (floats(rows[params[name]]) for name in ("ra", "dec"))
    told = [
        f"{params['id']} is null",
        f"{params['ra']} or {params['dec']} is missing",
        f"{params['ra']}, {params['dec']} are not on the sky (degrees, -90 to 90)",
    ]
    code: NDArray[np.int8] = np.full(len(rows), 2, np.int8)
    code[np.isnan(ra) | np.isnan(dec)] = 1
    code[~rows[params["id"]].is_valid().to_numpy()] = 0
    return pa.DictionaryArray.from_arrays(pa.array(code), pa.array(told)).cast(pa.string())


def import_step(
    dataset: str, batches: Sequence[str], schema: str, id_column: str, ra: str, dec: str, margin_arcsec: float
) -> Step:
    """The step that cuts staged batches into cells.

    Parameters
    ----------
    dataset : str
        ``own.<name>``.
    batches : sequence of str
        Ids of the staged batches that the dataset consists of.
    schema : str
        Of the tables, from `schema_text`.
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
        params={"id": id_column, "ra": ra, "dec": dec, "schema": schema},
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
