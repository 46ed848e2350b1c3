"""Eclipsing pairs: two stars of one age, an orbit, and whether its eclipses are seen."""

from __future__ import annotations

import numpy as np

from stellar.archive.eclipsing import constants as c
from stellar.archive.population import Component, Sky, evolve

SOLAR_RADII_PER_AU = 215.032
DAYS_PER_YEAR = 365.25


def importance_masses(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Masses [Sun], spread evenly in the logarithm, and how many stars each stands for.

    Drawn straight from Kroupa's law (2001, MNRAS 322, 231) a pool would hold a handful of hot stars, which a survey
    limited by magnitude sees over and over; their weights put the law back.
    """
    low, high = np.log(c.MASSES_MSUN)
    mass = np.exp(low + (high - low) * rng.random(n))
    law = np.where(mass < 0.5, mass**-1.3, 0.5 * mass**-2.3)
    return mass, law * mass  # dN/dln m


def importance_ages(component: Component, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ages [Gyr], even in the logarithm, and their weights under a constant star formation rate."""
    low, high = np.log(component.age)
    age = np.exp(low + (high - low) * rng.random(n))
    return age, age * (high - low) / (component.age[1] - component.age[0])


def mass_ratios(n: int, rng: np.random.Generator) -> np.ndarray:
    """Flat with an excess of twins (Moe & Di Stefano 2017)."""
    flat = rng.uniform(c.MASS_RATIO_MIN, 1.0, n)
    return np.where(rng.random(n) < c.TWIN_SHARE, rng.uniform(0.95, 1.0, n), flat)


def close_fraction(mass_msun: np.ndarray) -> np.ndarray:
    """Companions per star and decade of the period in orbits below 10 d (Moe & Di Stefano 2017, eq. 20)."""
    log = np.log10(mass_msun)
    return np.maximum(0.020 + 0.04 * log + 0.07 * log**2, c.CLOSE_FRACTION_MIN)


def separation_rsun(total_msun: np.ndarray, period_d: np.ndarray) -> np.ndarray:
    """Semi-major axis by Kepler's third law."""
    return SOLAR_RADII_PER_AU * np.cbrt(total_msun * (period_d / DAYS_PER_YEAR) ** 2)


def periods(n: int, rng: np.random.Generator) -> np.ndarray:
    """Orbital periods in days: close pairs and the short end of Opik's law."""
    close = rng.normal(*c.CLOSE_LOG_PERIOD, n)
    return 10.0 ** np.where(rng.random(n) < c.CLOSE_SHARE, close, rng.uniform(*c.WIDE_LOG_PERIOD, n))


def pool(component: Component, n: int, rng: np.random.Generator) -> Sky:
    """Pairs of a component that can eclipse, with `weight`: how many there are, not yet how far they are seen.

    Returns
    -------
    dict of arrays
        Of each star (`1`, `2`): `teff`, `abs_g`, `radius`, `logg`, `mass`; `feh`, `age_gyr`, `period_d`, `fill`
        ((R1 + R2) / a), `abs_g`, `weight`. Star 1 is the hotter one.
    """
    mass, weight = importance_masses(n, rng)
    age, age_weight = importance_ages(component, n, rng)
    feh = component.feh[0] + component.feh[1] * rng.standard_normal(n)
    ratio = mass_ratios(n, rng)
    period = periods(n, rng)
    heavy, light = evolve(mass, age, feh, rng), evolve(np.maximum(ratio * mass, 0.09), age, feh, rng)
    alive = (heavy["kind"] != "WD") & (light["kind"] != "WD")
    axis = separation_rsun(heavy["mass_msun"] + light["mass_msun"], period)
    fill = (heavy["radius_rsun"] + light["radius_rsun"]) / axis
    kept = np.flatnonzero(alive & (fill < c.OVERFLOW_RADII))
    star = {
        f"{name}{k}": one[f"{name}_{unit}"][kept] for k, one in ((1, heavy), (2, light)) for name, unit in PROPERTIES
    }
    _share_heat(star, fill[kept])
    hotter = star["teff1"] >= star["teff2"]
    out = {f"{name}1": np.where(hotter, star[f"{name}1"], star[f"{name}2"]) for name, _ in PROPERTIES}
    out |= {f"{name}2": np.where(hotter, star[f"{name}2"], star[f"{name}1"]) for name, _ in PROPERTIES}
    out |= {"feh": feh[kept], "age_gyr": age[kept], "period_d": period[kept], "fill": fill[kept]}
    out["abs_g"] = _together(out)
    # Chance that the orbit is seen edge-on enough: (R1 + R2) / a.
    out["weight"] = (weight * age_weight * close_fraction(mass))[kept] * np.minimum(out["fill"], 1.0)
    return out


def varied(pair: Sky, rng: np.random.Generator) -> Sky:
    """Pairs that were drawn from the pool, some of them more than once, made systems of their own.

    A smooth bootstrap: period, temperatures, luminosities and abundances move by a little; `depth`, the share of the
    light lost in the deeper eclipse, is drawn. Otherwise equal periods would tell which systems are copies.
    """
    n = len(pair["teff1"])
    out = dict(pair)
    stretch = c.VARIED_LN_PERIOD * rng.standard_normal(n)
    out["period_d"] = pair["period_d"] * np.exp(stretch)
    out["fill"] = np.minimum(pair["fill"] * np.exp(-2.0 / 3.0 * stretch), c.OVERFLOW_RADII)
    warmth, light = c.VARIED_LN_TEFF * rng.standard_normal(n), c.VARIED_MAG * rng.standard_normal(n)
    for k in ("1", "2"):
        out[f"teff{k}"] = pair[f"teff{k}"] * np.exp(warmth)
        out[f"abs_g{k}"] = pair[f"abs_g{k}"] + light
        # log g = const + log M + 4 log Teff - log L
        out[f"logg{k}"] = pair[f"logg{k}"] + 4.0 * warmth / np.log(10.0) + 0.4 * light
    out["feh"] = pair["feh"] + c.VARIED_FEH_DEX * rng.standard_normal(n)
    out["abs_g"] = _together(out)
    out["depth"] = _depth(out, rng)
    return out


def _together(pair: Sky) -> np.ndarray:
    """Absolute G of both stars."""
    return -2.5 * np.log10(10.0 ** (-0.4 * pair["abs_g1"]) + 10.0 ** (-0.4 * pair["abs_g2"]))


PROPERTIES = (("teff", "k"), ("abs_g", "mag"), ("radius", "rsun"), ("logg", "dex"), ("mass", "msun"))


def _share_heat(star: Sky, fill: np.ndarray) -> None:
    """Contact pairs have a common envelope: the cooler one's temperature comes within 2% of the other's (Lucy 1968).

    Its magnitude follows as the fourth power of the temperature.
    """
    contact = fill > c.CONTACT_RADII
    warm = np.maximum(star["teff1"], star["teff2"])
    for k in (1, 2):
        shared = np.where(contact & (star[f"teff{k}"] < 0.98 * warm), 0.98 * warm, star[f"teff{k}"])
        star[f"abs_g{k}"] = star[f"abs_g{k}"] - 10.0 * np.log10(shared / star[f"teff{k}"])
        star[f"teff{k}"] = shared


def _depth(pair: Sky, rng: np.random.Generator) -> np.ndarray:
    """Share of the light lost in the deeper eclipse: the disc of the smaller star at the hotter one's brightness.

    By how much the discs overlap is drawn; near contact the stars are egg-shaped, which adds up to 0.2 of the light.
    """
    flux1, flux2 = 10.0 ** (-0.4 * pair["abs_g1"]), 10.0 ** (-0.4 * pair["abs_g2"])
    covered = np.minimum(1.0, (pair["radius2"] / pair["radius1"]) ** 2)
    overlap = np.sqrt(rng.random(len(flux1)))
    egg = 0.2 * np.clip((pair["fill"] - 0.4) / 0.4, 0.0, 1.0) * rng.random(len(flux1))
    return np.clip(overlap * covered * flux1 / (flux1 + flux2) + egg, 0.0, 0.95)


def morphology(fill: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Morphology from 0 (wide) to 1 (ellipsoidal), 0.7 where stars touch (Matijevic et al. 2012, AJ 143, 123)."""
    return np.clip(fill / c.CONTACT_RADII * 0.7 + 0.05 * rng.standard_normal(len(fill)), 0.0, 1.0)
