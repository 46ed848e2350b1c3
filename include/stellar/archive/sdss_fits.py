"""Single spectra as SDSS serves them: `spec-PLATE-MJD-FIBER.fits`, in the layout of the BOSS and eBOSS reductions.

HDU 0 header; 1 COADD; 2 SPALL (one row, the spectroscopic columns); 3 SPZLINE (emission-line fits). Described at
data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/PLATE4/spec.html.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stellar.archive.fits import primary_bytes, table_bytes
from stellar.archive.sdss_photo import mjd_to_year
from stellar.archive.sdss_spec import MASK_BITS, loglam, sky_template

COADD = np.dtype(
    [
        ("flux", ">f4"),
        ("loglam", ">f4"),
        ("ivar", ">f4"),
        ("and_mask", ">i4"),
        ("or_mask", ">i4"),
        ("wdisp", ">f4"),
        ("sky", ">f4"),
        ("model", ">f4"),
    ]
)
SPALL = np.dtype(
    [
        ("PROGRAMNAME", "S27"),
        ("CHUNK", "S14"),
        ("PLATEQUALITY", "S4"),
        ("PLATESN2", ">f4"),
        ("PRIMTARGET", ">i4"),
        ("SECTARGET", ">i4"),
        ("SPECPRIMARY", "u1"),
        ("SPECBOSS", "u1"),
        ("BOSS_SPECOBJ_ID", ">i4"),
        ("NSPECOBS", ">i2"),
        ("PLATE", ">i4"),
        ("TILE", ">i4"),
        ("MJD", ">i4"),
        ("FIBERID", ">i4"),
        ("RUN2D", "S7"),
        ("RUN1D", "S7"),
        ("OBJTYPE", "S16"),
        ("PLUG_RA", ">f8"),
        ("PLUG_DEC", ">f8"),
        ("CLASS", "S6"),
        ("SUBCLASS", "S21"),
        ("Z", ">f4"),
        ("Z_ERR", ">f4"),
        ("RCHI2", ">f4"),
        ("DOF", ">i4"),
        ("RCHI2DIFF", ">f4"),
        ("TFILE", "S24"),
        ("NPOLY", ">i4"),
        ("VDISP", ">f4"),
        ("VDISP_ERR", ">f4"),
        ("WAVEMIN", ">f4"),
        ("WAVEMAX", ">f4"),
        ("WCOVERAGE", ">f4"),
        ("ZWARNING", ">i4"),
        ("SN_MEDIAN", ">f4", (5,)),
        ("SN_MEDIAN_ALL", ">f4"),
        ("ANYANDMASK", ">i4"),
        ("ANYORMASK", ">i4"),
        ("ELODIE_SPTYPE", "S12"),
        ("ELODIE_TEFF", ">f4"),
        ("Z_NOQSO", ">f4"),
        ("Z_ERR_NOQSO", ">f4"),
        ("ZWARNING_NOQSO", ">i4"),
        ("CLASS_NOQSO", "S6"),
        ("SUBCLASS_NOQSO", "S21"),
        ("SPECOBJID", "S22"),
        ("OBJID", "S19"),
        ("RA", ">f8"),
        ("DEC", ">f8"),
        ("EXTINCTION", ">f4", (5,)),
    ]
)
SPZLINE = np.dtype(
    [
        ("PLATE", ">i4"),
        ("MJD", ">i4"),
        ("FIBERID", ">i4"),
        ("LINENAME", "S13"),
        ("LINEWAVE", ">f8"),
        ("LINEZ", ">f4"),
        ("LINEZ_ERR", ">f4"),
        ("LINESIGMA", ">f4"),
        ("LINESIGMA_ERR", ">f4"),
        ("LINEAREA", ">f4"),
        ("LINEAREA_ERR", ">f4"),
        ("LINEEW", ">f4"),
        ("LINEEW_ERR", ">f4"),
        ("LINECONTLEVEL", ">f4"),
        ("LINECONTLEVEL_ERR", ">f4"),
        ("LINENPIXLEFT", ">i4"),
        ("LINENPIXRIGHT", ">i4"),
        ("LINEDOF", ">f4"),
        ("LINECHI2", ">f4"),
    ]
)
LINES = (
    ("[O_II] 3725", 3727.09),
    ("[O_II] 3727", 3729.88),
    ("H_epsilon", 3971.20),
    ("H_delta", 4102.89),
    ("H_gamma", 4341.68),
    ("[O_III] 4363", 4364.44),
    ("He_II 4685", 4686.99),
    ("H_beta", 4862.68),
    ("[O_III] 4959", 4960.30),
    ("[O_III] 5007", 5008.24),
    ("He_II 5411", 5413.02),
    ("[O_I] 5577", 5578.89),
    ("[O_I] 6300", 6302.05),
    ("[N_II] 6548", 6549.86),
    ("H_alpha", 6564.61),
    ("[N_II] 6583", 6585.27),
    ("[S_II] 6716", 6718.29),
    ("[S_II] 6730", 6732.68),
    ("[Ar_III] 7135", 7137.76),
)


class _Store:
    """The spectra of an archive, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        index = pq.ParquetFile(folder / "sdss_spectra.parquet").read().to_pydict()
        self.index = {key: i for i, key in enumerate(zip(index["plate"], index["mjd"], index["fiberID"], strict=True))}
        self.start, self.count, self.sky_scale = index["pix_start"], index["pix_count"], index["sky_scale"]
        self.rows = pq.ParquetFile(folder / "sdss_specobj.parquet").read().to_pydict()
        self.arrays = {
            name: np.load(folder / f"sdss_{name}.npy", mmap_mode="r") for name in ("flux", "ivar", "model", "mask")
        }
        self.sky, self.loglam = sky_template(), loglam()


