"""TESS-SPOC light curves as MAST serves them: primary header, LIGHTCURVE table, APERTURE image.

The layout of the TESS Science Data Products Description Document, as `lightkurve.read` expects it. The columns of PSF
centroids and of the centroids' errors, which SPOC leaves empty for nearly all targets, are left out, which makes a file
a third smaller.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stellar.archive import tess
from stellar.archive.fits import image_bytes, primary_bytes, table_bytes
from stellar.sky.motion import propagate

BTJD_ZERO = datetime(2014, 12, 8, 12)  # JD 2457000
LIGHTCURVE = np.dtype(
    [
        ("TIME", ">f8"),
        ("TIMECORR", ">f4"),
        ("CADENCENO", ">i4"),
        ("SAP_FLUX", ">f4"),
        ("SAP_FLUX_ERR", ">f4"),
        ("SAP_BKG", ">f4"),
        ("SAP_BKG_ERR", ">f4"),
        ("PDCSAP_FLUX", ">f4"),
        ("PDCSAP_FLUX_ERR", ">f4"),
        ("QUALITY", ">i4"),
        ("MOM_CENTR1", ">f8"),
        ("MOM_CENTR2", ">f8"),
        ("POS_CORR1", ">f4"),
        ("POS_CORR2", ">f4"),
    ]
)
UNITS = (
    ("TIME", "BJD - 2457000, days"),
    ("TIMECORR", "d"),
    ("SAP_FLUX", "e-/s"),
    ("SAP_FLUX_ERR", "e-/s"),
    ("SAP_BKG", "e-/s"),
    ("SAP_BKG_ERR", "e-/s"),
    ("PDCSAP_FLUX", "e-/s"),
    ("PDCSAP_FLUX_ERR", "e-/s"),
    ("MOM_CENTR1", "pixel"),
    ("MOM_CENTR2", "pixel"),
    ("POS_CORR1", "pixels"),
    ("POS_CORR2", "pixels"),
)


class _Store:
    """The light curves of an archive, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        self.rows = pq.ParquetFile(folder / "tess_lightcurves.parquet").read().to_pydict()
        self.arrays = {
            name: np.load(folder / f"tess_{name}.npy", mmap_mode="r") for name in ("sap", "pdcsap", "quality")
        }
        self.index = {uri: row for row, uri in enumerate(self.rows["dataURL"])}
        names = (
            pq.ParquetFile(folder / "tess_observations.parquet").read(columns=["obs_id", "productFilename"]).to_pydict()
        )
        for key in ("obs_id", "productFilename"):
            self.index |= {name: row for row, name in enumerate(names[key])}


@lru_cache(maxsize=4)
def _open(folder: Path, built: float) -> _Store:
    return _Store(folder)


def lightcurve_fits(folder: Path, product: str) -> bytes:
    """The FITS file of one light curve; the same bytes each time.

    Parameters
    ----------
    product : its uri (`dataURL`), file name or `obs_id`.

    Raises
    ------
    KeyError
        When the archive has no such light curve.
    """
    folder = Path(folder)
    store = _open(folder, (folder / "archive.json").stat().st_mtime)
    row = store.index[product]
    entry = {key: values[row] for key, values in store.rows.items()}
    return _file(entry, *(store.arrays[name][row] for name in ("sap", "pdcsap", "quality")))


@lru_cache(maxsize=1)
def file_size() -> int:
    """Bytes of every file: all light curves are of the same length, and headers of the same number of cards."""
    entry = {
        "ticid": 1,
        "sector": 42,
        "camera": 1,
        "ccd": 1,
        "ra": 0.0,
        "dec": 0.0,
        "pmra": 0.0,
        "pmdec": 0.0,
        "tmag": 10.0,
        "teff": 5000.0,
        "logg": 4.4,
        "mh": 0.0,
        "radius": 1.0,
        "flux_err": 1.0,
        "background": 1.0,
        "crowdsap": 1.0,
        "column": 1.0,
        "row": 1.0,
    }
    blank = np.zeros(tess.N_CADENCES)
    return len(_file(entry, blank, blank, blank.astype(np.uint16)))


