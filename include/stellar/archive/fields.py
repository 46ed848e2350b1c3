"""The two fields of the simulated sky: where they lie, and how dusty they are.

`FIELDS` are also the regions that the `simulated` and `tiny` profiles ask the surveys for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Field(NamedTuple):
    """A circular field on the sky.

    `share` is the part of the Gaia sources that lie in it; `sectors` the TESS sectors that observed it (of those
    with 10-minute full-frame images); `in_sdss_imaging` says whether SDSS took images there.
    """

    name: str
    ra: float
    dec: float
    radius_deg: float
    share: float
    faint_limit_g: float
    sectors: tuple[int, ...]
    in_sdss_imaging: bool


FIELDS: tuple[Field, ...] = (
    # l = 107, b = -41: high latitude, inside the SDSS footprint, and RA 0 runs through its middle.
    Field("halo", 0.0, 20.0, 1.05, 0.42, 20.7, (42, 43), True),
    # l = 75, b = +1: the crowded plane in Cygnus, behind the Rift; SDSS took spectra (SEGUE) but no deep imaging.
    Field("disc", 305.5, 37.5, 0.50, 0.58, 19.3, (40, 41), False),
)

# ICRS -> Galactic rotation (ESA 1997, The Hipparcos and Tycho Catalogues, vol. 1, eq. 1.5.11).
GALACTIC = np.array(
    [
        [-0.0548755604, -0.8734370902, -0.4838350155],
        [+0.4941094279, -0.4448296300, +0.7469822445],
        [-0.8676661490, -0.1980763734, +0.4559837762],
    ]
)


def unit_vector(lon_deg: np.ndarray, lat_deg: np.ndarray) -> np.ndarray:
    """Unit vectors [n, 3] of directions in degrees."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def to_lonlat(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitude in [0, 360) and latitude, degrees, of vectors [n, 3]."""
    lon = np.degrees(np.arctan2(vector[..., 1], vector[..., 0])) % 360.0
    lat = np.degrees(np.arctan2(vector[..., 2], np.hypot(vector[..., 0], vector[..., 1])))
    return lon, lat


def galactic(ra_deg: np.ndarray, dec_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Galactic l, b in degrees of ICRS positions in degrees."""
    return to_lonlat(unit_vector(ra_deg, dec_deg) @ GALACTIC.T)


def scatter(field: Field, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`n` positions (ra, dec in degrees) spread evenly over the area of a field."""
    cos_edge = np.cos(np.radians(field.radius_deg))
    away = np.arccos(1.0 - rng.random(n) * (1.0 - cos_edge))
    around = rng.random(n) * 2.0 * np.pi
    centre = unit_vector(np.array(field.ra), np.array(field.dec))
    east = np.array([-np.sin(np.radians(field.ra)), np.cos(np.radians(field.ra)), 0.0])
    north = np.cross(centre, east)
    tangent = np.cos(around)[:, None] * north + np.sin(around)[:, None] * east
    return to_lonlat(np.cos(away)[:, None] * centre + np.sin(away)[:, None] * tangent)


def visual_extinction(field: Field, ra: np.ndarray, dec: np.ndarray, distance_pc: np.ndarray) -> np.ndarray:
    """Extinction A_V in magnitudes along the line of sight, growing with distance and patchy across the field.

    At high latitude the dust is a layer of 120 pc scale height with 0.22 mag through it; in the plane it grows
    by 0.55 mag/kpc, with the clouds of the Cygnus Rift (1.3 mag) between 0.8 and 1.3 kpc, out to 6 kpc.
    """
    east = (np.mod(ra - field.ra + 180.0, 360.0) - 180.0) / field.radius_deg
    north = (dec - field.dec) / field.radius_deg
    patch = 1.0 + 0.22 * np.sin(3.1 * east + 1.3 * north + 0.7) + 0.18 * np.sin(2.2 * north - 4.3 * east)
    if field.name == "halo":
        _, b = galactic(np.array(field.ra), np.array(field.dec))
        height = distance_pc * np.sin(np.radians(abs(float(b))))
        depth = 0.22 * (1.0 - np.exp(-height / 120.0))
    else:
        kpc = np.minimum(distance_pc, 6000.0) / 1000.0
        depth = 0.55 * kpc + 1.3 * np.clip((kpc - 0.8) / 0.5, 0.0, 1.0)
    return depth * patch
