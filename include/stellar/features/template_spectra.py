"""Steps `features.template_spectra` and the like: libraries of typed template spectra, prepared as `features.spectra`.

A template is an object of its own, in its rest frame, without a position. So that a model which learns from templates
sees stars through the same preparation, the columns are those of `features.spectra` and the template's labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.errors import InputError
from stellar.features.libraries import ARRAYS, PLACE, as_spectra
from stellar.features.rebin import Grid
from stellar.features.spectra import DEFAULTS as SPECTRA
from stellar.features.spectra import spectra_features, spectra_schema
from stellar.lake.schema import field
from stellar.profile import Curated

VERSION = 1
DEFAULTS: dict[str, Any] = {
    **SPECTRA,
    "assumed_sn": 100.0,  # per pixel, of a library that publishes no errors
}
LABELS = (
    field("spectral_type", pa.string(), None, "src.spType", "Type of the template on its library's scale"),
    field("luminosity", pa.string(), None, "src.class.luminosity", "Luminosity class as its library gives it"),
    field("is_peculiar", pa.bool_(), None, None, "Emission, peculiar or variable; null where the library does not say"),
    field("feh_bin", pa.float64(), "dex", "phys.abund.Fe", "Metallicity that the template stands for"),
    field("teff_k", pa.float64(), "K", "phys.temperature.effective", "Mean temperature of the template's stars"),
    field("logg_dex", pa.float64(), "dex", "phys.gravity", "Mean gravity of the template's stars"),
    field("library", pa.string(), None, "meta.id", "Curated dataset of the template"),
)


def template_schema(grid: Grid) -> pa.Schema:
    """Columns of `features.spectra` without a position, and the labels."""
    whole = spectra_schema(grid)
    name = field("template_name", pa.string(), None, "meta.id;meta.main", "Name of the template; `spec_id` is the same")
    return pa.schema([name, *(one for one in whole if one.name not in PLACE), *LABELS], metadata=whole.metadata)


def template_features(
    templates: pa.Table, id_column: str, library: str, params: Mapping[str, Any] | None = None
) -> tuple[pa.Table, np.ndarray, list[str | None]]:
    """Features of a table of curated templates, and what became of each row, as `spectra_features` tells it.

    Parameters
    ----------
    templates : pa.Table
        A curated library: `id_column` (`template_name`), `flux`, those of `ARRAYS` and `LABELS` that it has.
    id_column, library : str
        The library's id column and name.
    params : mapping, optional
        On top of `DEFAULTS`.
    """
    settings = {**DEFAULTS, **(params or {})}
    spectra = as_spectra(templates, id_column, settings["assumed_sn"])
    own = {name: value for name, value in settings.items() if name in SPECTRA}
    found, filtered, reasons = spectra_features(spectra, spectra["spec_id"], own)
    place = pc.index_in(found["spec_id"], value_set=spectra["spec_id"].combine_chunks())
    columns = {name: found[name] for name in found.column_names if name not in PLACE}
    columns["template_name"] = found["spec_id"]
    columns["is_rest_frame"] = pa.array([True] * found.num_rows, pa.bool_())
    for one in LABELS:
        if one.name == "library":
            columns[one.name] = pa.array([library] * found.num_rows, pa.string())
        elif one.name in templates.column_names:
            columns[one.name] = templates[one.name].take(place).cast(one.type)
        else:
            columns[one.name] = pa.nulls(found.num_rows, one.type)
    if "flux_error" not in templates.column_names and "ivar" not in templates.column_names:
        columns["sn_median"] = pa.nulls(found.num_rows, pa.float32())  # an assumption is no measurement
    schema = template_schema(Grid(**settings["grid"]))
    return pa.table([columns[name] for name in schema.names], schema=schema), filtered, reasons


def run_templates(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Run `template_features` on one partition."""
    if inputs["templates"].absent:
        return StepResult(template_schema(Grid(**params["grid"])).empty_table(), Accounting(0, 0))
    rows = inputs["templates"].rows
    settings = {name: value for name, value in params.items() if name in DEFAULTS}
    table, filtered, reasons = template_features(rows, params["id_column"], params["library"], settings)
    return StepResult.by_reason(rows, table, {"too_few_good_bins": int(filtered.sum())}, reasons)


def templates_step(dataset: str, source: Curated, *, params: Mapping[str, Any] | None = None) -> Step:
    """Step that makes `dataset` from a curated library of templates without positions.

    Parameters
    ----------
    dataset : str
    source : Curated
        Config of the library; which of `ARRAYS` and `LABELS` it has decides what is read.
    params : mapping, optional
        On top of `DEFAULTS`.
    """
    if source.id != "template_name":
        raise InputError(f"{source.dataset}: the id of a library of templates must be template_name, not {source.id}")
    wanted = [*ARRAYS, *(one.name for one in LABELS if one.name != "library")]
    columns = (source.id, *(name for name in wanted if source.has(name)), "batch_id")
    return Step(
        dataset=dataset,
        name="prepare_templates",
        version=VERSION,
        inputs={"templates": Input(f"curated.{source.dataset}", columns=columns, optional=True)},
        params={**DEFAULTS, **(params or {}), "id_column": source.id, "library": source.dataset},
        run=run_templates,
        # the input's own id: buckets are dealt by it, and an input without it would be given whole to each of them
        id_column=source.id,
        layout="plain",
        primary="templates",
        quarantine=f"quarantine.{dataset.partition('.')[2]}",
        description="Template spectra on the grid of features.spectra, with their types",
    )