@lru_cache(maxsize=4)
def _open(folder: Path, built: float) -> _Store:
    return _Store(folder)


def spectrum_fits(folder: Path, plate: int, mjd: int, fiberid: int) -> bytes:
    """The FITS file of one spectrum; the same bytes each time.

    Raises
    ------
    KeyError
        When the archive has no such spectrum.
    """
    folder = Path(folder)
    store = _open(folder, (folder / "archive.json").stat().st_mtime)
    row = store.index[(plate, mjd, fiberid)]
    entry = {key: values[row] for key, values in store.rows.items()}
    coadd = _coadd(store, row)
    return b"".join(
        (
            _primary(entry),
            table_bytes(coadd, "COADD"),
            table_bytes(_spall(entry, coadd), "SPALL"),
            table_bytes(_line_fits(entry), "SPZLINE"),
        )
    )


def _coadd(store: _Store, row: int) -> np.ndarray:
    pixels = slice(store.start[row], store.start[row] + store.count[row])
    coadd = np.zeros(store.count[row], dtype=COADD)
    for name in ("flux", "ivar", "model"):
        coadd[name] = store.arrays[name][row, pixels]
    codes = store.arrays["mask"][row, pixels]
    for code, (in_and, in_or) in MASK_BITS.items():
        hit = (codes & code) > 0
        coadd["and_mask"][hit] |= in_and
        coadd["or_mask"][hit] |= in_or
    coadd["loglam"] = store.loglam[pixels]
    coadd["wdisp"] = 0.95 + 0.25 * np.linspace(-1.0, 1.0, store.count[row]) ** 2
    coadd["sky"] = store.sky[pixels] * np.float32(store.sky_scale[row])
    return coadd


def _primary(entry: dict) -> bytes:
    ra, dec = entry["plug_ra"], entry["plug_dec"]
    cards = [
        ("TELESCOP", "SDSS 2.5-M", "Sloan Digital Sky Survey"),
        ("INSTRUME", entry["instrument"], "Spectrograph"),
        ("FLAVOR", "science", "exposure type, SDSS spectro style"),
        ("BOSSVER", "embedded", "simulated"),
        ("SIMDATA", True, "file is based on simulated data"),
        ("MJD", entry["mjd"], "MJD of the observation"),
        ("TIMESYS", "tai", "TAI, not UTC"),
        ("EQUINOX", 2000.0, ""),
        ("RADECSYS", "FK5", ""),
        ("TAI", round(entry["mjd"] * 86400.0 + 18000.0, 2), "seconds since Nov 17 1858"),
        ("EXPTIME", 4500.0, "Minimum of exposure times"),
        ("PLATEID", entry["plate"], "Currently installed plate"),
        ("FIBERID", entry["fiberID"], "Fibre"),
        ("NAME", f"{entry['plate']:04d}-{entry['mjd']}-01", "plate, MJD, mapping"),
        ("RA", round(ra, 6), "Right ascension of the target"),
        ("DEC", round(dec, 6), "Declination of the target"),
        ("RADEG", round(ra, 6), "RA of telescope boresight (deg)"),
        ("DECDEG", round(dec, 6), "Dec of telescope boresight (deg)"),
        ("PLUG_RA", ra, "RA of object [deg]"),
        ("PLUG_DEC", dec, "dec of object [deg]"),
        ("THING_ID", -1, "Unique object identifier"),
        ("FILENAME", f"spec-{entry['plate']:04d}-{entry['mjd']}-{entry['fiberID']:04d}.fits", ""),
        (
            "HELIO_RV",
            round(12.0 * np.cos(2 * np.pi * mjd_to_year(entry["mjd"])), 6),
            "Heliocentric correction (added to velocities)",
        ),
        ("VACUUM", True, "Wavelengths are in vacuum"),
        ("RUN2D", entry["run2d"], "Spectro-2D reduction name"),
        ("RUN1D", entry["run2d"], "Spectro-1D reduction name"),
        ("COEFF0", 3.5798, "Central wavelength (log10) of first pixel"),
        ("COEFF1", 1e-4, "Log10 dispersion per pixel"),
        ("BUNIT", "1E-17 erg/cm^2/s/Ang", ""),
        ("NEXP", 5, "Number of exposures in this file"),
    ]
    return primary_bytes(cards)


