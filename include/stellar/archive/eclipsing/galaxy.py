"""Where binaries of the whole sky stand, and the dust before them.

Stars are counted along 3,072 sightlines (HEALPix order 4) with the densities of `stellar.archive.population`; a system
of given luminosity is seen out to where the survey's limit and the dust end it. Dust is integrated for each star along
its own sightline, times the clouds, a log-normal field that follows from the seed and the position alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stellar.archive.eclipsing import constants as c
from stellar.archive.fields import FIELDS, galactic
from stellar.archive.population import SUN_GALACTOCENTRIC_PC, SUN_HEIGHT_PC, density
from stellar.sky.pixels import INDEX_ORDER, centres

DISTANCES_PC = np.geomspace(25.0, 25_000.0, 140)
BRIGHTEST, STEP_MAG = -9.0, 0.25
ABS_G = np.arange(BRIGHTEST, 14.01, STEP_MAG)
_MEAN_LAW_G = 0.80  # A_G / A_V for the reach of the survey; what a star really suffers depends on its colour
# Gauss-Legendre nodes of a path, drawn together near the Sun, where the layer of the dust is left (s = d u^3).
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_U = 0.5 * (_NODES + 1.0)
_PATH, _PATH_WEIGHT = _U**3, 0.5 * _WEIGHTS * 3.0 * _U**2


class Sightlines(NamedTuple):
    """Cumulative tables that systems are placed by; C components, P pixels, M luminosities, K distances.

    Attributes
    ----------
    counts : float[C, P, K]
        Stars nearer than each of `DISTANCES_PC`, relative to the density at the Sun.
    seen : float[C, P, M]
        Stars within the reach of the survey by absolute magnitude (`ABS_G`).
    clouds : tuple of float[12 * 4**order]
        ln of each order's factor on the dust.
    """

    counts: np.ndarray
    seen: np.ndarray
    clouds: tuple[np.ndarray, ...]

    def weight(self, component: int, abs_g: np.ndarray) -> np.ndarray:
        """Number of stars of this luminosity that the survey sees on the whole sky, relative."""
        return self.seen[component].sum(axis=0)[_luminosity(abs_g)]


def _luminosity(abs_g: np.ndarray) -> np.ndarray:
    """Row of `ABS_G` that is not fainter than a magnitude: what is seen too far is cut by the real magnitude later."""
    return np.clip(np.floor((abs_g - BRIGHTEST) / STEP_MAG).astype(np.int64), 0, len(ABS_G) - 1)


def smooth_extinction(l_deg: np.ndarray, b_deg: np.ndarray, distance_pc: np.ndarray) -> np.ndarray:
    """A_V [mag] of the smooth double exponential dust disc between the Sun and points, arrays of one shape."""
    l_rad, b_rad = np.radians(l_deg)[..., None], np.radians(b_deg)[..., None]
    path = distance_pc[..., None] * _PATH
    flat = path * np.cos(b_rad)
    radius = np.sqrt(SUN_GALACTOCENTRIC_PC**2 + flat**2 - 2.0 * SUN_GALACTOCENTRIC_PC * flat * np.cos(l_rad))
    height = np.abs(path * np.sin(b_rad) + SUN_HEIGHT_PC)
    thickness = np.exp((SUN_GALACTOCENTRIC_PC - radius) / c.DUST_LENGTH_PC - height / c.DUST_HEIGHT_PC)
    return c.DUST_AV_PER_KPC / 1000.0 * distance_pc * (thickness * _PATH_WEIGHT).sum(axis=-1)


def clouds(seed: int) -> tuple[np.ndarray, ...]:
    """Logarithms of the factors on the dust by HEALPix pixel, one array for each of `DUST_ORDERS`."""
    sigma = c.DUST_SIGMA_LN / np.sqrt(len(c.DUST_ORDERS))
    return tuple(
        sigma * np.random.default_rng([seed, 1, order]).standard_normal(12 * 4**order) for order in c.DUST_ORDERS
    )


def cloudiness(fields: tuple[np.ndarray, ...], index_29: np.ndarray, finest: int = 29) -> np.ndarray:
    """Factor on the smooth dust at positions, of mean 1; orders above `finest` are blurred away."""
    log, variance = np.zeros(len(index_29)), 0.0
    for order, values in zip(c.DUST_ORDERS, fields, strict=True):
        if order <= finest:
            log += values[index_29 >> 2 * (INDEX_ORDER - order)]
            variance += c.DUST_SIGMA_LN**2 / len(c.DUST_ORDERS)
    return np.exp(log - 0.5 * variance)


def sightlines(seed: int) -> Sightlines:
    """Tables of the whole sky: what `place` draws from."""
    n = 12 * 4**c.SIGHTLINE_ORDER
    ra, dec = centres(np.arange(n), c.SIGHTLINE_ORDER)
    l_deg, b_deg = galactic(ra, dec)
    dust = smooth_extinction(
        np.repeat(l_deg[:, None], len(DISTANCES_PC), 1),
        np.repeat(b_deg[:, None], len(DISTANCES_PC), 1),
        np.repeat(DISTANCES_PC[None], n, 0),
    )
    modulus = 5.0 * np.log10(DISTANCES_PC) - 5.0 + _MEAN_LAW_G * dust
    shell = DISTANCES_PC**2 * np.gradient(DISTANCES_PC)
    counts = np.empty((len(c.POPULATION), n, len(DISTANCES_PC)))
    for p in range(n):
        field = FIELDS[0]._replace(ra=float(ra[p]), dec=float(dec[p]))
        for k, component in enumerate(c.POPULATION):
            counts[k, p] = np.cumsum(density(component, field, DISTANCES_PC) * shell)
    seen = np.empty((len(c.POPULATION), n, len(ABS_G)))
    for p in range(n):
        reach = np.interp(c.FAINT_LIMIT_G + 0.1 - ABS_G, modulus[p], DISTANCES_PC, left=0.0)
        for k in range(len(c.POPULATION)):
            seen[k, p] = np.interp(reach, DISTANCES_PC, counts[k, p], left=0.0)
    return Sightlines(counts, seen, clouds(seed))


def place(
    tables: Sightlines, component: np.ndarray, abs_g: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Positions and distances of systems, drawn in proportion to where the survey sees their like.

    Parameters
    ----------
    tables : Sightlines
    component : int[n]
        Rows of `constants.POPULATION`.
    abs_g : float[n]
        Absolute magnitudes of the systems.
    rng : numpy.random.Generator

    Returns
    -------
    dict
        `index_29` (nested HEALPix index of order 29), `ra`, `dec`, `l`, `b` (degrees), `distance_pc`.
    """
    n = len(abs_g)
    _, pixels, _ = tables.seen.shape
    luminosity = _luminosity(abs_g)
    # One search in the running sum over all (component, luminosity, pixel) instead of one for each system.
    by_pixel = np.cumsum(tables.seen.transpose(0, 2, 1).reshape(-1))
    group = component * len(ABS_G) + luminosity
    ends = by_pixel[(group + 1) * pixels - 1]
    starts = np.where(group > 0, by_pixel[group * pixels - 1], 0.0)
    found = np.searchsorted(by_pixel, starts + rng.random(n) * (ends - starts), side="right")
    pixel = np.clip(found - group * pixels, 0, pixels - 1)

    line = component * pixels + pixel
    counts = tables.counts.reshape(-1, len(DISTANCES_PC))
    offset = np.concatenate([[0.0], np.cumsum(counts[:, -1])])
    running = (counts + offset[:-1, None]).reshape(-1)
    wanted = offset[line] + rng.random(n) * tables.seen[component, pixel, luminosity]
    shell = np.searchsorted(running, wanted, side="right") - line * len(DISTANCES_PC)
    shell = np.clip(shell, 0, len(DISTANCES_PC) - 1)
    outer = counts[line, shell]
    inner = np.where(shell > 0, counts[line, np.maximum(shell - 1, 0)], 0.0)
    share = np.clip((wanted - offset[line] - inner) / np.maximum(outer - inner, 1e-300), 0.0, 1.0)
    nearer = np.where(shell > 0, DISTANCES_PC[np.maximum(shell - 1, 0)], 0.0)
    distance = np.cbrt(nearer**3 + share * (DISTANCES_PC[shell] ** 3 - nearer**3))

    below = 2 * (INDEX_ORDER - c.SIGHTLINE_ORDER)
    index_29 = (pixel << below) | rng.integers(0, 1 << below, n)
    ra, dec = centres(index_29, INDEX_ORDER)
    l_deg, b_deg = galactic(ra, dec)
    return {
        "index_29": index_29,
        "ra": ra,
        "dec": dec,
        "l": l_deg,
        "b": b_deg,
        "distance_pc": np.maximum(distance, 5.0),
    }
