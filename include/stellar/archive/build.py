"""Generates the simulated sky into a folder, once, from a seed.

`build_archive(folder, seed=…, scale=…)` writes Parquet tables whose columns are the surveys' own (names, types,
units, UCDs: `stellar.archive.columns.TABLES[<table>]`), and .npy arrays of the bulky parts:

=======================  ==============================================================================================
file                     what it holds
=======================  ==============================================================================================
gaia_source.parquet      Gaia DR3 `gaiadr3.gaia_source`, sorted by source_id (level-12 pixel of an *early* position)
sdss_photoobj.parquet    SkyServer `PhotoObj` (modes 1 and 2, all types), halo field only, sorted by objID; `Star` is
                         type = 6 and mode = 1, `PhotoPrimary` mode = 1. Sentinel -9999.
sdss_specobj.parquet     SkyServer `SpecObj` with the columns of `sppParams` beside it (-9999 where the SSPP gave none;
                         rows of `sppParams` are those with TEFFADOP or SSPP_FLAG set), sorted by plate, mjd, fiberID
sdss_spectra.parquet     index (spec_row, plate, mjd, fiberID) into sdss_flux.npy, sdss_ivar.npy, sdss_model.npy
                         (float32 [n, 3840]) and sdss_mask.npy (uint8 codes); read them by `sdss_fits.spectrum_fits`
tic.parquet              MAST `Catalogs.Filtered.Tic` (positions are of epoch 2000)
tess_observations        MAST `Caom` observations of obs_collection HLSP, provenance TESS-SPOC (10-minute light curves):
      .parquet           one row, with one LC product, per star and sector: `dataURL` is the product's uri
                         `mast:HLSP/tess-spoc/s0042/target/…/hlsp_tess-spoc_tess_phot_<tic16>-s0042_tess_v1_lc.fits`,
                         `productFilename` its name, `size` its bytes, `obsid`/`obs_id` its keys
tess_lightcurves         index (lc_row, ticid, sector, dataURL) into tess_sap.npy, tess_pdcsap.npy (float32) and
      .parquet           tess_quality.npy (uint16) [n, cadences]; read them by `tess_fits.lightcurve_fits`
simbad_basic.parquet     SIMBAD TAP `basic`; `simbad_ident.parquet` is `ident`; `simbad_vartype.parquet` is `mesVar`
                         (its `vartyp` tells EA/EB/EW, RRAB/RRC and the like apart, which `otype` does not)
truth.parquet            what the stars really are, with every survey's ids; for tests, **never to be served**
archive.json             version, seed, scale, fields, row counts, SHA-256 of every file
=======================  ==============================================================================================

Epochs of positions: Gaia 2016.0; PhotoObj the night of its image (`mjd`, 1999 to 2008; the star is where it was then);
SpecObj that of the image it was chosen from (join `bestObjID`), or 2000.0 where there is none; TIC and SIMBAD 2000.0.

Files on the wire: `stellar.archive.sdss_fits.spectrum_fits(folder, plate, mjd, fiberid) -> bytes` and
`stellar.archive.tess_fits.lightcurve_fits(folder, product_uri_or_obs_id) -> bytes`; both raise KeyError for what does
not exist, and give the same bytes each time.

Labels of variability: `otype` EB* (all three shapes), RR*, dS*, RotV or BY*, Er*/Fl* (flare), SB/PM/`*` else;
`mesVar.vartyp` EA, EB, EW, RRAB, RRC, DSCT, BY/ROT, UV, SOLR (granulation; written `SRS`), CST (constant). About 3%
of the types are wrong, as in life.

The same seed and scale give the same bytes on one machine; another kind of processor may round a last digit otherwise.

The rates of rare classes are raised far above nature's, so that there is something to learn from; everything
else (luminosities, colours, motions, errors) follows the simple relations of `stars`, `population` and their kin.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stellar.archive import sdss_pipeline, sdss_spec, simbad, targets, tess
from stellar.archive.columns import TABLES, to_table
from stellar.archive.fields import FIELDS
from stellar.archive.gaia import gaia_source
from stellar.archive.population import Sky, concatenate, field_stars
from stellar.archive.sdss_photo import photoobj
from stellar.archive.stars import spectral_letter
from stellar.archive.tess_fits import file_size
from stellar.archive.variables import draw_parameters
from stellar.errors import InputError

VERSION = 3  # raise it whenever a change alters what is generated
N_SOURCES = 30_000
N_FAINT = 4_000  # stars of the halo field beyond Gaia's limit, for SDSS alone


def build_archive(folder: Path, *, seed: int, scale: float = 1.0) -> None:
    """Generate the archive into `folder`, unless it is there already with the same seed, scale and version.

    It is written beside the folder and moved into place when complete, so a folder that has an `archive.json` is whole.

    Parameters
    ----------
    folder : where the tables go; an archive of another seed, scale or version in it is replaced.
    seed : of everything random.
    scale : 1 gives about 30,000 Gaia sources, 2,000 spectra and 2,000 light curves; every class keeps at least six.

    Raises
    ------
    InputError
        When `scale` is not in (0, 10], or `folder` holds something that is not an archive.
    """
    if not 0.0 < scale <= 10.0:
        raise InputError(f"scale of the archive is {scale}: it must be above 0 and at most 10")
    folder = Path(folder)
    if is_built(folder, seed=seed, scale=scale):
        return
    if folder.exists() and any(folder.iterdir()) and not (folder / "archive.json").exists():
        raise InputError(
            f"{folder} holds files but no archive.json: name an empty folder for the archive, or remove it"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        counts = _generate(staging, seed, scale)
        _describe(staging, seed, scale, counts)
        staging.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def is_built(folder: Path, *, seed: int, scale: float) -> bool:
    """Whether `folder` holds the whole archive of this seed, scale and version."""
    try:
        found = json.loads((folder / "archive.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return (found.get("seed"), found.get("scale"), found.get("version")) == (seed, scale, VERSION)


def _rng(seed: int, part: str) -> np.random.Generator:
    """Each part has its own stream, so a change in one leaves the others as they are."""
    return np.random.default_rng([seed, zlib.crc32(part.encode())])


def make_sky(seed: int, scale: float) -> Sky:
    """The true sky: field stars, special stars, faint stars and extragalactic sources, with every class drawn."""
    parts = []
    special = targets.special_stars(scale, _rng(seed, "special"))
    for field in FIELDS:
        already = int((special["field"] == field.name).sum())
        n = max(round(N_SOURCES * scale * field.share) - already, round(0.6 * N_SOURCES * scale * field.share))
        parts.append(field_stars(field, n, _rng(seed, f"field {field.name}")))
    deep = FIELDS[0]._replace(faint_limit_g=22.4)
    faint = field_stars(deep, round(2.5 * N_FAINT * scale), _rng(seed, "faint"))
    faint = {key: value[faint["g_mag"] > FIELDS[0].faint_limit_g + 0.3] for key, value in faint.items()}
    parts.append({key: value[: round(N_FAINT * scale)] for key, value in faint.items()})
    for part in parts:
        part["var_class"] = np.full(len(part["ra"]), "", dtype="<U5")
        part["wants_spectrum"] = np.zeros(len(part["ra"]), dtype=bool)
    parts.append(special)
    sky = concatenate([{key: part[key] for key in special} for part in parts])
    sky = concatenate([sky, targets.extragalactic(scale, sky, _rng(seed, "extragalactic"))])
    draw_parameters(sky, _rng(seed, "variables"))
    return sky


def _seen_by_gaia(sky: Sky, rng: np.random.Generator) -> np.ndarray:
    n = len(sky["ra"])
    seen = (sky["g_mag"] < 20.9) & (rng.random(n) < np.where(sky["g_mag"] > 20.0, 0.93, 0.995))
    return seen & ((sky["kind"] != "GALAXY") | (rng.random(n) < 0.1))


def _generate(folder: Path, seed: int, scale: float) -> dict[str, int]:
    sky = make_sky(seed, scale)
    n = len(sky["ra"])
    counts: dict[str, int] = {}

    def write(name: str, columns: dict[str, np.ndarray]) -> None:
        table = to_table(name, columns)
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd", row_group_size=50_000)
        counts[name] = table.num_rows

    gaia, gaia_star = gaia_source(sky, _seen_by_gaia(sky, _rng(seed, "seen")), _rng(seed, "gaia"))
    write("gaia_source", gaia)
    source_id = np.zeros(n, dtype=np.int64)
    source_id[gaia_star[::-1]] = gaia["source_id"][::-1]  # of duplicates, the first
    photo, photo_star = photoobj(sky, _rng(seed, "photo"))
    objid = np.zeros(n, dtype=np.int64)
    primary = photo["mode"] == 1
    objid[photo_star[primary]] = photo["objID"][primary]

    imaged_mjd = np.zeros(n, dtype=np.int64)
    imaged_mjd[photo_star[primary]] = photo["mjd"][primary]
    specobjid = _spectra(folder, sky, objid, imaged_mjd, seed, scale, write)
    photo["specObjID"] = np.where(primary & (specobjid[photo_star] != ""), specobjid[photo_star], "0")
    write("sdss_photoobj", photo)
    ticid = _light_curves(folder, sky, source_id, seed, write)

    ids = {"source_id": source_id, "ticid": ticid, "objid": objid, "has_spectrum": specobjid != ""}
    known = simbad.choose(sky, ids["has_spectrum"], ticid > 0, source_id > 0, _rng(seed, "simbad choice"))
    basic, ident, variability = simbad.tables(sky, known, ids, _rng(seed, "simbad"))
    write("simbad_basic", basic)
    write("simbad_ident", ident)
    write("simbad_vartype", variability)
    oid = np.zeros(n, dtype=np.int64)
    oid[known] = basic["oid"]
    letter = spectral_letter(np.nan_to_num(sky["teff_k"], nan=5000.0), sky["kind"])
    truth = sky | {
        "star_id": np.arange(n),
        "letter": letter,
        "source_id": source_id,
        "objid": objid,
        "specobjid": specobjid,
        "ticid": ticid,
        "simbad_oid": oid,
    }
    write("truth", truth)
    return counts


def _spectra(
    folder: Path, sky: Sky, objid: np.ndarray, imaged_mjd: np.ndarray, seed: int, scale: float, write
) -> np.ndarray:
    """Write the spectra; the specObjID of each star's primary spectrum, empty where none."""
    star, plate = sdss_spec.choose_targets(sky, scale, _rng(seed, "targets"))
    seen = sdss_spec.observe(sky, star, plate, _rng(seed, "spectra"))
    columns, order = sdss_pipeline.specobj(sky, star, plate, seen, objid, imaged_mjd, _rng(seed, "specobj"))
    columns = {key: value[order] for key, value in columns.items()}
    write("sdss_specobj", columns)
    rng = _rng(seed, "pixels")  # files of the same survey start and end some pixels apart
    start = rng.integers(0, 12, len(star))
    write(
        "sdss_spectra",
        {
            "spec_row": np.arange(len(star)),
            "plate": columns["plate"],
            "mjd": columns["mjd"],
            "fiberID": columns["fiberID"],
            "pix_start": start,
            "pix_count": sdss_spec.N_PIXELS - start - rng.integers(0, 12, len(star)),
            "sky_scale": seen["sky_scale"][order],
        },
    )
    for name in ("flux", "ivar", "model", "mask"):
        np.save(folder / f"sdss_{name}.npy", seen[name][order])
    specobjid = np.full(len(sky["ra"]), "", dtype="<U20")
    best = columns["sciencePrimary"] == 1
    specobjid[star[order][best]] = columns["specObjID"][best]
    return specobjid


