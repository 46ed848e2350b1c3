"""The catalogue's parameters: GSP-Phot temperatures with their faults, dust maps, spectroscopic temperatures."""

from __future__ import annotations

import numpy as np

from stellar.archive import stars
from stellar.archive.eclipsing import constants as c
from stellar.archive.population import Sky

# d lnTeff / d(BP-RP) along the main sequence, between the rows of the mean relation.
_SEQUENCE = stars.MAIN_SEQUENCE[::-1]
_MIDDLE_LN_TEFF = 0.5 * (np.log(_SEQUENCE[1:, 0]) + np.log(_SEQUENCE[:-1, 0]))
_SLOPE = -np.diff(np.log(_SEQUENCE[:, 0])) / np.diff(_SEQUENCE[:, 2])
# E(BP-RP) / A_V of a star of solar colour behind little dust (Babusiaux et al. 2018).
EBPRP_PER_AV = 0.46


def composite_teff(pair: Sky) -> np.ndarray:
    """Temperature [K] of the single star whose light a pair's resembles: the mean of ln Teff by G flux."""
    flux1, flux2 = 10.0 ** (-0.4 * pair["abs_g1"]), 10.0 ** (-0.4 * pair["abs_g2"])
    return np.exp((flux1 * np.log(pair["teff1"]) + flux2 * np.log(pair["teff2"])) / (flux1 + flux2))


def colour_slope(teff_k: np.ndarray) -> np.ndarray:
    """|d lnTeff / d(BP-RP)| as it acts on the catalogue: the sequence's, kept finite by priors where it is steep."""
    slope = np.interp(np.log(teff_k), _MIDDLE_LN_TEFF, _SLOPE)
    return slope / np.sqrt(1.0 + (slope / c.RIDGE_SLOPE_MAX) ** 2)


def hot_bias(teff_k: np.ndarray) -> np.ndarray:
    """Factor by which the catalogue has hot stars too cool; 1 below `HOT_FROM_K`, monotonic in the result."""
    above = np.maximum(teff_k - c.HOT_FROM_K, 0.0)
    return 1.0 - c.HOT_LOSS * (1.0 - np.exp(-above / c.HOT_SCALE_K))


def catalogue_parameters(
    pair: Sky, teff_k: np.ndarray, a_v: np.ndarray, measured: Sky, astrometry: Sky, rng: np.random.Generator
) -> Sky:
    """`teff_gaia`, `logg_gaia`, `mh_gaia`, `MISSING` together where there is no solution.

    The fit moves along the ridge on which temperature and reddening give the same colour: an error of E(BP-RP) becomes
    one of ln Teff by `colour_slope`. Reddening cannot be negative, so that near the Sun the error is one-sided.
    """
    n = len(teff_k)
    reddening = EBPRP_PER_AV * a_v
    noise = np.hypot(measured["bp_error"], measured["rp_error"])
    vague = np.clip(astrometry["parallax_error"] / np.maximum(astrometry["true_parallax"], 1e-3), 0.0, 1.0)
    sigma = np.sqrt(
        c.RIDGE_BASE**2
        + (c.RIDGE_PER_EBPRP * reddening) ** 2
        + (c.RIDGE_NOISE * noise) ** 2
        + (c.RIDGE_PARALLAX * vague) ** 2
    )
    surprise = reddening - c.RIDGE_PRIOR_EBPRP
    expected = reddening - c.RIDGE_PRIOR * surprise / (1.0 + np.abs(surprise) / c.RIDGE_PRIOR_REACH)
    shift = np.maximum(expected + sigma * rng.standard_normal(n), 0.0) - reddening
    error = colour_slope(teff_k) * shift + c.TEFF_FLOOR * rng.standard_normal(n)
    second = 10.0 ** (-0.4 * (pair["abs_g2"] - pair["abs_g"]))
    error += c.COMPOSITE_LN * np.log(pair["teff1"] / pair["teff2"]) * second * rng.standard_normal(n)
    confused = rng.random(n) < c.CONFUSED_SHARE
    jump = c.CONFUSED_LN * rng.standard_normal(n)
    jump = np.where(teff_k > c.CONFUSED_COOLER_FROM_K, -np.abs(jump), jump)
    error += np.where(confused, jump, 0.0)
    teff = np.clip(teff_k * hot_bias(teff_k) * np.exp(error), *c.TEFF_RANGE_K)
    faint = 1.0 + np.exp((measured["bp"] - c.TEFF_LIMIT_BP) / c.TEFF_LIMIT_WIDTH)
    reddened = 1.0 + np.exp((reddening - c.TEFF_LIMIT_EBPRP) / c.TEFF_LIMIT_EBPRP_WIDTH)
    solved = rng.random(n) < c.TEFF_SUCCESS / (faint * reddened)
    logg = pair["logg1"] + c.LOGG_PER_LN_TEFF * error + c.LOGG_ERROR_DEX * rng.standard_normal(n)
    mh = 0.8 * pair["feh"] + c.MH_PER_LN_TEFF * error + c.MH_ERROR_DEX * rng.standard_normal(n)
    values = {"teff_gaia": teff, "logg_gaia": np.clip(logg, -0.5, 5.5), "mh_gaia": np.clip(mh, -4.1, 0.8)}
    return {name: np.where(solved, value, c.MISSING) for name, value in values.items()}


def mapped_reddening(total_a_v: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """E(B-V) [mag] of a two-dimensional dust map, and its error: of the whole sightline, not up to the star."""
    ebv = total_a_v / c.R_V
    error = np.hypot(c.MAP_ERROR * ebv, c.MAP_FLOOR)
    seen = ebv * np.exp(c.MAP_ERROR * rng.standard_normal(len(ebv))) + c.MAP_FLOOR * rng.standard_normal(len(ebv))
    return np.maximum(seen, 0.0), error


def reference_teff(teff_k: np.ndarray, g_mag: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spectroscopic Teff [K] of some bright hot pairs, `MISSING` for all others."""
    n = len(teff_k)
    observed = (teff_k > c.REFERENCE_FROM_K) & (g_mag < c.REFERENCE_LIMIT_G) & (rng.random(n) < c.REFERENCE_SHARE)
    return np.where(observed, teff_k * np.exp(c.REFERENCE_ERROR * rng.standard_normal(n)), c.MISSING)
