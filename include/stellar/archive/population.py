"""A simple Galaxy: which stars stand in a field, how far, how reddened, and how they move.

Three components (thin disc, thick disc, halo) with the local densities and scales of Juric et al. (2008, ApJ 673,
864) and the kinematics of Bensby et al. (2014, A&A 562, A71); masses by Kroupa (2001, MNRAS 322, 231).
A star is drawn from the initial mass function, aged, placed where a survey of the given limit can see it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stellar.archive import stars
from stellar.archive.fields import GALACTIC, Field, scatter, unit_vector, visual_extinction

Sky = dict[str, np.ndarray]
"""Stars as equally long arrays, by the names of the truth table."""

SUN_GALACTOCENTRIC_PC = 8200.0
SUN_HEIGHT_PC = 20.0
SUN_VELOCITY = np.array([11.1, 12.24, 7.25])  # U, V, W against the local standard of rest, km/s (Schonrich et al. 2010)
CIRCULAR_VELOCITY = 232.0  # km/s
KMS_PER_MASYR_KPC = 4.740470463


class Component(NamedTuple):
    """Density scales in pc, local share, velocity ellipsoid (U, V, W) and drift in km/s, age in Gyr, [Fe/H]."""

    name: str
    local_share: float
    scale_length: float
    scale_height: float
    dispersion: tuple[float, float, float]
    drift: float
    age: tuple[float, float]
    feh: tuple[float, float]


COMPONENTS = (
    Component("thin", 0.885, 2600.0, 300.0, (35.0, 22.0, 17.0), 15.0, (0.05, 9.5), (-0.05, 0.2)),
    Component("thick", 0.110, 3600.0, 900.0, (67.0, 38.0, 35.0), 46.0, (9.5, 11.5), (-0.55, 0.25)),
    Component("halo", 0.005, 0.0, 0.0, (150.0, 85.0, 85.0), 220.0, (11.5, 12.8), (-1.5, 0.4)),
)


def density(component: Component, field: Field, distance_pc: np.ndarray) -> np.ndarray:
    """Stars of a component per unit volume along the field's axis, relative to the Sun's neighbourhood."""
    axis = GALACTIC @ unit_vector(np.array(field.ra), np.array(field.dec))
    x = SUN_GALACTOCENTRIC_PC - distance_pc * axis[0]
    y = distance_pc * axis[1]
    z = distance_pc * axis[2] + SUN_HEIGHT_PC
    if component.name == "halo":  # oblate power law, q = 0.64, n = -2.8
        radius = np.sqrt(x**2 + y**2 + (z / 0.64) ** 2)
        return component.local_share * (radius / SUN_GALACTOCENTRIC_PC) ** -2.8
    radial = np.exp(-(np.hypot(x, y) - SUN_GALACTOCENTRIC_PC) / component.scale_length)
    return component.local_share * radial * np.exp(-np.abs(z) / component.scale_height)


def initial_masses(n: int, rng: np.random.Generator) -> np.ndarray:
    """Masses [Sun] between 0.085 and 30 by Kroupa's law (slope -1.3 below 0.5, -2.3 above)."""
    grid = np.geomspace(0.085, 30.0, 2000)
    pdf = np.where(grid < 0.5, grid**-1.3, 0.5 * grid**-2.3)
    cumulative = np.cumsum(pdf * np.gradient(grid))
    return np.interp(rng.random(n), cumulative / cumulative[-1], grid)


