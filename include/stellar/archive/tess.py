"""TESS: the input catalogue, the observations, and ten-minute light curves with the spacecraft's faults."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stellar.archive.fields import FIELDS, unit_vector
from stellar.archive.population import Sky
from stellar.archive.variables import CADENCE_D, relative_flux
from stellar.sky.motion import propagate

N_CADENCES = 3700
ZERO_POINT_TMAG = 20.44  # magnitude of 1 electron/s (TESS Instrument Handbook)
TWO_SECTORS_SHARE = 0.12
# QUALITY bits (TESS Science Data Products Description Document, table 32).
EARTH_POINT, ARGABRIGHTENING, MOMENTUM_DUMP, COSMIC_RAY, OUTLIER, SCATTERED = 8, 16, 32, 64, 512, 4096


class Sector(NamedTuple):
    """A sector: its first cadence's time (BTJD) and number, the camera and CCD that the field fell on."""

    start_btjd: float
    first_cadence: int
    camera: int
    ccd: int
    stamp: str


SECTORS = {
    40: Sector(2390.656, 663_000, 1, 2, "2021175"),
    41: Sector(2419.994, 667_224, 1, 3, "2021204"),
    42: Sector(2447.697, 671_213, 2, 1, "2021232"),
    43: Sector(2474.172, 675_025, 1, 4, "2021258"),
}


def barycentric_correction_d(ra: np.ndarray, dec: np.ndarray, btjd: np.ndarray) -> np.ndarray:
    """Light travel time to the barycentre in days, [n, m]: the Earth on a circle, which is good to a few seconds."""
    longitude = 2 * np.pi * (btjd - 2115.06) / 365.25  # the Earth stood at 0 deg on 2020-09-22 13:31 UTC
    obliquity = np.radians(23.4393)
    earth = np.stack(
        [np.cos(longitude), np.sin(longitude) * np.cos(obliquity), np.sin(longitude) * np.sin(obliquity)], axis=-1
    )
    return 499.004784 / 86400.0 * (np.atleast_2d(unit_vector(ra, dec)) @ earth.T)


def cadence_times(sector: int) -> np.ndarray:
    """Times of the cadences at the spacecraft, BTJD [3700]."""
    return SECTORS[sector].start_btjd + CADENCE_D * np.arange(N_CADENCES)


def gap_mask(sector: int) -> np.ndarray:
    """Cadences without data: the data downlink between the two orbits, and a short one at the start."""
    cadence = np.arange(N_CADENCES)
    middle = 1790 + 13 * (sector - 40)
    return ((cadence > middle) & (cadence < middle + 150)) | (cadence < 3 * (sector - 39))


def hourly_noise(tmag: np.ndarray) -> np.ndarray:
    """Relative noise in one hour by Tmag (shape of Sullivan et al. 2015, ApJ 809, 77, fig. 14)."""
    photons, sky = 2.0e-4 * 10.0 ** (0.2 * (tmag - 10.0)), 2.2e-5 * 10.0 ** (0.4 * (tmag - 10.0))
    return np.sqrt(6.0e-5**2 + photons**2 + sky**2)


