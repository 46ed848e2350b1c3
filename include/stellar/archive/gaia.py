"""The `gaia_source` table: what Gaia DR3 measured of the sky, with its errors and its faults."""

from __future__ import annotations

import numpy as np

from stellar.archive.fields import galactic
from stellar.archive.population import Sky
from stellar.sky.healpix import spatial_index
from stellar.sky.motion import propagate

REF_EPOCH_YR = 2016.0
ID_EPOCH_YR = 2014.6  # positions that the ids were made from: the first weeks of the mission
ID_POSITION_ERROR_ARCSEC = 0.15
SOURCE_ID_STEP = 34_359_738_368  # 2**35: source_id = level-12 nested pixel * 2**35 + running number
SOLUTION_ID = 1_636_148_068_921_376_768
# Zero points of the Vega system (Riello et al. 2021, A&A 649, A3).
ZERO_POINT = {"g": 25.6874, "bp": 25.3385, "rp": 24.7479}


def source_ids(
    ra: np.ndarray, dec: np.ndarray, pmra: np.ndarray, pmdec: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Ids as Gaia makes them: the level-12 pixel where the source was first seen, and a running number in it.

    The position was rougher and older than the published one, so a source near a pixel's edge, or one that moves
    fast, may by now stand in another pixel than its id says.
    """
    ra0, dec0 = propagate(ra, dec, pmra, pmdec, REF_EPOCH_YR, ID_EPOCH_YR)
    error = ID_POSITION_ERROR_ARCSEC / 3600.0
    dec0 = dec0 + error * rng.normal(size=len(ra))
    ra0 = (ra0 + error * rng.normal(size=len(ra)) / np.cos(np.radians(dec0))) % 360.0
    pixel = spatial_index(ra0, dec0) >> 34
    order = np.lexsort((np.arange(len(ra)), pixel))
    first = np.r_[True, np.diff(pixel[order]) > 0]
    start = np.maximum.accumulate(np.where(first, np.arange(len(ra)), 0))
    running = np.empty(len(ra), dtype=np.int64)
    running[order] = (np.arange(len(ra)) - start + 1) * 128
    return pixel * SOURCE_ID_STEP + running


def astrometric_error(g_mag: np.ndarray) -> np.ndarray:
    """Standard error of the parallax in mas by G (the end-of-DR3 relation of ESA's science performance page)."""
    z = np.maximum(10.0 ** (0.4 * (13.0 - 15.0)), 10.0 ** (0.4 * (g_mag - 15.0)))
    return np.sqrt(40.0 + 680.766 * z + 32.732 * z**2) / 1000.0


def photometric_error(mag: np.ndarray, band: str) -> np.ndarray:
    """Standard error of the mean magnitude: a floor and photon noise; BP and RP also suffer from the background."""
    if band == "g":
        return np.sqrt(
            0.00025**2 + (0.0011 * 10.0 ** (0.2 * (mag - 17.0))) ** 2 + (0.004 * 10.0 ** (0.4 * (mag - 20.0))) ** 2
        )
    return np.sqrt(
        0.0012**2 + (0.008 * 10.0 ** (0.2 * (mag - 17.0))) ** 2 + (0.055 * 10.0 ** (0.4 * (mag - 19.5))) ** 2
    )


def gaia_source(sky: Sky, in_gaia: np.ndarray, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of `gaia_source`, and for each its row in the sky. Duplicated sources stand twice.

    Parameters
    ----------
    sky : the true sky.
    in_gaia : bool[n], what Gaia saw.
    """
    star = np.flatnonzero(in_gaia)
    twice = star[rng.random(len(star)) < 0.004]
    star = np.concatenate([star, twice])
    duplicated = np.isin(star, twice)
    n = len(star)
    true = {key: value[star] for key, value in sky.items()}
    outside = np.isin(true["kind"], ("QSO", "GALAXY"))
    crowded = true["field"] == "disc"
    blended = (rng.random(n) < np.where(crowded, 0.06, 0.012)) & ~outside
    binary = np.isin(true["var_class"], ("EA", "EB", "EW"))
    g_true = np.where(blended, true["g_mag"] - 0.3 * rng.random(n), true["g_mag"])

    ruwe = np.exp(0.06 * rng.normal(size=n)) * 1.01
    disturbed = blended | (binary & (rng.random(n) < 0.4)) | (rng.random(n) < 0.03) | (true["kind"] == "GALAXY")
    ruwe = np.where(disturbed, 1.3 + rng.exponential(1.2, n), ruwe)
    parallax_error = astrometric_error(g_true) * np.exp(0.12 * rng.normal(size=n)) * np.maximum(1.0, 0.8 * ruwe)
    two_parameters = (rng.random(n) < np.clip((g_true - 19.6) * 0.12, 0.004, 0.25)) | duplicated & (
        np.arange(n) >= n - len(twice)
    )
    two_parameters |= (true["kind"] == "GALAXY") & (rng.random(n) < 0.7)
    full = ~two_parameters
    error_ra, error_dec = 0.80 * parallax_error, 0.72 * parallax_error
    error_ra, error_dec = np.where(full, error_ra, 3.0 * error_ra), np.where(full, error_dec, 3.0 * error_dec)
    error_pmra, error_pmdec = 0.98 * parallax_error, 0.88 * parallax_error
    # Errors are slightly underestimated where RUWE is high, as in life.
    inflate = np.maximum(1.0, 0.9 * ruwe)

    source_id = source_ids(true["ra"], true["dec"], true["pmra"], true["pmdec"], rng)
    mas = 1.0 / 3_600_000.0
    offset_dec = inflate * error_dec * rng.normal(size=n) + np.where(np.arange(n) >= n - len(twice), 120.0, 0.0)
    dec = true["dec"] + offset_dec * mas
    ra = (true["ra"] + inflate * error_ra * rng.normal(size=n) * mas / np.cos(np.radians(dec))) % 360.0
    blank = np.where(full, 0.0, np.nan)
    with np.errstate(divide="ignore"):
        true_parallax = 1000.0 / true["distance_pc"]
    parallax = (
        true_parallax - 0.030 + inflate * parallax_error * rng.normal(size=n) + blank
    )  # zero point, Lindegren et al. 2021
    pmra = true["pmra"] + inflate * error_pmra * rng.normal(size=n) + blank
    pmdec = true["pmdec"] + inflate * error_pmdec * rng.normal(size=n) + blank
    parallax_error, error_pmra, error_pmdec = parallax_error + blank, error_pmra + blank, error_pmdec + blank
    galactic_lon, galactic_lat = galactic(ra, dec)

    columns: dict[str, np.ndarray] = {
        "solution_id": np.full(n, SOLUTION_ID),
        "source_id": source_id,
        "designation": np.char.add("Gaia DR3 ", source_id.astype(str)),
        "random_index": rng.permutation(n),
        "ref_epoch": np.full(n, REF_EPOCH_YR),
        "ra": ra,
        "ra_error": error_ra,
        "dec": dec,
        "dec_error": error_dec,
        "parallax": parallax,
        "parallax_error": parallax_error,
        "parallax_over_error": parallax / parallax_error,
        "pm": np.hypot(pmra, pmdec),
        "pmra": pmra,
        "pmra_error": error_pmra,
        "pmdec": pmdec,
        "pmdec_error": error_pmdec,
        "astrometric_excess_noise": np.where(disturbed, 0.15 * ruwe, rng.exponential(0.02, n))
        * (1 + 0.3 * (g_true > 19)),
        "ruwe": ruwe + blank,
        "visibility_periods_used": rng.integers(11, 27, n),
        "ipd_frac_multi_peak": np.where(blended, rng.integers(8, 70, n), rng.integers(0, 3, n)),
        "duplicated_source": duplicated,
        "phot_g_n_obs": rng.integers(150, 460, n),
        "l": galactic_lon,
        "b": galactic_lat,
    }
    has_colour = rng.random(n) > np.where(blended, 0.35, 0.004 + np.clip((g_true - 20.0) * 0.06, 0, 0.08))
    columns["astrometric_params_solved"] = np.where(two_parameters, 3, np.where(has_colour & ~blended, 31, 95))
    columns |= _photometry(true, g_true, has_colour, blended, rng)
    columns |= _classes(true, blended, rng)
    columns |= _gspphot(true, columns["phot_g_mean_mag"], has_colour & full, rng)

    slow = (g_true < 14.2) & (true["teff_k"] > 3200) & (true["teff_k"] < 14000) & full & (rng.random(n) < 0.9)
    rv_error = 0.3 + 4.0 * 10.0 ** (0.4 * (g_true - 14.0)) * np.where(true["teff_k"] > 7000, 3.0, 1.0)
    rv_error = np.where(binary, rv_error + 15.0, rv_error)
    columns["radial_velocity"] = np.where(slow, true["rv_kms"] + rv_error * rng.normal(size=n), np.nan)
    columns["radial_velocity_error"] = np.where(slow, rv_error, np.nan)
    columns["non_single_star"] = np.where(
        binary & (rng.random(n) < 0.3), 4, np.where(disturbed & (rng.random(n) < 0.05), 1, 0)
    )
    columns |= _wavenumbers(true, columns["astrometric_params_solved"], columns["phot_g_mean_mag"], rng)
    order = np.argsort(source_id, kind="stable")
    return {key: value[order] for key, value in columns.items()}, star[order]


def _wavenumbers(true: Sky, solved: np.ndarray, g_mag: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The colour that the astrometry went by in 1/um: known with five parameters, solved for with six.

    Of a colour as Lindegren et al. (2018), A&A 616, A2, eq. 2.
    """
    c = true["bp_mag"] - true["rp_mag"]
    wavenumber = 2.0 - 1.8 / np.pi * np.arctan(0.331 + 0.572 * c - 0.014 * c**2 + 0.045 * c**3)
    noise = 0.02 * 10.0 ** (0.2 * np.maximum(g_mag - 15.0, -2.0)) * rng.normal(size=len(c))
    return {
        "nu_eff_used_in_astrometry": np.where(solved == 31, wavenumber, np.nan),
        "pseudocolour": np.where(solved == 95, wavenumber + noise, np.nan),
    }


def _photometry(
    true: Sky, g_true: np.ndarray, has_colour: np.ndarray, blended: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    n = len(g_true)
    out: dict[str, np.ndarray] = {}
    extra = np.where(blended, rng.uniform(0.1, 0.6, n), 0.0)  # light of the neighbour in the long BP/RP windows
    crowding = np.where(true["field"] == "disc", 0.02 * rng.exponential(1.0, n), 0.0)
    for band, mag in (
        ("g", g_true),
        ("bp", true["bp_mag"] - extra - crowding),
        ("rp", true["rp_mag"] - extra - crowding),
    ):
        error = photometric_error(mag, band) * np.exp(0.1 * rng.normal(size=n))
        varying = np.isin(true["var_class"], ("RRab", "RRc", "EW", "EA", "EB")) & (band == "g")
        error = np.where(varying, 6.0 * error, error)
        relative = error * np.log(10.0) / 2.5
        flux = 10.0 ** (-0.4 * (mag - ZERO_POINT[band])) * np.maximum(1.0 + relative * rng.normal(size=n), 0.05)
        if band != "g":
            flux = np.where(has_colour, flux, np.nan)
        flux_error = relative * 10.0 ** (-0.4 * (mag - ZERO_POINT[band])) + 0.0 * flux
        out[f"phot_{band}_mean_flux"], out[f"phot_{band}_mean_flux_error"] = flux, flux_error
        out[f"phot_{band}_mean_flux_over_error"] = flux / flux_error
        out[f"phot_{band}_mean_mag"] = ZERO_POINT[band] - 2.5 * np.log10(flux)
    out["bp_rp"] = out["phot_bp_mean_mag"] - out["phot_rp_mean_mag"]
    out["phot_bp_rp_excess_factor"] = (out["phot_bp_mean_flux"] + out["phot_rp_mean_flux"]) / out["phot_g_mean_flux"]
    return out


def _classes(true: Sky, blended: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    n = len(blended)
    is_qso, is_galaxy = true["kind"] == "QSO", true["kind"] == "GALAXY"
    doubt = np.clip(rng.exponential(0.004, n) + np.where(blended, 0.05 * rng.random(n), 0.0), 0, 0.4)
    doubt = np.where(is_qso | is_galaxy, rng.beta(1.0, 6.0, n), doubt)
    periodic = np.isin(true["var_class"], ("EA", "EB", "EW", "RRab", "RRc", "DSCT", "ROT"))
    variable = (periodic & (rng.random(n) < 0.75)) | (is_qso & (rng.random(n) < 0.4)) | (rng.random(n) < 0.01)
    return {
        "classprob_dsc_combmod_quasar": np.where(is_qso, 1.0 - doubt, 0.5 * doubt),
        "classprob_dsc_combmod_galaxy": np.where(is_galaxy, 1.0 - doubt, 0.2 * doubt),
        "classprob_dsc_combmod_star": np.where(
            is_qso, 0.5 * doubt, np.where(is_galaxy, 0.8 * doubt, 1.0 - 0.7 * doubt)
        ),
        "in_qso_candidates": is_qso & (rng.random(n) < 0.9),
        "in_galaxy_candidates": is_galaxy & (rng.random(n) < 0.8),
        "phot_variable_flag": np.where(variable, "VARIABLE", "NOT_AVAILABLE"),
    }


def _gspphot(true: Sky, g_mag: np.ndarray, possible: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """GSP-Phot parameters: good to 100-200 K in clear sky, worse with dust (temperature and extinction trade off)."""
    n = len(g_mag)
    has = (
        possible
        & (g_mag < 19.0)
        & (true["teff_k"] < 45000)
        & (rng.random(n) < 0.88)
        & ~np.isin(true["kind"], ("QSO", "GALAXY"))
    )
    sigma = 0.012 + 0.012 * true["a_v_mag"] + 0.01 * np.clip(g_mag - 15.0, 0, 5)
    drift = sigma * rng.normal(size=n)
    teff = np.clip(true["teff_k"] * np.exp(drift), 2500.0, 55000.0)
    a_v = np.maximum(
        true["a_v_mag"] + 6.0 * drift * np.clip(5500.0 / true["teff_k"], 0.3, 1.5) + 0.03 * rng.normal(size=n), 0.0
    )
    with np.errstate(invalid="ignore"):
        distance = true["distance_pc"] * np.exp(0.08 * rng.normal(size=n) + 0.3 * drift)
    values = {
        "teff_gspphot": teff,
        "teff_gspphot_lower": teff * (1 - 0.35 * sigma),
        "teff_gspphot_upper": teff * (1 + 0.35 * sigma),
        "logg_gspphot": np.clip(true["logg_dex"] + 0.15 * rng.normal(size=n), -0.5, 5.5),
        "mh_gspphot": np.clip(0.7 * true["feh_dex"] - 0.15 + 0.25 * rng.normal(size=n), -4.1, 0.8),
        "distance_gspphot": distance,
        "ag_gspphot": 0.80 * a_v,
        "ebpminrp_gspphot": 0.43 * a_v,
    }
    return {key: np.where(has, value, np.nan) for key, value in values.items()}
