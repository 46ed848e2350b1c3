"""Readers of light curves: Kepler, K2 and TESS FITS files, and text curves; one row a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.surveys.readers.fits import card, native, opened
from stellar.surveys.readers.members import Member

# BKJD counts from BJD 2454833, BTJD from 2457000 (Kepler and TESS archive manuals).
_BKJD_TO_BTJD = 2454833.0 - 2457000.0
# In this order. The quick-look pipeline (Huang et al. 2020) gives no PDCSAP; its own high-passed fluxes are no choice,
# because their splines take whatever is slower than a third of a day out with the drifts.
_FLUXES = ("PDCSAP_FLUX", "SYS_RM_FLUX", "SAP_FLUX", "FLUX")
_ERRORS = ("KSPSAP_FLUX_ERR", "DET_FLUX_ERR")  # where a flux has no error of its own: the quick-look pipeline's
_MISSIONS = {"TESS": ("tic", "s", "SECTOR"), "Kepler": ("kic", "q", "QUARTER"), "K2": ("epic", "c", "CAMPAIGN")}


def read_space_lightcurve(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """One Kepler, K2 or TESS light-curve file: target, position and the lists time_btjd, flux, flux_err, quality.

    Flux is PDCSAP where the file has it (SPOC, Kepler), else that of the quick-look pipeline without its systematics
    (`SYS_RM_FLUX`, from sector 56), else SAP. All cadences stay, gaps as NaN. Kepler and K2 give proper motion in
    arcsec/yr, TESS in mas/yr; here it is mas/yr.
    """
    with opened(member, options) as hdus:
        about, table = hdus[0].header, hdus[1] if len(hdus) > 1 else None
        mission = card(about, "MISSION") or card(about, "TELESCOP")
        if mission not in _MISSIONS or "TIME" not in getattr(getattr(table, "columns", None), "names", ()):
            raise InputError(f"{member.name}: MISSION is {mission!r}: not a Kepler, K2 or TESS light curve")
        prefix, letter, season_card = _MISSIONS[mission]
        names, data = {c.upper(): c for c in table.columns.names}, table.data
        flux = next((c for c in _FLUXES if c in names), None)
        quality = next((c for c in ("QUALITY", "SAP_QUALITY") if c in names), None)
        if flux is None:
            raise InputError(f"{member.name}: none of {', '.join(_FLUXES)} among {sorted(names)}")
        error = next((c for c in (f"{flux}_ERR", *_ERRORS) if c in names), None)
        time = native(data[names["TIME"]], np.float64) + (0.0 if mission == "TESS" else _BKJD_TO_BTJD)
        lists = {
            "time": pa.array([time], pa.list_(pa.float64())),
            "flux": _list(data[names[flux]], np.float32),
            "flux_err": _list(data[names[error]], np.float32) if error else None,
            "quality": _list(data[names[quality]], np.int32) if quality else None,
        }
        target, season = card(about, "TICID", "KEPLERID"), card(about, season_card)
        if target is None:
            raise InputError(f"{member.name}: no TICID or KEPLERID in the first header")
        scale = 1.0 if mission == "TESS" else 1000.0
        pm = {name: card(about, name.upper()) for name in ("pmra", "pmdec")}
        row = {
            "target_key": f"{prefix}-{target}",
            "target_id": int(target),
            "season": season,
            "lc_name": f"{prefix}-{target}-{letter}{season if season is not None else 'x'}",
            "mission": mission,
            "obsmode": card(about, "OBSMODE"),
            "ra": card(about, "RA_OBJ"),
            "dec": card(about, "DEC_OBJ"),
            **{name: None if value is None else float(value) * scale for name, value in pm.items()},
            "tmag": card(about, "TESSMAG"),
            "kepmag": card(about, "KEPMAG"),
            "teff": card(about, "TEFF"),
            "logg": card(about, "LOGG"),
            "cadence_s": _cadence(time),
            "flux_column": flux,
        }
    columns = {name: pa.array([value]) for name, value in row.items()}
    return pa.table(columns | {name: values for name, values in lists.items() if values is not None})


def _list(values: Any, dtype: type) -> pa.Array:
    array = native(values, dtype)
    return pa.array([array], pa.list_(pa.int32() if array.dtype.kind == "i" else pa.float32()))


def _cadence(time: np.ndarray) -> float | None:
    steps = np.diff(time[np.isfinite(time)])
    return float(np.round(np.median(steps) * 86400.0, 1)) if len(steps) else None


def read_curve(member: Member, options: Mapping[str, Any]) -> pa.Table:
    """One text light curve a file: `curve_id` from the file's name, a list per column.

    Parameters
    ----------
    options
        `names`: the columns in order; `delimiter`: white space unless given; `constant`: columns that hold one number
        for the whole curve; `missing`: values that mean no measurement, NaN in the lists.
    """
    names, delimiter = list(options["names"]), options.get("delimiter")
    rows = []
    for number, line in enumerate(member.data.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = line.split(delimiter)
        if len(fields) != len(names):
            raise InputError(f"{member.name}: row {number}: {len(fields)} fields instead of {len(names)}")
        try:
            rows.append([float(field) for field in fields])
        except ValueError as fault:
            raise InputError(f"{member.name}: row {number}: {fault}") from None
    if not rows:
        raise InputError(f"{member.name}: there is no measurement in it")
    values = np.asarray(rows, np.float64)
    missing = np.isin(values, options.get("missing", []))
    constant = set(options.get("constant", []))
    columns: dict[str, pa.Array] = {"curve_id": pa.array([PurePosixPath(member.name).stem])}
    for i, name in enumerate(names):
        if name in constant:
            columns[name] = pa.array([float(np.median(values[:, i]))])
        else:
            columns[name] = pa.array([np.where(missing[:, i], np.nan, values[:, i])], pa.list_(pa.float64()))
    return pa.table(columns)