def light_curves(sky: Sky, star: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Light curves of the stars: one sector each, two for some.

    Returns
    -------
    dict of arrays: star, sector, sap and pdcsap [n, 3700] float32 (electron/s), quality [n, 3700] uint16, flux_err,
    background, crowdsap.
    """
    first = np.array([FIELDS[0].sectors[0] if f == "halo" else FIELDS[1].sectors[0] for f in sky["field"][star]])
    first = first + (rng.random(len(star)) < 0.4)
    again = rng.random(len(star)) < TWO_SECTORS_SHARE
    other = np.where(np.isin(first, (40, 42)), first + 1, first - 1)
    star, sector = np.concatenate([star, star[again]]), np.concatenate([first, other[again]])
    n = len(star)
    tmag = sky["tess_mag"][star]
    pdcsap = np.ones((n, N_CADENCES), dtype=np.float32)
    for number in SECTORS:
        time = cadence_times(number)
        for name in np.unique(sky["var_class"][star]):
            mine = np.flatnonzero((sector == number) & (sky["var_class"][star] == name))
            if len(mine):
                members = {
                    key: sky[key][star[mine]]
                    for key in ("ra", "dec", "period_d", "amplitude_frac", "logg_dex", "teff_k")
                }
                pdcsap[mine] = relative_flux(str(name), members, time, rng)
    # Light of neighbours in the 21" pixels: PDCSAP is corrected for it, imperfectly in crowded fields.
    crowdsap = np.clip(1.0 - rng.exponential(np.where(sky["field"][star] == "disc", 0.12, 0.02)), 0.3, 1.0)
    dilution = np.where(rng.random(n) < 0.8, 1.0, crowdsap).astype(np.float32)
    pdcsap = 1.0 + (pdcsap - 1.0) * dilution[:, None]
    sigma = hourly_noise(tmag) * np.sqrt(6.0) * np.exp(0.1 * rng.normal(size=n)) / np.sqrt(crowdsap)
    noise = sigma.astype(np.float32)[:, None] * rng.standard_normal(pdcsap.shape, dtype=np.float32)
    trend = _systematics(sector, tmag, rng)
    leftover = (0.06 * np.abs(rng.normal(size=n))).astype(np.float32)[:, None]
    flux = (10.0 ** (-0.4 * (tmag - ZERO_POINT_TMAG))).astype(np.float32)[:, None]
    background = (rng.uniform(60.0, 220.0, n) * (1 + 0.3 * (sector % 2))).astype(np.float32)
    quality, stray = _quality(sector, rng)
    sap = flux * (1.0 + (pdcsap - 1.0 + noise) * crowdsap[:, None].astype(np.float32)) * (1.0 + trend)
    pdcsap = flux * (pdcsap + noise + leftover * trend)
    extra = (0.2 * background * rng.random(n)).astype(np.float32)[:, None] * stray
    sap, pdcsap = sap + extra, pdcsap + 0.3 * extra
    _faults(sap, pdcsap, quality, sigma, sector, rng)
    return {
        "star": star,
        "sector": sector,
        "sap": sap,
        "pdcsap": pdcsap,
        "quality": quality,
        "crowdsap": crowdsap,
        "flux_err": sigma * flux[:, 0],
        "background": background,
    }


def _systematics(sector: np.ndarray, tmag: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Drifts that stars of a camera share: settling after a downlink, pointing jitter, a slope; larger when faint."""
    x = np.linspace(-1.0, 1.0, N_CADENCES)
    trend = np.zeros((len(sector), N_CADENCES), dtype=np.float32)
    for number in np.unique(sector):
        mine = np.flatnonzero(sector == number)
        gap = int(np.flatnonzero(gap_mask(int(number)))[-1])
        since = np.arange(N_CADENCES) - np.where(np.arange(N_CADENCES) > gap, gap, 0)
        jitter = np.convolve(rng.normal(size=N_CADENCES + 199), np.hanning(200) / 30.0, mode="valid")
        basis = np.stack([np.exp(-since / 120.0), x, x**2 - 0.33, jitter, np.sin(2 * np.pi * since / 620.0)])
        size = np.array([0.006, 0.003, 0.002, 0.0015, 0.001]) * (1.0 + 0.5 * np.clip(tmag[mine] - 12.0, 0, 4))[:, None]
        trend[mine] = (size * rng.normal(size=(len(mine), 5)) @ basis).astype(np.float32)
    return trend


def _quality(sector: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """QUALITY bits that all stars of a sector share, and the scattered light's strength [n, 3700]."""
    quality = np.zeros((len(sector), N_CADENCES), dtype=np.uint16)
    stray = np.zeros((len(sector), N_CADENCES), dtype=np.float32)
    for number in np.unique(sector):
        gap = gap_mask(int(number))
        bits = np.where(gap, EARTH_POINT, 0)
        bits[300::640] |= MOMENTUM_DUMP
        bits[rng.integers(0, N_CADENCES, 3)] |= ARGABRIGHTENING
        end = int(np.flatnonzero(gap)[-1])
        glow = np.zeros(N_CADENCES)
        glow[end - 300 : end - 148] = np.linspace(0, 1, 152) ** 2
        glow[-160:] = np.linspace(0, 1, 160) ** 2
        bits[glow > 0.3] |= SCATTERED
        quality[sector == number], stray[sector == number] = bits, glow
    return quality, stray


def _faults(
    sap: np.ndarray,
    pdcsap: np.ndarray,
    quality: np.ndarray,
    sigma: np.ndarray,
    sector: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Outliers, flagged and not, jumps at momentum dumps, cosmic rays, and NaN where nothing was measured; in place."""
    n = len(sap)
    for rate, flagged in ((5.0, True), (2.0, False)):
        hits = rng.poisson(rate, n)
        row = np.repeat(np.arange(n), hits)
        column = rng.integers(0, N_CADENCES, len(row))
        jump = rng.choice([-1.0, 1.0], len(row)) * (5.0 + rng.exponential(6.0, len(row))) * sigma[row]
        sap[row, column] *= (1.0 + jump).astype(np.float32)
        pdcsap[row, column] *= (1.0 + jump).astype(np.float32)
        if flagged:
            np.bitwise_or.at(
                quality, (row, column), np.where(rng.random(len(row)) < 0.5, OUTLIER, COSMIC_RAY).astype(np.uint16)
            )
    dumps = (quality & MOMENTUM_DUMP) > 0
    sap[dumps] *= 0.995
    # PDC gives no value where a cadence is flagged as bad; SAP does, outside the gaps.
    pdcsap[(quality & (EARTH_POINT | ARGABRIGHTENING | MOMENTUM_DUMP | OUTLIER | SCATTERED)) > 0] = np.nan
    sap[(quality & EARTH_POINT) > 0] = np.nan
    lost = rng.random(sap.shape, dtype=np.float32) < 0.002
    sap[lost], pdcsap[lost] = np.nan, np.nan


def tic_table(
    sky: Sky, star: np.ndarray, ticid: np.ndarray, source_id: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Rows of the TIC, sorted by id; positions are of epoch 2000 (`ra`, `dec`) and 2015.5 (`ra_orig`)."""
    n = len(star)
    true = {key: value[star] for key, value in sky.items()}
    motion = (true["ra"], true["dec"], true["pmra"], true["pmdec"], 2016.0)
    ra, dec = propagate(*motion, 2000.0)
    ra_orig, dec_orig = propagate(*motion, 2015.5)
    teff = true["teff_k"] * np.exp(0.02 * rng.normal(size=n))
    unknown = (rng.random(n) < 0.06) | (true["teff_k"] > 20000)
    blank = np.where(unknown, np.nan, 0.0)
    columns = {
        "ID": ticid.astype(str),
        "version": np.full(n, "20190415"),
        "GAIA": np.where(source_id[star] > 0, source_id[star].astype(str), ""),
        "ra": ra,
        "dec": dec,
        "ra_orig": ra_orig,
        "dec_orig": dec_orig,
        "pmRA": true["pmra"],
        "pmDEC": true["pmdec"],
        "plx": 1000.0 / true["distance_pc"] + 0.03 * rng.normal(size=n),
        "objType": np.full(n, "STAR"),
        "GAIAmag": true["g_mag"],
        "gaiabp": true["bp_mag"],
        "gaiarp": true["rp_mag"],
        "Tmag": true["tess_mag"] + 0.008 * rng.normal(size=n),
        "e_Tmag": np.full(n, 0.0075),
        "Teff": teff + blank,
        "e_Teff": 0.02 * teff + blank,
        "logg": true["logg_dex"] + 0.1 * rng.normal(size=n) + blank,
        "MH": np.where(rng.random(n) < 0.15, true["feh_dex"] + 0.1 * rng.normal(size=n), np.nan),
        "rad": true["radius_rsun"] * np.exp(0.05 * rng.normal(size=n)) + blank,
        "mass": true["mass_msun"] * np.exp(0.08 * rng.normal(size=n)) + blank,
        "d": true["distance_pc"],
        "ebv": true["a_v_mag"] / 3.1,
        "contratio": rng.exponential(np.where(true["field"] == "disc", 0.15, 0.02)),
        "lumclass": np.where(
            true["radius_rsun"] > 3.5, "GIANT", np.where(true["radius_rsun"] > 2.2, "SUBGIANT", "DWARF")
        ),
    }
    order = np.argsort(ticid, kind="stable")
    return {key: value[order] for key, value in columns.items()}


def product_name(ticid: int, sector: int) -> str:
    """File name of a TESS-SPOC light curve."""
    return f"hlsp_tess-spoc_tess_phot_{ticid:016d}-s{sector:04d}_tess_v1_lc.fits"


def product_uri(ticid: int, sector: int) -> str:
    """MAST's uri of a TESS-SPOC light curve."""
    text = f"{ticid:016d}"
    folders = "/".join(text[i : i + 4] for i in range(0, 16, 4))
    return f"mast:HLSP/tess-spoc/s{sector:04d}/target/{folders}/{product_name(ticid, sector)}"


def observations(tic: dict[str, np.ndarray], ticid: np.ndarray, sector: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """CAOM rows of the light curves, in their order."""
    n = len(ticid)
    row = np.searchsorted(tic["ID"].astype(np.int64), ticid)
    pairs = list(zip(ticid.tolist(), sector.tolist(), strict=True))
    start = np.array([SECTORS[s].start_btjd for s in sector.tolist()]) + 56999.5  # BTJD 0 is JD 2457000
    constant = {
        "intentType": "science",
        "obs_collection": "HLSP",
        "provenance_name": "TESS-SPOC",
        "instrument_name": "Photometer",
        "project": "TESS",
        "filters": "TESS",
        "wavelength_region": "Optical",
        "target_classification": "",
        "dataproduct_type": "timeseries",
        "proposal_pi": "Caldwell, Douglas",
        "obs_title": "",
        "proposal_id": "N/A",
        "proposal_type": "",
        "jpegURL": "",
        "dataRights": "PUBLIC",
    }
    columns: dict[str, np.ndarray] = {key: np.full(n, value) for key, value in constant.items()}
    columns |= {
        "obsid": (62_000_000 + np.arange(n)).astype(str),
        "objID": (120_000_000 + np.arange(n)).astype(str),
        "target_name": ticid.astype(str),
        "obs_id": np.array([product_name(t, s).removesuffix("_lc.fits") + "_tp" for t, s in pairs]),
        "s_ra": tic["ra"][row],
        "s_dec": tic["dec"][row],
        "calib_level": np.full(n, 4),
        "t_min": start,
        "t_max": start + N_CADENCES * CADENCE_D,
        "t_exptime": np.full(n, 600.0),
        "em_min": np.full(n, 600.0),
        "em_max": np.full(n, 1000.0),
        "t_obs_release": np.round(start + 90.0),
        "sequence_number": sector,
        "s_region": np.array(
            [f"CIRCLE {r:.8f} {d:.8f} 0.00138889" for r, d in zip(tic["ra"][row], tic["dec"][row], strict=True)]
        ),
        "dataURL": np.array([product_uri(t, s) for t, s in pairs]),
        "mtFlag": np.zeros(n, dtype=bool),
        "srcDen": np.full(n, np.nan),
        "productFilename": np.array([product_name(t, s) for t, s in pairs]),
        "size": np.full(n, size),
        "tmag": tic["Tmag"][row],
    }
    return columns
