"""SDSS imaging of the halo field: the `PhotoObj` table, with secondary detections, sentinels and flags."""

from __future__ import annotations

import numpy as np

from stellar.archive.fields import galactic
from stellar.archive.population import Sky
from stellar.sky.motion import propagate

BANDS = "ugriz"
SENTINEL = -9999.0
# Runs that imaged the field: run number and MJD of the night (1999 to 2008).
RUNS = ((1739, 51464), (2662, 52197), (4829, 53270), (7773, 54763))
LIMIT = {"u": 22.0, "g": 22.7, "r": 22.3, "i": 21.7, "z": 20.5}  # 5 sigma
SKY_ERROR_LIMIT = {"u": 1.2, "g": 0.9, "r": 0.9, "i": 0.9, "z": 1.2}
# A/E(B-V), Schlafly & Finkbeiner (2011), as in DR13 and later.
EXTINCTION_PER_EBV = {"u": 4.239, "g": 3.303, "r": 2.285, "i": 1.698, "z": 1.263}
FLAG_SATURATED, FLAG_BLENDED, FLAG_CHILD, FLAG_EDGE = 1 << 18, 1 << 3, 1 << 4, 1 << 2
FLAG_BINNED1, FLAG_INTERP_CENTER, FLAG_NOPROFILE, FLAG_STATIONARY = 1 << 28, 1 << 44, 1 << 7, 1 << 36


def object_ids(run: np.ndarray, camcol: np.ndarray, field: np.ndarray, obj: np.ndarray) -> np.ndarray:
    """ObjID from its parts (sky version 2, rerun 301), as on the SDSS page on identifiers."""
    run, camcol, field, obj = (np.asarray(v, dtype=np.int64) for v in (run, camcol, field, obj))
    return (2 << 59) | (301 << 48) | (run << 32) | (camcol << 29) | (field << 16) | obj


def mjd_to_year(mjd: np.ndarray) -> np.ndarray:
    """Julian year of a Modified Julian Date."""
    return 2000.0 + (mjd - 51544.5) / 365.25


