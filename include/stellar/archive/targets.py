"""Stars of rare kinds, put into the sky at rates far above nature's so that each class has enough members.

Each recipe says how many (at scale 1), in which field, how bright, and what such stars are: temperature,
gravity, metallicity and luminosity ranges of the kind.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stellar.archive import stars
from stellar.archive.fields import FIELDS, Field, scatter, visual_extinction
from stellar.archive.population import Sky, concatenate, place


class Recipe(NamedTuple):
    """`n` stars at scale 1, `halo_share` of them in the halo field; `how` names the physics in `_intrinsic`."""

    n: int
    halo_share: float
    g_range: tuple[float, float]
    how: str
    teff: tuple[float, float]
    component: str = "thin"
    spectrum: bool = False


# Targets of TESS, by class of variability.
VARIABLES: dict[str, Recipe] = {
    "EA": Recipe(190, 0.4, (9.0, 15.5), "dwarf", (4300, 16000)),
    "EB": Recipe(120, 0.4, (9.0, 15.0), "dwarf", (5200, 16000)),
    "EW": Recipe(210, 0.4, (10.0, 15.5), "dwarf", (4600, 7200)),
    "RRab": Recipe(180, 0.7, (12.0, 16.5), "horizontal", (6000, 6750), "halo"),
    "RRc": Recipe(115, 0.7, (12.0, 16.5), "horizontal", (6800, 7400), "halo"),
    "DSCT": Recipe(195, 0.35, (8.5, 14.8), "dwarf", (6800, 8500)),
    "ROT": Recipe(245, 0.45, (9.5, 15.3), "dwarf", (3100, 6300)),
    "FLARE": Recipe(145, 0.6, (11.5, 16.0), "dwarf", (2900, 3800)),
    "SOLR": Recipe(190, 0.45, (7.5, 12.5), "giant", (4500, 5200)),
    "CONST": Recipe(230, 0.45, (9.0, 15.3), "dwarf", (3300, 9500)),
}

# Targets of SDSS spectroscopy that the fields' own stars do not give in number.
SPECTRAL: dict[str, Recipe] = {
    "O": Recipe(40, 0.0, (12.5, 16.5), "dwarf", (31800, 41000), spectrum=True),
    "sdO": Recipe(35, 0.9, (14.5, 18.5), "subdwarf", (33000, 50000), "thick", spectrum=True),
    "B": Recipe(70, 0.0, (13.0, 17.0), "dwarf", (10200, 30000), spectrum=True),
    "sdB": Recipe(50, 0.9, (14.5, 18.5), "subdwarf", (20000, 30500), "halo", spectrum=True),
    "A": Recipe(110, 0.3, (13.5, 17.5), "dwarf", (7350, 9700), spectrum=True),
    "BHB": Recipe(110, 1.0, (14.5, 18.8), "horizontal", (7400, 9800), "halo", spectrum=True),
    "WD": Recipe(160, 0.85, (15.5, 19.3), "white", (6500, 45000), spectrum=True),
    "CARBON": Recipe(80, 0.6, (14.0, 18.8), "carbon", (3600, 4900), "halo", spectrum=True),
    "M": Recipe(110, 0.8, (15.0, 18.8), "dwarf", (2750, 3850), spectrum=True),
    # Nearby stars of high proper motion; a third of them are white dwarfs or subdwarfs in life, M dwarfs here.
    "NEAR": Recipe(40, 0.7, (11.0, 17.0), "near", (2900, 3900), "thick", spectrum=True),
}


def count(n_at_scale_1: int, scale: float) -> int:
    """Members of a class at a scale: proportional, but never fewer than six."""
    return max(6, round(n_at_scale_1 * scale))


def special_stars(scale: float, rng: np.random.Generator) -> Sky:
    """All stars of the recipes, with `var_class` and `wants_spectrum` set."""
    parts = []
    for name, recipe in {**VARIABLES, **SPECTRAL}.items():
        total = count(recipe.n, scale)
        in_halo = round(recipe.halo_share * total)
        for field, n in zip(FIELDS, (in_halo, total - in_halo), strict=True):
            if n:
                parts.append(_make(name, recipe, field, n, rng))
    return concatenate(parts)


def _make(name: str, recipe: Recipe, field: Field, n: int, rng: np.random.Generator) -> Sky:
    sky = _intrinsic(recipe, n, rng)
    sky["component"] = np.full(n, recipe.component, dtype="<U13")
    if recipe.how == "near":
        low, high = 4.0, 22.0  # within 22 pc a thick-disc star moves by more than 0.5"/yr
        distance = low + (high - low) * rng.random(n) ** 0.5
        apparent = sky["abs_g_mag"] + 5.0 * np.log10(distance) - 5.0
    else:
        # Counts grow with magnitude, as in any flux-limited sample.
        low, high = recipe.g_range
        apparent = high - np.minimum(rng.exponential(0.45 * (high - low), n), high - low)
    place(sky, field, rng, g_mag=apparent)
    sky["var_class"] = np.full(n, name if name in VARIABLES else "", dtype="<U5")
    sky["wants_spectrum"] = np.full(n, recipe.spectrum)
    return sky


def _intrinsic(recipe: Recipe, n: int, rng: np.random.Generator) -> Sky:
    low, high = np.log10(recipe.teff)
    teff = 10.0 ** rng.uniform(low, high, n)
    feh = {"thin": -0.05, "thick": -0.55, "halo": -1.5}[recipe.component] + 0.25 * rng.normal(size=n)
    kind = {"giant": "GIANT", "horizontal": "HB", "subdwarf": "SUBDWARF", "white": "WD", "carbon": "CARBON"}.get(
        recipe.how, "MS"
    )
    dwarf_abs, mass, radius = stars.dwarf_from_teff(teff)
    if recipe.how in ("dwarf", "near"):
        up = np.minimum(rng.exponential(0.25, n), 1.0)  # evolution off the zero-age sequence
        abs_g, radius = dwarf_abs - up, radius * 10.0 ** (0.2 * up)
    elif recipe.how == "horizontal":
        abs_g = 0.62 + 0.14 * (feh + 1.5) + 0.08 * rng.normal(size=n)
        mass = np.full(n, 0.62)
        radius = stars.radius_from_luminosity(abs_g, teff)
    elif recipe.how == "giant":
        grid = np.linspace(-1.0, 3.3, 400)
        abs_g = np.interp(teff, stars.giant_teff(grid, np.zeros(400)), grid) + 0.15 * rng.normal(size=n)
        mass = 1.2 + 0.25 * rng.normal(size=n).clip(-2, 2)
        radius = stars.radius_from_luminosity(abs_g, teff)
    elif recipe.how == "subdwarf":
        abs_g = 4.3 + 0.5 * rng.normal(size=n)
        mass = np.full(n, 0.47)
        radius = stars.radius_from_luminosity(abs_g, teff)
    elif recipe.how == "white":
        abs_g = stars.white_dwarf(teff) + 0.2 * rng.normal(size=n)
        mass = 0.6 + 0.06 * rng.normal(size=n)
        radius = 0.0127 * (mass / 0.6) ** (-1 / 3)
    else:  # carbon: half dwarf carbon stars, half CH giants
        is_dwarf = rng.random(n) < 0.4
        abs_g = np.where(is_dwarf, dwarf_abs + 0.6, -0.8 + 0.6 * rng.normal(size=n))
        mass = np.where(is_dwarf, mass, 0.85)
        radius = stars.radius_from_luminosity(abs_g, teff)
    return {
        "kind": np.full(n, kind, dtype="<U8"),
        "mass_msun": mass,
        "teff_k": teff,
        "abs_g_mag": abs_g,
        "radius_rsun": radius,
        "logg_dex": stars.gravity(mass, radius),
        "feh_dex": feh,
    }


def extragalactic(scale: float, like: Sky, rng: np.random.Generator) -> Sky:
    """Quasars (points, some in Gaia) and galaxies of the halo field, with the keys of `like`."""
    field = FIELDS[0]
    n_qso, n_galaxy = count(260, scale), count(2200, scale)
    n = n_qso + n_galaxy
    sky = {
        key: np.full(n, np.nan) if value.dtype.kind == "f" else np.zeros(n, value.dtype) for key, value in like.items()
    }
    is_qso = np.arange(n) < n_qso
    sky["kind"] = np.where(is_qso, "QSO", "GALAXY").astype("<U8")
    sky["component"] = np.full(n, "extragalactic", dtype="<U13")
    sky["field"] = np.full(n, field.name, dtype="<U4")
    sky["ra"], sky["dec"] = scatter(field, n, rng)
    sky["distance_pc"] = np.full(n, np.inf)
    sky["pmra"], sky["pmdec"] = np.zeros(n), np.zeros(n)
    sky["redshift"] = np.where(is_qso, rng.gamma(5.0, 0.32, n), 0.03 + rng.gamma(3.0, 0.07, n))
    sky["a_v_mag"] = visual_extinction(field, sky["ra"], sky["dec"], np.full(n, 5e4))
    # log N(m) grows by 0.45 a magnitude; quasars are blue (Richards et al. 2001), galaxies red.
    faint = np.where(is_qso, 20.3, 21.3)
    r = faint + np.log10(1.0 - rng.random(n) * (1.0 - 10.0 ** (-0.45 * 5.0))) / 0.45
    g_r = np.where(is_qso, 0.18, 0.75) + np.where(is_qso, 0.12, 0.28) * rng.normal(size=n)
    u_g = np.where(is_qso, 0.25, 1.5) + np.where(is_qso, 0.18, 0.45) * rng.normal(size=n)
    r_i = np.where(is_qso, 0.12, 0.36) + np.where(is_qso, 0.1, 0.1) * rng.normal(size=n)
    i_z = np.where(is_qso, 0.05, 0.26) + np.where(is_qso, 0.1, 0.1) * rng.normal(size=n)
    bands = stars.EXTINCTION
    sky["sdss_r"] = r + bands["sdss_r"] * sky["a_v_mag"]
    sky["sdss_g"] = r + g_r + bands["sdss_g"] * sky["a_v_mag"]
    sky["sdss_u"] = r + g_r + u_g + bands["sdss_u"] * sky["a_v_mag"]
    sky["sdss_i"] = r - r_i + bands["sdss_i"] * sky["a_v_mag"]
    sky["sdss_z"] = r - r_i - i_z + bands["sdss_z"] * sky["a_v_mag"]
    sky["g_mag"] = sky["sdss_r"] - 0.05 + 0.2 * g_r
    bp_rp = 1.25 * g_r + 0.35
    sky["bp_mag"], sky["rp_mag"] = sky["g_mag"] + 0.45 * bp_rp, sky["g_mag"] - 0.55 * bp_rp
    sky["tess_mag"] = sky["g_mag"] - 0.6 * bp_rp
    return sky
