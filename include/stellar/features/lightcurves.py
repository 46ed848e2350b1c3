"""Step `features.lightcurves`: what a light curve says, as numbers with errors; for any survey's curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.features.lightcurve_columns import lightcurve_schema
from stellar.features.measures import curves_features
from stellar.features.objects import ASSOCIATIONS, associations_input, object_ids
from stellar.features.ragged import Ragged, ragged
from stellar.features.segments import SEGMENT, SEGMENT_IDS, in_segments
from stellar.features.timescales import middle
from stellar.features.variability import Curve, clean

VERSION = 6
DEFAULTS: dict[str, Any] = {
    "kind": "flux",  # or "mag"
    "columns": {"time": "time_btjd", "value": "flux", "error": "flux_err", "quality": "quality"},
    # Default bit masks of lightkurve 2.5.1 (TessQualityFlags, KeplerQualityFlags), by the start of `mission`
    "quality_bits": {"tess": 17087, "kepler": 1130799, "k2": 1130799},
    "carry": ["ra", "dec", "epoch_yr", "ticid", "sector", "tmag"],
    "min_points": 50,
    "stitch": False,  # rows of one object and mission are one curve of several segments
    "detrend_degree": 2,
    "detrend_window_d": None,  # days between knots of a robust spline, in the place of the polynomial
    "clip_brighter": None,  # standard deviations beyond which lone points go; None for no limit
    "clip_fainter": None,
    "dense_cadence_d": 0.1,  # closer points than this are space photometry; 0 for ground-based curves
    "fmin_per_day": None,
    "fmax_per_day": 50.0,
    "samples_per_peak": 5,
    "boxes": True,  # look for eclipses, too
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


def _bits(missions: list[str | None], quality_bits: Mapping[str, int]) -> list[int]:
    """Quality bits to refuse for each row's mission."""
    known = {
        name: next((bits for start, bits in quality_bits.items() if (name or "").lower().startswith(start)), 0)
        for name in set(missions)
    }
    return [known[name] for name in missions]


def lightcurve_features(
    table: pa.Table, objects: pa.ChunkedArray, params: Mapping[str, Any] | None = None, *, threads: int = 1
) -> tuple[pa.Table, dict[str, int], list[str | None]]:
    """Features of a table of light curves.

    Parameters
    ----------
    table : pa.Table
        `lc_id`, the carried columns, and lists named by `params["columns"]`; where there is a list `segment`, its
        integers say which points are of one sector, quarter or night (null for a curve of one).
    objects : pa.ChunkedArray
        Object of each row, null where there is none.
    params : mapping, optional
        On top of `DEFAULTS`.
    threads : int
        The result does not depend on it.

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
    segments = ragged(table, SEGMENT, np.int64) if SEGMENT in table.column_names else None
    reasons = malformed({**lists, **({"quality": quality} if quality is not None else {})}, objects)
    if segments is not None:
        for row in np.flatnonzero((segments.lengths > 0) & (segments.lengths != lists["time"].lengths)):
            reasons[row] = reasons[row] or "arrays of different length: segment and time"
    whole = [row for row, reason in enumerate(reasons) if reason is None]

    def cleaned(row: int) -> Curve | str:
        time, value, error = (lists[role][row] for role in ("time", "value", "error"))
        flags = None if quality is None else quality[row]
        of = None if segments is None or not segments.lengths[row] else segments[row]
        return clean(time, value, error, flags, kind=kind, bits=bits[row], settings=settings, segment=of)

    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            made = list(pool.map(cleaned, whole))
    else:
        made = [cleaned(row) for row in whole]
    filtered = Counter(curve for curve in made if isinstance(curve, str))
    usable = [(row, curve) for row, curve in zip(whole, made, strict=True) if not isinstance(curve, str)]
    rows = [row for row, _ in usable]
    found = curves_features([curve for _, curve in usable], settings, threads)
    if kind == "mag":
        for one, row in zip(found, rows, strict=True):
            one["mag_median"] = float(middle(lists["value"][row]))
    schema = lightcurve_schema(settings["carry"], magnitudes=kind == "mag", segments=segments is not None)
    if segments is not None:
        for one, (_, curve) in zip(found, usable, strict=True):
            one |= {"segment_how": list(curve.how) or None, "segment_moved": list(curve.moved) or None}
            one[SEGMENT_IDS] = None  # of a table whose rows have several segments of themselves
    return _table(table, objects, rows, found, schema), dict(filtered), reasons


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
        elif pa.types.is_list(one.type):
            arrays.append(pa.array([features[one.name] for features in found], one.type))
        else:
            values = np.array([features[one.name] for features in found], dtype=np.float64)
            values[~np.isfinite(values)] = np.nan
            arrays.append(pa.array(values, from_pandas=True).cast(one.type))  # NaN (not measurable) becomes null
    return pa.table(arrays, schema=schema)


def run_lightcurves(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Run `lightcurve_features` on one partition."""
    if inputs["lightcurves"].absent:
        schema = lightcurve_schema(params["carry"], magnitudes=params["kind"] == "mag", segments=params["stitch"])
        return StepResult(schema.empty_table(), Accounting(0, 0))
    rows = inputs["lightcurves"].rows
    ids = rows.column("lc_id")
    # curves without a position are objects of their own
    objects = object_ids(ids, params["survey"], inputs["associations"]) if "associations" in inputs else ids
    settings = {k: v for k, v in params.items() if k in DEFAULTS}
    if not params["stitch"]:
        table, filtered, reasons = lightcurve_features(rows, objects, settings)
        return StepResult.by_reason(rows, table, filtered, reasons)
    kinds = {role: np.int64 if role == "quality" else np.float64 for role in params["columns"]}
    reasons = malformed({role: ragged(rows, name, kinds[role]) for role, name in params["columns"].items()}, objects)
    whole = pa.array([row for row, reason in enumerate(reasons) if reason is None], pa.int64())
    curves, owners = in_segments(rows.take(whole), objects.take(whole), params["columns"])
    table, filtered, _ = lightcurve_features(curves, owners, settings)
    result = StepResult.by_reason(rows, table, filtered, reasons)
    return replace(result, accounting=replace(result.accounting, merged=len(whole) - len(curves)))


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


def compile_kernels() -> None:
    """Have everything compiled and kept, by a made curve of each kind; the installation does it, so no task waits."""
    time = np.arange(0.0, 20.0, 0.02)
    value = 1 - 0.3 * (np.mod(time / 1.7, 1) < 0.05) - 0.1 * (np.mod(time / 1.7 + 0.5, 1) < 0.05)
    value += 0.001 * np.random.default_rng(0).normal(size=len(time))
    error = np.full(len(time), 0.001)
    space = pa.table(
        {
            "lc_id": ["made"],
            "mission": ["TESS"],
            "time_btjd": pa.array([time]),
            "flux": pa.array([value], pa.list_(pa.float32())),
            "flux_err": pa.array([error], pa.list_(pa.float32())),
            "quality": pa.array([np.zeros(len(time), np.int32)]),
        }
    )
    ground = pa.table(
        {"lc_id": ["made"], "time_d": pa.array([time]), "mag": pa.array([12 - value]), "mag_err": pa.array([error])}
    )
    lightcurve_features(space, space["lc_id"], {"carry": []})
    lightcurve_features(ground, ground["lc_id"], MAGNITUDES)


if __name__ == "__main__":
    compile_kernels()