def evolve(mass: np.ndarray, age_gyr: np.ndarray, feh: np.ndarray, rng: np.random.Generator) -> Sky:
    """Dwarfs, giants and white dwarfs from mass, age and [Fe/H].

    Main-sequence life is 10.5 Gyr M^-2.6 (8% of it more as a giant); over it a dwarf brightens by 0.8 mag, cools by 4%.
    """
    n = len(mass)
    life = 10.5 * mass**-2.6
    phase = age_gyr / life
    teff, abs_g, radius = stars.dwarf_from_mass(mass, feh)
    old = np.clip(phase, 0.0, 1.0)
    teff, abs_g = teff * (1.0 - 0.04 * old**2), abs_g - 0.8 * old**1.5
    radius = radius * 10.0 ** (0.2 * 0.8 * old**1.5) / (1.0 - 0.04 * old**2) ** 2
    kind = np.full(n, "MS", dtype="<U8")
    final_mass = mass.copy()

    giant = (phase > 1.0) & (phase <= 1.08)
    u = rng.random(n)
    branch = np.log10(10 ** (0.32 * -2.8) + u * (10 ** (0.32 * 3.3) - 10 ** (0.32 * -2.8))) / 0.32
    clump = rng.random(n) < 0.3
    branch = np.where(clump, 0.45 + 0.12 * rng.normal(size=n), branch)
    teff = np.where(giant, stars.giant_teff(branch, feh) * (1 + 0.01 * rng.normal(size=n)), teff)
    abs_g = np.where(giant, branch, abs_g)
    kind[giant] = "GIANT"
    # Old metal-poor stars spend the clump's time on the blue horizontal branch instead.
    blue = giant & clump & (feh < -1.0) & (rng.random(n) < 0.5)
    teff = np.where(blue, 7000.0 + 4000.0 * rng.random(n), teff)
    abs_g = np.where(blue, 0.65 + 0.15 * rng.normal(size=n), abs_g)
    kind[blue] = "HB"
    final_mass[blue] = 0.62
    radius = np.where(giant, stars.radius_from_luminosity(abs_g, teff), radius)

    dead = phase > 1.08
    cooling = np.maximum(age_gyr - 1.08 * life, 1e-3)
    wd_teff = np.clip(29000.0 * (cooling / 0.03) ** -0.33, 4200.0, 60000.0)
    teff = np.where(dead, wd_teff, teff)
    abs_g = np.where(dead, stars.white_dwarf(teff) + 0.2 * rng.normal(size=n), abs_g)
    kind[dead] = "WD"
    final_mass = np.where(dead, np.clip(0.48 + 0.08 * mass, 0.5, 1.2), final_mass)
    radius = np.where(dead, 0.0127 * (final_mass / 0.6) ** (-1 / 3), radius)
    return {
        "kind": kind,
        "mass_msun": final_mass,
        "teff_k": teff,
        "abs_g_mag": abs_g,
        "radius_rsun": radius,
        "logg_dex": stars.gravity(final_mass, radius),
        "feh_dex": feh,
    }


def field_stars(field: Field, n: int, rng: np.random.Generator) -> Sky:
    """`n` stars of a field that are brighter than its limit in G."""
    distance = np.geomspace(3.0, 60000.0, 1500)
    cumulative = {}
    for component in COMPONENTS:
        shell = density(component, field, distance) * distance**2 * np.gradient(distance)
        cumulative[component.name] = np.cumsum(shell)
    # Dust on the axis makes the reach of the survey shorter than the inverse square law alone.
    dust = 0.8 * visual_extinction(field, np.full(1500, field.ra), np.full(1500, field.dec), distance)
    modulus = 5.0 * np.log10(distance) - 5.0 + dust

    pools = []
    pool_size = 120_000
    for component in COMPONENTS:
        age = rng.uniform(*component.age, pool_size)
        feh = component.feh[0] + component.feh[1] * rng.normal(size=pool_size)
        pool = evolve(initial_masses(pool_size, rng), age, feh, rng)
        pool["component"] = np.full(pool_size, component.name, dtype="<U13")
        reach = np.interp(field.faint_limit_g + 0.3 - pool["abs_g_mag"], modulus, distance)
        pool["_seen"] = np.interp(reach, distance, cumulative[component.name])
        pools.append(pool)
    pool = concatenate(pools)
    weight = np.cumsum(pool["_seen"])
    chosen, have = [], 0
    while have < n:
        pick = np.searchsorted(weight, rng.random(int(1.4 * n) + 200) * weight[-1])
        part = {key: value[pick] for key, value in pool.items()}
        where = np.empty(len(pick))
        for component in COMPONENTS:
            mine = part["component"] == component.name
            where[mine] = np.interp(rng.random(mine.sum()) * part["_seen"][mine], cumulative[component.name], distance)
        part["distance_pc"] = where
        place(part, field, rng)
        seen = part["g_mag"] < field.faint_limit_g + 0.2 * rng.normal(size=len(pick))
        part = {key: value[seen] for key, value in part.items() if key != "_seen"}
        chosen.append(part)
        have += int(seen.sum())
    return {key: value[:n] for key, value in concatenate(chosen).items()}


