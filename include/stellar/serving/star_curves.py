"""Spectra and light curves of one star, as arrays that a page can draw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .star_rows import Row, Rows, plain
from .stars import find

if TYPE_CHECKING:
    import sqlalchemy as sa

    from stellar.settings import Settings

MOST_SPECTRA = 6
MOST_CURVES = 12
#: Points of a light curve that are sent: as many as a wide screen has pixels several times over.
MOST_POINTS = 20_000
GRID_KEY = b"stellar.grid"
SEGMENT_IDS = "segment_lc_id"  # of features of curves that were put together (`stellar.features.segments`)


def spectra(settings: Settings, engine: sa.Engine, wanted: str) -> list[dict[str, Any]]:
    """Prepared spectra of a star.

    Returns
    -------
    list of dict
        `dataset, id, wavelength_angstrom` (vacuum, rest frame), `flux` (over the continuum), `error` (1 / sqrt(ivar)),
        both null where masked, `sky` (whether the air spoils the bin), and what is known of the whole spectrum.
    """
    rows = Rows(settings, engine)
    object_id, sources = find(rows, wanted)
    found: list[dict[str, Any]] = []
    for dataset in rows.layer("features"):
        schema = rows.schema(dataset)
        if not {"flux", "ivar", "mask"} <= set(schema.names) or GRID_KEY not in (schema.metadata or {}):
            continue
        wavelength = _wavelengths(json.loads((schema.metadata or {})[GRID_KEY]))
        for row in rows.of_star(dataset, object_id, sources)[: MOST_SPECTRA - len(found)]:
            found.append({"dataset": dataset, "id": str(row[rows.id_column(dataset) or "object_id"]),
                          "wavelength_angstrom": _rounded(wavelength, 7), **_spectrum(row)})  # fmt: skip
    return found


def light_curves(settings: Settings, engine: sa.Engine, wanted: str) -> list[dict[str, Any]]:
    """Light curves of a star, each with the periods that are known of it.

    Returns
    -------
    list of dict
        `dataset, id, band, time_d, time_unit, value, error, kind` (`flux`, over its median, or `mag`), `of` (points in
        all) and `periods` (`from, period_d, error_d`).
    """
    rows = Rows(settings, engine)
    object_id, sources = find(rows, wanted)
    periods = _periods(rows, object_id, sources)
    found: list[dict[str, Any]] = []
    for dataset in sorted({f"curated.{one['survey']}" for one in sources} & set(rows.datasets)):
        kinds = curve_columns(rows.schema(dataset))
        for row in rows.of_star(dataset, object_id, sources) if kinds else []:
            name = str(row[rows.id_column(dataset) or "object_id"])
            for band, (time, value, error) in kinds.items():
                curve = _curve(row, time, value, error)
                if curve is not None and len(found) < MOST_CURVES:
                    own = [one for one, curves in periods if curves is None or name in curves]
                    unit = (rows.schema(dataset).field(time).metadata or {}).get(b"description", b"").decode()
                    found.append({"dataset": dataset, "id": name, "band": band, "time_unit": unit, **curve,
                                  "periods": own})  # fmt: skip
    return found


def curve_columns(schema: pa.Schema) -> dict[str, tuple[str, str, str | None]]:
    """Columns of lists that make light curves: band -> (time, value, error).

    One of the names `time…` with `flux` or `mag`, or `mjd_<band>` with `mag_<band>` for each band.
    """
    lists = [one.name for one in schema if pa.types.is_list(one.type)]
    found: dict[str, tuple[str, str, str | None]] = {}
    for time in lists:
        if time.startswith("time"):
            for value in ("flux", "mag"):
                if value in lists:
                    error = f"{value}_err" if f"{value}_err" in lists else None
                    found.setdefault("", (time, value, error))
        elif time.startswith("mjd_") and f"mag_{time[4:]}" in lists:
            band = time[4:]
            found[band] = (time, f"mag_{band}", f"err_{band}" if f"err_{band}" in lists else None)
    return found


def _wavelengths(grid: dict[str, Any]) -> NDArray[np.float64]:
    """Middles of the bins of a grid, vacuum Angstrom, as `features.rebin.Grid` counts them."""
    bins = np.arange(int(grid["size"])) + 0.5
    found: NDArray[np.float64] = 10 ** (np.log10(grid["first_angstrom"]) + grid["step_dex"] * bins)
    return found


def _spectrum(row: Row) -> dict[str, Any]:
    flux, ivar = (np.array(row[name], np.float64) for name in ("flux", "ivar"))
    good = ~np.array(row["mask"], bool) & np.isfinite(flux) & (ivar > 0)
    with np.errstate(divide="ignore"):
        error = np.where(good, 1 / np.sqrt(np.where(good, ivar, 1.0)), np.nan)
    whole = ("sn_median", "good_fraction", "z_applied", "is_rest_frame", "rv_km_s", "rv_err_km_s", "rv_template")
    return {
        "flux": _rounded(np.where(good, flux, np.nan), 5),
        "error": _rounded(error, 3),
        "sky": [bool(one) for one in row.get("sky") or []],
        **{name: plain(row[name]) for name in whole if name in row},
    }


def _curve(row: Row, time: str, value: str, error: str | None) -> dict[str, Any] | None:
    if row[time] is None or row[value] is None:
        return None
    t, y = (np.array(row[name], np.float64) for name in (time, value))
    e = np.array(row[error], np.float64) if error and row[error] is not None else np.full(len(y), np.nan)
    good = np.isfinite(t) & np.isfinite(y)
    if isinstance(row.get("quality"), list):  # Kepler's and TESS's flags: 0 is good
        good &= np.array(row["quality"]) == 0
    if not good.any():
        return None
    t, y, e = t[good], y[good], e[good]
    if value == "flux" and (middle := np.median(y)) > 0:
        y, e = y / middle, e / middle
    step = -(-len(t) // MOST_POINTS)
    return {
        "kind": "flux" if value == "flux" else "mag",
        "time_d": _rounded(t[::step], 11),
        "value": _rounded(y[::step], 7),
        "error": _rounded(e[::step], 3),
        "of": len(t),
    }


def _periods(rows: Rows, object_id: str, sources: list[Row]) -> list[tuple[dict[str, Any], list[str] | None]]:
    """Periods from our features, with the light curves that each was found in, and from the surveys' tables.

    Those of the tables are of the star, with None.
    """
    found: list[tuple[dict[str, Any], list[str] | None]] = []
    tables = rows.layer("features") + sorted({f"curated.{one['survey']}" for one in sources} & set(rows.datasets))
    for dataset in tables:
        names = set(rows.schema(dataset).names)
        wanted = ("period_d", "period_err_d", "log_period_d", "lc_id", SEGMENT_IDS)
        kept = [name for name in wanted if name in names]
        is_ours = dataset.startswith("features.")
        if not {"period_d", "log_period_d"} & names or (is_ours and "lc_id" not in names):
            continue
        found_rows = rows.of_star(dataset, object_id, sources, kept)
        if is_ours and {SEGMENT_IDS, "object_id"} <= names:  # no survey has the id of several curves together
            several = rows.by_id(dataset, [object_id], kept, id_column="object_id")
            found_rows = list({row["lc_id"]: row for row in [*found_rows, *several]}.values())
        for row in found_rows:
            period = row.get("period_d")
            if period is None and row.get("log_period_d") is not None:
                period = 10.0 ** row["log_period_d"]
            if period is not None and np.isfinite(period) and period > 0:
                of = row.get("lc_id") if is_ours else None
                told = {"from": dataset, "period_d": float(period), "error_d": plain(row.get("period_err_d")), "of": of}
                found.append((told, (row.get(SEGMENT_IDS) or [str(of)]) if is_ours else None))
    return found


def _rounded(values: NDArray[np.float64], digits: int) -> list[float | None]:
    """Values with so many digits; null for NaN."""
    return [float(f"{one:.{digits}g}") if one == one and abs(one) != np.inf else None for one in values.tolist()]