def _spall(entry: dict, coadd: np.ndarray) -> np.ndarray:
    row = np.zeros(1, dtype=SPALL)
    boss = entry["run2d"].startswith("v")
    values = {
        "PROGRAMNAME": entry["programname"],
        "CHUNK": entry["chunk"],
        "PLATEQUALITY": entry["plateQuality"],
        "PLATESN2": 12.0,
        "SPECPRIMARY": entry["sciencePrimary"],
        "SPECBOSS": int(boss),
        "NSPECOBS": 1,
        "PLATE": entry["plate"],
        "MJD": entry["mjd"],
        "FIBERID": entry["fiberID"],
        "RUN2D": entry["run2d"],
        "RUN1D": entry["run2d"],
        "OBJTYPE": entry["sourceType"][:16],
        "PLUG_RA": entry["plug_ra"],
        "PLUG_DEC": entry["plug_dec"],
        "CLASS": entry["class"],
        "SUBCLASS": entry["subClass"][:21],
        "Z": entry["z"],
        "Z_ERR": entry["zErr"],
        "RCHI2": entry["rChi2"],
        "DOF": len(coadd) - 10,
        "RCHI2DIFF": 0.3,
        "TFILE": "spEigenStar-55734.fits",
        "NPOLY": 4,
        "WAVEMIN": 10.0 ** coadd["loglam"][0],
        "WAVEMAX": 10.0 ** coadd["loglam"][-1],
        "WCOVERAGE": 1e-4 * np.count_nonzero(coadd["ivar"]),
        "ZWARNING": entry["zWarning"],
        "SN_MEDIAN": [entry[f"sn_median_{b}"] for b in "ugriz"],
        "SN_MEDIAN_ALL": entry["snMedian"],
        "ANYANDMASK": np.bitwise_or.reduce(coadd["and_mask"]),
        "ANYORMASK": np.bitwise_or.reduce(coadd["or_mask"]),
        "ELODIE_TEFF": entry["elodieTEff"],
        "Z_NOQSO": entry["z"],
        "Z_ERR_NOQSO": entry["zErr"],
        "ZWARNING_NOQSO": entry["zWarning"],
        "CLASS_NOQSO": entry["class"],
        "SUBCLASS_NOQSO": entry["subClass"][:21],
        "SPECOBJID": entry["specObjID"],
        "OBJID": str(entry["bestObjID"]) if entry["bestObjID"] else "",
        "RA": entry["ra"],
        "DEC": entry["dec"],
        "EXTINCTION": [entry["ebv"] * k for k in (4.239, 3.303, 2.285, 1.698, 1.263)],
    }
    for name, value in values.items():
        row[name] = value
    return row


def _line_fits(entry: dict) -> np.ndarray:
    """No line is fitted in stars: errors of -1, as the pipeline writes where it did not fit."""
    rows = np.zeros(len(LINES), dtype=SPZLINE)
    rows["PLATE"], rows["MJD"], rows["FIBERID"] = entry["plate"], entry["mjd"], entry["fiberID"]
    rows["LINENAME"], rows["LINEWAVE"] = [name for name, _ in LINES], [wave for _, wave in LINES]
    rows["LINEZ"] = entry["z"]
    for name in ("LINEZ_ERR", "LINESIGMA_ERR", "LINEAREA_ERR", "LINEEW_ERR", "LINECONTLEVEL_ERR", "LINECHI2"):
        rows[name] = -1.0
    return rows
