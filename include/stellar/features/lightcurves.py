"""Step `features.lightcurves`: what a light curve says, as numbers with errors; for any survey's curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.features.lightcurve_columns import extractor, lightcurve_schema
from stellar.features.objects import ASSOCIATIONS, associations_input, object_ids
from stellar.features.periods import fit_fourier, resolve_multiple, strongest_peak
from stellar.features.ragged import Ragged, ragged
from stellar.features.variability import Curve, clean, excursions, flicker, folded_minima, fourier_shape

VERSION = 1
DEFAULTS: dict[str, Any] = {
    "kind": "flux",  # or "mag"
    "columns": {"time": "time_btjd", "value": "flux", "error": "flux_err", "quality": "quality"},
    # Default bit masks of lightkurve 2.5.1 (TessQualityFlags, KeplerQualityFlags), by the start of `mission`
    "quality_bits": {"tess": 17087, "kepler": 1130799, "k2": 1130799},
    "carry": ["ra", "dec", "epoch_yr", "ticid", "sector", "tmag"],
    "min_points": 50,
    "detrend_degree": 2,
    "dense_cadence_d": 0.1,  # closer points than this are space photometry; 0 for ground-based curves
    "fmin_per_day": None,
    "fmax_per_day": 50.0,
    "samples_per_peak": 5,
}
MAGNITUDES: dict[str, Any] = {
    "kind": "mag",
    "columns": {"time": "time_d", "value": "mag", "error": "mag_err"},
    "carry": [],
    "min_points": 20,
    "detrend_degree": 0,
    "dense_cadence_d": 0.0,
    "fmax_per_day": 20.0,
    "samples_per_peak": 4,
}


def curve_features(curve: Curve, settings: Mapping[str, Any]) -> dict[str, float]:
    """All of `lightcurve_columns.FEATURES` of one clean curve; what cannot be measured is NaN."""
    extract = extractor()
    values = extract(curve.time, curve.flux, curve.error, sorted=True, check=False, fill_value=float("nan"))
    found = dict(zip(extract.names, values.tolist(), strict=True))
    span = float(curve.time[-1] - curve.time[0])
    fmax = settings["fmax_per_day"]
    if curve.dense:
        fmax = min(fmax, 0.5 / curve.cadence_d)  # beyond Nyquist an even cadence only shows mirror images
    peak = strongest_peak(
        curve.time,
        curve.flux,
        curve.error,
        fmax=fmax,
        fmin=settings["fmin_per_day"],
        samples_per_peak=settings["samples_per_peak"],
    )
    period = 1 / peak.frequency
    period_err = peak.frequency_err * period**2
    # folded less than twice and a half, a curve is compared with nothing but itself
    multiple, ratio = resolve_multiple(curve.time, curve.flux, curve.error, period, longest=span / 2.5)
    at_peak = fit_fourier(curve.time, curve.flux, curve.error, period)
    whole = at_peak if multiple == 1 else fit_fourier(curve.time, curve.flux, curve.error, period * multiple)
    noise = curve.noise
    return found | {
        "n_points": float(len(curve.time)),
        "span_d": span,
        "cadence_d": curve.cadence_d,
        "noise": noise,
        "mean_error": float(np.median(curve.error)),
        "amplitude_snr": found["inter_percentile_range_2"] / noise if noise > 0 else float("nan"),
        "trend": curve.trend,
        "flicker_8h": flicker(curve),
        "period_ls_d": period,
        "period_ls_err_d": period_err,
        "period_d": period * multiple,
        "period_err_d": period_err * multiple,
        "period_multiple": float(multiple),
        "fold_ratio": ratio,
        "ls_power": peak.power,
        "ls_log10_fap": peak.log10_fap,
        "ls_second_power": peak.second_power,
        "fourier_explained": whole.explained,
        **fourier_shape(at_peak),
        **folded_minima(curve, period * multiple),
        **excursions(curve, whole.model if whole.explained > 0.5 else None),
    }


def _bits(missions: list[str | None], quality_bits: Mapping[str, int]) -> list[int]:
    """Quality bits to refuse for each row's mission."""
    known = {
        name: next((bits for start, bits in quality_bits.items() if (name or "").lower().startswith(start)), 0)
        for name in set(missions)
    }
    return [known[name] for name in missions]