def photoobj(sky: Sky, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of `PhotoObj`, sorted by objID, and for each its row in the sky."""
    imaged = np.flatnonzero((sky["field"] == "halo") & (sky["sdss_r"] < 22.4))
    again = imaged[rng.random(len(imaged)) < 0.08]
    star = np.concatenate([imaged, again])
    n, secondary = len(star), np.arange(len(star)) >= len(imaged)
    true = {key: value[star] for key, value in sky.items()}
    east = np.mod(true["ra"] + 180.0, 360.0) - 180.0
    strip = np.clip(((true["dec"] - 18.9) / 2.2 * 4).astype(int), 0, 3)
    which = np.where(secondary, (strip + 1) % 4, strip)
    run, mjd = np.array(RUNS)[which].T
    camcol = 1 + np.clip(((true["dec"] - 18.9) / 2.2 * 24).astype(int) % 6, 0, 5)
    frame = 100 + ((east + 2.0) / 0.15).astype(int)
    obj = _running(run * 1000000 + camcol * 100000 + frame)

    galaxy = true["kind"] == "GALAXY"
    ra_now, dec_now = propagate(true["ra"], true["dec"], true["pmra"], true["pmdec"], 2016.0, mjd_to_year(mjd))
    error = np.sqrt(0.045**2 + (0.06 * 10.0 ** (0.2 * (true["sdss_r"] - 20.5))) ** 2)  # arcsec, per coordinate
    shift = 0.02 * np.stack([np.sin(which), np.cos(which)])  # each run's own astrometric zero, arcsec
    dec = dec_now + (error * rng.normal(size=n) + shift[1]) / 3600.0
    ra = (ra_now + (error * rng.normal(size=n) + shift[0]) / 3600.0 / np.cos(np.radians(dec))) % 360.0
    galactic_lon, galactic_lat = galactic(ra, dec)

    bright = true["sdss_r"] < 14.2
    blended = rng.random(n) < 0.06
    edge = rng.random(n) < 0.01
    flags = FLAG_BINNED1 + FLAG_STATIONARY + np.where(bright, FLAG_SATURATED, 0) + np.where(blended, FLAG_CHILD, 0)
    flags = flags + np.where(edge, FLAG_EDGE, 0) + np.where(rng.random(n) < 0.02, FLAG_INTERP_CENTER, 0)
    type_ = np.where(galaxy, 3, 6)
    mistaken = rng.random(n) < np.clip((true["sdss_r"] - 20.8) * 0.1, 0.002, 0.2)
    columns: dict[str, np.ndarray] = {
        "objID": object_ids(run, camcol, frame, obj),
        "skyVersion": np.full(n, 2),
        "run": run,
        "rerun": np.full(n, 301),
        "camcol": camcol,
        "field": frame,
        "obj": obj,
        "mode": np.where(secondary, 2, 1),
        "type": np.where(mistaken, 9 - type_, type_),
        "clean": ((~bright) & (~edge) & (rng.random(n) > 0.03)).astype(int),
        "flags": flags,
        "ra": ra,
        "dec": dec,
        "raErr": error,
        "decErr": error,
        "mjd": mjd,
        "l": galactic_lon,
        "b": galactic_lat,
        "score": np.clip(0.85 + 0.08 * rng.normal(size=n), 0.3, 1.0),
        "specObjID": np.full(n, "0"),
    }
    # SFD's dust is the whole line of sight, whatever the star's distance, and 10% off.
    ebv = 0.22 * (1.0 + 0.1 * np.sin(5 * east + true["dec"])) / 3.1
    for band in BANDS:
        columns |= _measure(band, true, bright, blended, galaxy, rng)
        columns[f"extinction_{band}"] = EXTINCTION_PER_EBV[band] * ebv
    order = np.argsort(columns["objID"], kind="stable")
    return {key: value[order] for key, value in columns.items()}, star[order]


def _measure(
    band: str, true: Sky, bright: np.ndarray, blended: np.ndarray, galaxy: np.ndarray, rng: np.random.Generator
) -> dict:
    n = len(bright)
    mag = true[f"sdss_{band}"]
    error = np.sqrt(0.012**2 + (0.2 * 10.0 ** (0.4 * (mag - LIMIT[band]))) ** 2)
    # Asinh magnitudes stop rising below the sky's noise (Lupton et al. 1999).
    measured = mag - 2.5 * np.log10(np.maximum(1.0 + np.minimum(error, 1.0) * 0.92 * rng.normal(size=n), 0.1))
    measured = np.where(blended, measured - 0.08 * rng.exponential(1.0, n), measured)
    measured = np.where(bright, measured + 0.4 * rng.normal(size=n), measured)
    error = np.where(bright, np.minimum(error * 5.0, 0.1), error)
    ceiling = LIMIT[band] + 2.3
    measured, error = np.minimum(measured, ceiling + 0.3 * rng.normal(size=n)), np.minimum(error, SKY_ERROR_LIMIT[band])
    missing = rng.random(n) < np.where(band == "u", 0.01, 0.003) + 0.05 * (mag > ceiling)
    extended = np.where(galaxy, 0.5 + 0.3 * rng.random(n), 0.0)  # a PSF loses the light of a galaxy's wings
    psf = measured + extended
    model = measured + 0.012 * rng.normal(size=n)
    return {
        f"psfMag_{band}": np.where(missing, SENTINEL, psf),
        f"psfMagErr_{band}": np.where(missing, SENTINEL, error),
        f"modelMag_{band}": np.where(missing, SENTINEL, model),
        f"modelMagErr_{band}": np.where(missing, SENTINEL, 1.05 * error),
    }


def _running(group: np.ndarray) -> np.ndarray:
    """1, 2, 3, ... within each group, in the order of the rows."""
    order = np.argsort(group, kind="stable")
    first = np.r_[True, np.diff(group[order]) != 0]
    start = np.maximum.accumulate(np.where(first, np.arange(len(group)), 0))
    out = np.empty(len(group), dtype=np.int64)
    out[order] = np.arange(len(group)) - start + 1
    return out
