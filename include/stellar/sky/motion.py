"""Positions moved between epochs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .separation import unit_vectors

DEG_PER_MAS = 1 / 3.6e6


def propagate(
    ra: ArrayLike, dec: ArrayLike, pmra: ArrayLike, pmdec: ArrayLike, epoch_from_yr: ArrayLike, epoch_to_yr: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move positions by proper motion from one epoch to another.

    Uniform motion along the tangent at the first epoch: u(t) = normalise(u0 + t (pmra p + pmdec q)), the standard
    model of ESA SP-1200 (Hipparcos) vol. 1, sec. 1.2.8, without parallax and radial velocity. Exact at the poles,
    since the triad (p, q, u0) is made from RA and Dec themselves.

    Parameters
    ----------
    ra, dec : array_like
        Degrees at `epoch_from_yr`.
    pmra, pmdec : array_like
        mas/yr; pmra includes cos(dec), as all surveys publish it. NaN means unknown and moves nothing.
    epoch_from_yr, epoch_to_yr : array_like
        Julian years. A NaN epoch moves nothing.

    Returns
    -------
    ra, dec : ndarray
        Degrees at `epoch_to_yr`, RA in [0, 360). Rows that do not move are returned as they came, bit for bit.
    """
    ra, dec, pmra, pmdec, start, end = np.broadcast_arrays(
        *(np.asarray(x, np.float64) for x in (ra, dec, pmra, pmdec, epoch_from_yr, epoch_to_yr))
    )
    years = np.nan_to_num(end - start, nan=0.0)
    shift_ra = np.radians(np.nan_to_num(pmra, nan=0.0) * years * DEG_PER_MAS)
    shift_dec = np.radians(np.nan_to_num(pmdec, nan=0.0) * years * DEG_PER_MAS)
    a, d = np.radians(ra), np.radians(dec)
    east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)], axis=-1)
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=-1)
    x, y, z = np.moveaxis(unit_vectors(ra, dec) + shift_ra[..., None] * east + shift_dec[..., None] * north, -1, 0)
    new_ra = np.degrees(np.arctan2(y, x)) % 360.0
    new_dec = np.degrees(np.arctan2(z, np.hypot(x, y)))
    still = (shift_ra == 0) & (shift_dec == 0)
    # -1e-17 % 360 is 360.0 in floating point
    new_ra = np.where(new_ra >= 360.0, 0.0, new_ra)
    return np.where(still, ra, new_ra), np.where(still, dec, new_dec)