def _file(entry: dict, sap: np.ndarray, pdcsap: np.ndarray, quality: np.ndarray) -> bytes:
    table = _table(entry, sap, pdcsap, quality)
    start, stop = float(np.nanmin(table["TIME"])), float(np.nanmax(table["TIME"]))
    year = 2000.0 + (start + 2457000.0 - 2451545.0) / 365.25
    ra, dec = (float(v) for v in propagate(entry["ra"], entry["dec"], entry["pmra"], entry["pmdec"], 2000.0, year))
    lightcurve = table_bytes(table, "LIGHTCURVE", _lightcurve_cards(entry, start, stop, ra, dec), UNITS)
    aperture = np.ones((11, 11), dtype=">i4")
    aperture[4:7, 4:7] = 3
    pixels = [
        ("NPIXSAP", 9, "Number of pixels in optimal aperture"),
        ("NPIXMISS", 0, "Number of op. aperture pixels not collected"),
    ]
    image = image_bytes(aperture, "APERTURE", [*_target_cards(entry, ra, dec), *pixels])
    return _primary(entry, start, stop) + lightcurve + image


def _table(entry: dict, sap: np.ndarray, pdcsap: np.ndarray, quality: np.ndarray) -> np.ndarray:
    table = np.zeros(tess.N_CADENCES, dtype=LIGHTCURVE)
    sector = entry["sector"]
    time = tess.cadence_times(sector)
    correction = tess.barycentric_correction_d(np.array(entry["ra"]), np.array(entry["dec"]), time)[0]
    gap = tess.gap_mask(sector)
    table["TIME"] = np.where(gap, np.nan, time + correction)
    table["TIMECORR"] = correction
    table["CADENCENO"] = tess.SECTORS[sector].first_cadence + np.arange(tess.N_CADENCES)
    table["SAP_FLUX"], table["PDCSAP_FLUX"], table["QUALITY"] = sap, pdcsap, quality
    table["SAP_FLUX_ERR"] = np.where(np.isnan(sap), np.nan, entry["flux_err"] * entry["crowdsap"])
    table["PDCSAP_FLUX_ERR"] = np.where(np.isnan(pdcsap), np.nan, entry["flux_err"])
    stray = np.where((quality & tess.SCATTERED) > 0, 1.8, 1.0)
    table["SAP_BKG"] = np.where(gap, np.nan, entry["background"] * stray)
    table["SAP_BKG_ERR"] = np.where(gap, np.nan, 0.02 * entry["background"])
    wobble = 0.01 * np.sin(2 * np.pi * np.arange(tess.N_CADENCES) / 640.0)
    table["POS_CORR1"], table["POS_CORR2"] = wobble, 0.6 * wobble
    table["MOM_CENTR1"] = np.where(gap, np.nan, entry["column"] + wobble)
    table["MOM_CENTR2"] = np.where(gap, np.nan, entry["row"] + 0.6 * wobble)
    return table


def _date(btjd: float) -> str:
    """Calendar date of a BTJD; by hand, since astropy's Time may go online for leap seconds."""
    return (BTJD_ZERO + timedelta(days=btjd)).isoformat(timespec="milliseconds") + "Z"


