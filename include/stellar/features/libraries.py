"""Curated libraries of template spectra in the columns of a survey's spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from stellar.features.ragged import ragged

PLACE = ("ra", "dec", "epoch_yr")
# What a curated library may have of wavelengths and errors: pixel by pixel, or by rule, or not at all.
ARRAYS = ("loglam", "loglam0", "dloglam", "flux", "flux_error", "ivar")


def as_spectra(templates: pa.Table, id_column: str, assumed_sn: float) -> pa.Table:
    """Curated templates in the columns that `spectra_features` reads.

    Wavelengths are the list `loglam`, else `loglam0` + i `dloglam`; errors are `ivar`, else `flux_error`, else the
    template's median flux over `assumed_sn`.
    """
    flux = ragged(templates, "flux", np.float64)
    there = set(templates.column_names)
    errors = ragged(templates, "flux_error", np.float64) if "flux_error" in there else None
    waves, weights, masks = [], [], []
    for row in range(len(flux)):
        value = flux[row]
        if "loglam" not in there:
            first, step = (templates[name][row].as_py() for name in ("loglam0", "dloglam"))
            waves.append((first if first is not None else np.nan) + (step or np.nan) * np.arange(len(value)))
        if "ivar" not in there:
            typical = np.nanmedian(np.abs(value)) if np.isfinite(value).any() else np.nan
            error = errors[row] if errors is not None else np.full(len(value), typical / assumed_sn)
            known = np.isfinite(error) & (error > 0)
            weights.append(np.divide(1.0, error**2, out=np.zeros(len(error)), where=known))
        masks.append(np.zeros(len(value), np.int32))
    floats, n = pa.list_(pa.float64()), templates.num_rows
    columns: dict[str, Any] = {
        "spec_id": templates[id_column].cast(pa.string()),
        "class": pa.array(["STAR"] * n, pa.string()),
        "z": pa.array(np.zeros(n)),
        "zerr": pa.nulls(n, pa.float64()),
        "loglam": templates["loglam"] if "loglam" in there else pa.array(waves, floats),
        "flux": templates["flux"],
        "ivar": templates["ivar"] if "ivar" in there else pa.array(weights, floats),
        "and_mask": pa.array(masks, pa.list_(pa.int32())),
    }
    return pa.table(columns | {name: pa.nulls(n, pa.float64()) for name in PLACE})