def _light_curves(folder: Path, sky: Sky, source_id: np.ndarray, seed: int, write) -> np.ndarray:
    """Write the TIC, the observations and the light curves; the TIC id of each star, 0 where none."""
    rng = _rng(seed, "tic")
    target = np.flatnonzero(sky["var_class"] != "")
    # The TIC also lists stars without a light curve of their own.
    listed = np.union1d(
        target, np.flatnonzero((source_id > 0) & (sky["tess_mag"] < 13.5) & (sky["component"] != "extragalactic"))
    )
    ticid = np.zeros(len(sky["ra"]), dtype=np.int64)
    ticid[listed] = (
        100_000_000 + 37 * rng.permutation(2 * len(listed))[: len(listed)] + rng.integers(0, 37, len(listed))
    )
    tic = tess.tic_table(sky, listed, ticid[listed], source_id, rng)
    write("tic", tic)
    curves = tess.light_curves(sky, target, _rng(seed, "light curves"))
    order = np.lexsort((curves["sector"], ticid[curves["star"]]))
    curves = {key: value[order] for key, value in curves.items()}
    tics = ticid[curves["star"]]
    observed = tess.observations(tic, tics, curves["sector"], file_size())
    write("tess_observations", observed)
    row = np.searchsorted(tic["ID"].astype(np.int64), tics)
    sectors = curves["sector"].tolist()
    write(
        "tess_lightcurves",
        {
            "lc_row": np.arange(len(tics)),
            "ticid": tics,
            "sector": curves["sector"],
            "dataURL": observed["dataURL"],
            "camera": np.array([tess.SECTORS[s].camera for s in sectors]),
            "ccd": np.array([tess.SECTORS[s].ccd for s in sectors]),
            "ra": tic["ra"][row],
            "dec": tic["dec"][row],
            "pmra": tic["pmRA"][row],
            "pmdec": tic["pmDEC"][row],
            "tmag": tic["Tmag"][row],
            "teff": tic["Teff"][row],
            "logg": tic["logg"][row],
            "mh": tic["MH"][row],
            "radius": tic["rad"][row],
            "flux_err": curves["flux_err"],
            "background": curves["background"],
            "crowdsap": curves["crowdsap"],
            "column": rng.uniform(60.0, 2000.0, len(tics)),
            "row": rng.uniform(60.0, 2000.0, len(tics)),
        },
    )
    for name in ("sap", "pdcsap", "quality"):
        np.save(folder / f"tess_{name}.npy", curves[name])
    return ticid


def _describe(folder: Path, seed: int, scale: float, counts: dict[str, int]) -> None:
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            files[path.name] = {
                "sha256": hashlib.file_digest(stream, "sha256").hexdigest(),
                "bytes": path.stat().st_size,
            }
    described = {
        "version": VERSION,
        "seed": seed,
        "scale": scale,
        "fields": [field._asdict() for field in FIELDS],
        "rows": {name: counts[name] for name in TABLES},
        "files": files,
    }
    (folder / "archive.json").write_text(json.dumps(described, indent=1, sort_keys=True) + "\n")