def place(sky: Sky, field: Field, rng: np.random.Generator, *, g_mag: np.ndarray | None = None) -> None:
    """Positions, extinction, magnitudes and motions of stars with known physics, in place.

    With `g_mag` the distance is the one at which a star of its luminosity, dust included, has this apparent G.
    """
    n = len(sky["teff_k"])
    sky["field"] = np.full(n, field.name, dtype="<U4")
    sky["ra"], sky["dec"] = scatter(field, n, rng)
    if g_mag is not None:
        sky["distance_pc"] = _distance_for(field, sky, g_mag)
    sky["a_v_mag"] = visual_extinction(field, sky["ra"], sky["dec"], sky["distance_pc"])
    apparent = sky["abs_g_mag"] + 5.0 * np.log10(sky["distance_pc"]) - 5.0
    colour = stars.colours(sky["teff_k"], sky["logg_dex"], sky["feh_dex"], sky["kind"])
    scatter_mag = {name: 0.015 * rng.normal(size=n) for name in ("u_g", "g_r", "r_i", "i_z", "bp_rp")}
    colour = {name: value + scatter_mag[name] for name, value in colour.items()}
    for band, magnitude in stars.band_magnitudes(apparent, colour).items():
        sky[band] = magnitude + stars.EXTINCTION[band] * sky["a_v_mag"]
    _move(sky, rng)


def _distance_for(field: Field, sky: Sky, g_mag: np.ndarray) -> np.ndarray:
    distance = 10.0 ** ((g_mag - sky["abs_g_mag"] + 5.0) / 5.0)
    low, high = np.full_like(distance, 1.0), distance
    for _ in range(30):  # apparent G grows with distance, so bisect
        middle = np.sqrt(low * high)
        dust = stars.EXTINCTION["g_mag"] * visual_extinction(field, sky["ra"], sky["dec"], middle)
        far = sky["abs_g_mag"] + 5.0 * np.log10(middle) - 5.0 + dust > g_mag
        low, high = np.where(far, low, middle), np.where(far, middle, high)
    return np.sqrt(low * high)


def _move(sky: Sky, rng: np.random.Generator) -> None:
    """Proper motion [mas/yr] and radial velocity [km/s] from the component's kinematics, the Sun's motion taken off."""
    n = len(sky["ra"])
    direction = unit_vector(sky["ra"], sky["dec"])
    galactic_direction = direction @ GALACTIC.T
    kpc = sky["distance_pc"] / 1000.0
    # Flat rotation curve: where the star is, which way the circular velocity points.
    x = SUN_GALACTOCENTRIC_PC / 1000.0 - kpc * galactic_direction[:, 0]
    y = kpc * galactic_direction[:, 1]
    radius = np.maximum(np.hypot(x, y), 0.5)
    velocity = np.zeros((n, 3))
    for component in COMPONENTS:
        mine = sky["component"] == component.name
        size = int(mine.sum())
        random = rng.normal(size=(size, 3)) * np.array(component.dispersion)
        turn = CIRCULAR_VELOCITY - component.drift
        velocity[mine, 0] = random[:, 0] + turn * y[mine] / radius[mine]
        velocity[mine, 1] = random[:, 1] + turn * x[mine] / radius[mine] - CIRCULAR_VELOCITY
        velocity[mine, 2] = random[:, 2]
    velocity = (velocity - SUN_VELOCITY) @ GALACTIC  # to ICRS axes
    ra, dec = np.radians(sky["ra"]), np.radians(sky["dec"])
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros(n)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    per_masyr = KMS_PER_MASYR_KPC * kpc
    sky["pmra"] = (velocity * east).sum(axis=1) / per_masyr
    sky["pmdec"] = (velocity * north).sum(axis=1) / per_masyr
    sky["rv_kms"] = (velocity * direction).sum(axis=1)
    sky["redshift"] = sky["rv_kms"] / 299792.458


def concatenate(parts: list[Sky]) -> Sky:
    """One sky of several, over the keys of the first."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