def _primary(entry: dict, start: float, stop: float) -> bytes:
    sector = tess.SECTORS[entry["sector"]]
    cards = [
        ("NEXTEND", 2, "number of standard extensions"),
        ("EXTNAME", "PRIMARY", "name of extension"),
        ("EXTVER", 1, "extension version number"),
        ("SIMDATA", True, "file is based on simulated data"),
        ("ORIGIN", "NASA/Ames", "institution responsible for creating this file"),
        ("DATE", "2021-12-01", "file creation date."),
        ("TSTART", start, "observation start time in TJD"),
        ("TSTOP", stop, "observation stop time in TJD"),
        ("DATE-OBS", _date(start), "TSTART as UTC calendar date"),
        ("DATE-END", _date(stop), "TSTOP as UTC calendar date"),
        ("CREATOR", "0 LightCurveExporterPipelineModule", "pipeline job and program"),
        ("PROCVER", f"embedded-{sector.stamp}", "SW version"),
        ("FILEVER", "1.0", "file format version"),
        ("TIMVERSN", "OGIP/93-003", "OGIP memo number for file format"),
        ("TELESCOP", "TESS", "telescope"),
        ("INSTRUME", "TESS Photometer", "detector type"),
        ("DATA_REL", 60, "data release version number"),
        ("OBJECT", f"TIC {entry['ticid']}", "string version of target id"),
        ("TICID", entry["ticid"], "unique tess target identifier"),
        ("SECTOR", entry["sector"], "Observing sector"),
        ("CAMERA", entry["camera"], "Camera number"),
        ("CCD", entry["ccd"], "CCD chip number"),
        ("RADESYS", "ICRS", "reference frame of celestial coordinates"),
        ("RA_OBJ", entry["ra"], "[deg] right ascension"),
        ("DEC_OBJ", entry["dec"], "[deg] declination"),
        ("EQUINOX", 2000.0, "equinox of celestial coordinate system"),
        ("PMRA", entry["pmra"], "[mas/yr] RA proper motion"),
        ("PMDEC", entry["pmdec"], "[mas/yr] Dec proper motion"),
        ("PMTOTAL", float(np.hypot(entry["pmra"], entry["pmdec"])), "[mas/yr] total proper motion"),
        ("TESSMAG", entry["tmag"], "[mag] TESS magnitude"),
        ("TEFF", entry["teff"], "[K] Effective temperature"),
        ("LOGG", entry["logg"], "[cm/s2] log10 surface gravity"),
        ("MH", entry["mh"], "[log10([M/H])] metallicity"),
        ("RADIUS", entry["radius"], "[solar radii] stellar radius"),
        ("TICVER", 8, "TICVER"),
    ]
    return primary_bytes(cards)


def _target_cards(entry: dict, ra: float, dec: float) -> list[tuple]:
    return [
        ("INHERIT", True, "inherit the primary header"),
        ("EXTVER", 1, "extension version number"),
        ("SIMDATA", True, "file is based on simulated data"),
        ("TELESCOP", "TESS", "telescope"),
        ("INSTRUME", "TESS Photometer", "detector type"),
        ("OBJECT", f"TIC {entry['ticid']}", "string version of target id"),
        ("TICID", entry["ticid"], "unique tess target identifier"),
        ("RADESYS", "ICRS", "reference frame of celestial coordinates"),
        ("RA_OBJ", ra, "[deg] right ascension"),
        ("DEC_OBJ", dec, "[deg] declination"),
        ("EQUINOX", 2000.0, "equinox of celestial coordinate system"),
    ]


def _lightcurve_cards(entry: dict, start: float, stop: float, ra: float, dec: float) -> list[tuple]:
    exposure = (tess.N_CADENCES - int(tess.gap_mask(entry["sector"]).sum())) * tess.CADENCE_D * 0.792
    return [
        *_target_cards(entry, ra, dec),
        ("EXPOSURE", exposure, "[d] time on source"),
        ("TIMEREF", "SOLARSYSTEM", "barycentric correction applied to times"),
        ("TASSIGN", "SPACECRAFT", "where time is assigned"),
        ("TIMESYS", "TDB", "time system is Barycentric Dynamical Time (TDB)"),
        ("BJDREFI", 2457000, "integer part of BTJD reference date"),
        ("BJDREFF", 0.0, "fraction of the day in BTJD reference date"),
        ("TIMEUNIT", "d", "time unit for TIME, TSTART and TSTOP"),
        ("TELAPSE", stop - start, "[d] TSTOP - TSTART"),
        ("LIVETIME", (stop - start) * 0.792, "[d] TELAPSE multiplied by DEADC"),
        ("TSTART", start, "observation start time in BTJD"),
        ("TSTOP", stop, "observation stop time in BTJD"),
        ("DEADC", 0.792, "deadtime correction"),
        ("TIMEPIXR", 0.5, "bin time beginning=0 middle=0.5 end=1"),
        ("INT_TIME", 1.98, "[s] photon accumulation time per frame"),
        ("NUM_FRM", 300, "number of frames per time stamp"),
        ("TIMEDEL", tess.CADENCE_D, "[d] time resolution of data"),
        ("CROWDSAP", entry["crowdsap"], "Ratio of target flux to total flux in op. ap."),
        ("FLFRCSAP", 0.9, "Frac. of target flux w/in the op. aperture"),
    ]
