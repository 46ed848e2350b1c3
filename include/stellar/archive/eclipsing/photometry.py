"""What Gaia, Pan-STARRS and 2MASS measure of pairs: light of both stars, dust, noise, blends, eclipses, limits."""

from __future__ import annotations

import numpy as np

from stellar.archive import stars
from stellar.archive.eclipsing import constants as c
from stellar.archive.gaia import photometric_error
from stellar.archive.population import Sky

PS_BANDS = tuple(c.SDSS_TO_PS)
BANDS_2MASS = tuple(c.GAIA_TO_2MASS)
LN_TO_MAG = 2.5 / np.log(10.0)


def absolute_magnitudes(pair: Sky, rng: np.random.Generator) -> Sky:
    """Unreddened absolute magnitudes of pairs by band, the fluxes of the two stars added.

    Colours of each star by `stellar.archive.stars.colours`; the scatter of `ATMOSPHERE_SCATTER_MAG` is the pair's own.
    """
    n = len(pair["teff1"])
    scatter = {
        name: c.ATMOSPHERE_SCATTER_MAG * rng.standard_normal(n) for name in ("bp_rp", "u_g", "g_r", "r_i", "i_z")
    }
    dwarfs = np.full(n, "MS", dtype="<U2")
    flux: Sky = {}
    for k in ("1", "2"):
        colour = stars.colours(pair[f"teff{k}"], pair[f"logg{k}"], pair["feh"], dwarfs)
        colour = {name: value + scatter[name] for name, value in colour.items()}
        band = stars.band_magnitudes(pair[f"abs_g{k}"], colour)
        of_star = {"g": band["g_mag"], "bp": band["bp_mag"], "rp": band["rp_mag"]}
        for name, (source, *poly) in c.SDSS_TO_PS.items():
            of_star[name] = band[source] + np.polynomial.polynomial.polyval(np.clip(colour["g_r"], -0.6, 2.0), poly)
        x = np.clip(colour["bp_rp"], *c.GAIA_TO_2MASS_RANGE)
        for name, poly in c.GAIA_TO_2MASS.items():
            of_star[name] = band["g_mag"] - np.polynomial.polynomial.polyval(x, poly)
        for name, magnitude in of_star.items():
            flux[name] = flux.get(name, 0.0) + 10.0 ** (-0.4 * magnitude)
    return {name: -2.5 * np.log10(value) for name, value in flux.items()}


def reddened(absolute: Sky, a_v: np.ndarray, distance_pc: np.ndarray) -> Sky:
    """Apparent magnitudes behind dust; Gaia's wide bands redden by colour and amount."""
    modulus = 5.0 * np.log10(distance_pc) - 5.0
    x = np.clip(absolute["bp"] - absolute["rp"], *c.EXTINCTION_COLOUR_RANGE)
    a = np.minimum(a_v, c.EXTINCTION_AV_MAX)
    out = {}
    for name, magnitude in absolute.items():
        if name in c.GAIA_EXTINCTION:
            c1, c2, c3, c4, c5, c6, c7 = c.GAIA_EXTINCTION[name].c
            law = c1 + x * (c2 + x * (c3 + x * c4)) + a * (c5 + c6 * a + c7 * x)
        else:
            law = c.SURVEY_EXTINCTION[name]
        out[name] = magnitude + modulus + law * a_v
    return out