def lightcurve_features(
    table: pa.Table, objects: pa.ChunkedArray, params: Mapping[str, Any] | None = None
) -> tuple[pa.Table, dict[str, int], list[str | None]]:
    """Features of a table of light curves.

    Parameters
    ----------
    table : pa.Table
        `lc_id`, the carried columns, and lists named by `params["columns"]`.
    objects : pa.ChunkedArray
        Object of each row, null where there is none.
    margin_arcsec : float
        How far a curve's object may stand from it (`Profile.chain_arcsec`).
    params : mapping, optional
        On top of `DEFAULTS`.

    Returns
    -------
    features : pa.Table
        One row for each curve that could be used, in the input's order.
    filtered : dict
        Rows left out by rule.
    reasons : list of str or None
        Reason for quarantine per input row.
    """
    settings = {**DEFAULTS, **(params or {})}
    names, kind = settings["columns"], settings["kind"]
    lists = {role: ragged(table, names[role], np.float64) for role in ("time", "value", "error")}
    quality = ragged(table, names["quality"], np.int64) if "quality" in names else None
    missions = table.column("mission").to_pylist() if "mission" in table.column_names else [None] * table.num_rows
    bits = _bits(missions, settings["quality_bits"])
    reasons = malformed({**lists, **({"quality": quality} if quality is not None else {})}, objects)
    filtered: dict[str, int] = {}
    rows, found = [], []
    for row in range(table.num_rows):
        if reasons[row] is not None:
            continue
        time, value, error = (lists[role][row] for role in ("time", "value", "error"))
        flags = None if quality is None else quality[row]
        curve = clean(time, value, error, flags, kind=kind, bits=bits[row], settings=settings)
        if isinstance(curve, str):
            filtered[curve] = filtered.get(curve, 0) + 1
            continue
        features = curve_features(curve, settings)
        if kind == "mag":
            features["mag_median"] = float(np.nanmedian(value))
        rows.append(row)
        found.append(features)
    schema = lightcurve_schema(settings["carry"], magnitudes=kind == "mag")
    return _table(table, objects, rows, found, schema), filtered, reasons


def malformed(lists: Mapping[str, Ragged], objects: pa.ChunkedArray) -> list[str | None]:
    """Reason why each row is no light curve of an object, None where it is."""
    lengths = np.stack([column.lengths for column in lists.values()])
    reasons: list[str | None] = []
    for row, object_id in enumerate(objects.to_pylist()):
        if (lengths[:, row] != lengths[0, row]).any():
            sizes = ", ".join(f"{name} {size}" for name, size in zip(lists, lengths[:, row], strict=True))
            reasons.append(f"arrays of different length: {sizes}")
        else:
            reasons.append(None if object_id is not None else "no object claims this light curve")
    return reasons


def _table(
    table: pa.Table, objects: pa.ChunkedArray, rows: list[int], found: list[dict[str, float]], schema: pa.Schema
) -> pa.Table:
    take = pa.array(rows, pa.int64())
    arrays = []
    for one in schema:
        if one.name == "object_id":
            arrays.append(objects.take(take))
        elif one.name in table.column_names:
            arrays.append(table.column(one.name).take(take).cast(one.type))
        else:
            values = np.array([features[one.name] for features in found], dtype=np.float64)
            values[~np.isfinite(values)] = np.nan
            arrays.append(pa.array(values, from_pandas=True).cast(one.type))  # NaN (not measurable) becomes null
    return pa.table(arrays, schema=schema)


def run_lightcurves(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Run `lightcurve_features` on one partition."""
    if inputs["lightcurves"].absent:
        empty = lightcurve_schema(params["carry"], magnitudes=params["kind"] == "mag").empty_table()
        return StepResult(empty, Accounting(0, 0))
    rows = inputs["lightcurves"].rows
    ids = rows.column("lc_id")
    # curves without a position are objects of their own
    objects = object_ids(ids, params["survey"], inputs["associations"]) if "associations" in inputs else ids
    table, filtered, reasons = lightcurve_features(rows, objects, {k: v for k, v in params.items() if k in DEFAULTS})
    refused = [row for row, reason in enumerate(reasons) if reason is not None]
    quarantine = rows.take(pa.array(refused, pa.int64())).append_column(
        "reason", pa.array([reasons[row] for row in refused], pa.string())
    )
    accounting = Accounting(rows.num_rows, table.num_rows, filtered=filtered, quarantined=len(refused))
    return StepResult(table, accounting, quarantine)


def lightcurves_step(
    dataset: str = "features.lightcurves",
    source: str = "curated.tess_lightcurves",
    *,
    survey: str = "tess_lightcurves",
    associations: str | None = ASSOCIATIONS,
    margin_arcsec: float = 240.0,
    params: Mapping[str, Any] | None = None,
) -> Step:
    """Step that makes `dataset` from one survey's light curves.

    Parameters
    ----------
    dataset, source : str
    survey : str
        Name of the survey in the associations.
    associations : str or None
        None for curves without positions (`features.asas_lightcurves`): a plain dataset, each curve its own object.
    margin_arcsec : float
        How far a curve's object may stand from it (`Profile.chain_arcsec`).
    params : mapping, optional
        On top of `DEFAULTS`; `MAGNITUDES` is what ground-based magnitudes need.
    """
    settings = {**DEFAULTS, **(params or {})}
    columns = ("lc_id", "mission", *settings["carry"], *settings["columns"].values(), "batch_id")
    inputs = {"lightcurves": Input(source, columns=columns, optional=True)}
    if associations is not None:
        inputs["associations"] = associations_input(margin_arcsec, associations)
    return Step(
        dataset=dataset,
        name="extract_lightcurve_features",
        version=VERSION,
        inputs=inputs,
        params={**settings, "survey": survey},
        run=run_lightcurves,
        id_column="lc_id",
        layout="plain" if associations is None else "inherit",
        primary="lightcurves",
        quarantine=f"quarantine.{dataset.partition('.')[2]}",
        description="Statistics, period, shape, eclipses and flares of each light curve, with errors",
    )