def gaia(true: Sky, depth: np.ndarray, fill: np.ndarray, sin_b: np.ndarray, rng: np.random.Generator) -> Sky:
    """Measured `g`, `bp`, `rp` and their `_error`: heteroscedastic noise, eclipses that do not average out, blends."""
    n = len(depth)
    crowded = np.exp(-np.abs(sin_b) / 0.1)
    blended = rng.random(n) < c.BLEND_SHARE[0] + (c.BLEND_SHARE[1] - c.BLEND_SHARE[0]) * crowded
    extra = np.where(blended, c.BLEND_MAG * rng.random(n) ** 2, 0.0)
    tint = rng.uniform(-0.5, 0.5, n)  # the neighbour's colour against the pair's
    spoilt = rng.random(n) < c.OUTLIER_SHARE
    wobble = _dimming_scatter(depth, fill) / np.sqrt(c.GAIA_EPOCHS)
    measured: Sky = {}
    for band, blend in (("g", 0.0), ("bp", extra * (1.0 - 0.5 * tint)), ("rp", extra * (1.0 + 0.5 * tint))):
        magnitude = true[band] - blend
        error = photometric_error(magnitude, band) * np.exp(0.1 * rng.standard_normal(n))
        error = np.hypot(error, wobble)
        outlier = np.where(spoilt, 0.3 * rng.standard_normal(n) * (band != "g"), 0.0)
        # Fluxes, not magnitudes, have normal noise: faint stars scatter further to the faint side.
        flux = np.maximum(1.0 + error / LN_TO_MAG * rng.standard_normal(n), 0.05)
        measured[band] = magnitude - 2.5 * np.log10(flux) + outlier
        measured[f"{band}_error"] = error
    return measured


def _dimming_scatter(depth: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Standard deviation [mag] of the light curve: an eclipse lasts about fill / pi of the orbit, twice."""
    share = np.clip(2.0 * fill / np.pi, 0.02, 0.5)
    return -2.5 * np.log10(1.0 - depth) * np.sqrt(share * (1.0 - share))


def _dimming(depth: np.ndarray, fill: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Magnitudes by which a pair is fainter at a random moment."""
    inside = rng.random(len(depth)) < np.clip(2.0 * fill / np.pi, 0.02, 0.8)
    return np.where(inside, -2.5 * np.log10(1.0 - depth * rng.random(len(depth))), 0.0)


def pan_starrs(true: Sky, depth: np.ndarray, fill: np.ndarray, dec: np.ndarray, rng: np.random.Generator) -> Sky:
    """Mean magnitudes and their `_error`, `MISSING` in the south and where faint, saturated or not matched."""
    n = len(dec)
    possible = (dec > c.PS_SOUTH_DEG) & (rng.random(n) < c.PS_MATCHED)
    possible &= true["ps_i"] > c.PS_BRIGHT_I + 0.3 * rng.standard_normal(n)
    wobble = _dimming_scatter(depth, fill) / np.sqrt(c.PS_EPOCHS)
    out: Sky = {}
    for band in PS_BANDS:
        one_epoch = 0.2 * 10.0 ** (0.4 * (true[band] - c.PS_DEPTH[band])) * LN_TO_MAG  # 5 sigma at the depth
        error = np.sqrt(c.PS_FLOOR_MAG**2 + one_epoch**2 / c.PS_EPOCHS + wobble**2)
        seen = possible & (true[band] < c.PS_DEPTH[band] + 0.5 * rng.standard_normal(n) * 0.4)
        value = true[band] + error * rng.standard_normal(n)
        out[band], out[f"{band}_error"] = np.where(seen, value, c.MISSING), np.where(seen, error, c.MISSING)
    return out


def two_mass(true: Sky, depth: np.ndarray, fill: np.ndarray, rng: np.random.Generator) -> Sky:
    """J, H, Ks and their `_error`: all three of one moment, in which the pair may be in eclipse."""
    n = len(depth)
    dim = _dimming(depth, fill, rng)
    signal = {band: 10.0 * 10.0 ** (-0.4 * (true[band] + dim - c.DEPTH_2MASS[band])) for band in BANDS_2MASS}
    listed = np.max([signal[band] for band in BANDS_2MASS], axis=0) * np.exp(0.1 * rng.standard_normal(n))
    listed = (listed > c.SNR_2MASS) & (rng.random(n) < c.MATCHED_2MASS)
    out: Sky = {}
    for band in BANDS_2MASS:
        error = np.hypot(c.FLOOR_2MASS_MAG, LN_TO_MAG / np.maximum(signal[band], 1e-3))
        seen = listed & (signal[band] > 0.5 * c.SNR_2MASS)
        value = true[band] + dim + np.minimum(error, 0.5) * rng.standard_normal(n)
        out[band], out[f"{band}_error"] = np.where(seen, value, c.MISSING), np.where(seen, error, c.MISSING)
    return out
