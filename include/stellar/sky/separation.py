"""Angles between positions, right from 0 to 180 degrees and exact below a milliarcsecond."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ARCSEC_PER_DEGREE = 3600.0


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
    """Cartesian unit vectors of positions.

    Parameters
    ----------
    ra, dec : array_like, shape (n,)
        Degrees.

    Returns
    -------
    ndarray, shape (n, 3)
    """
    a, d = np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64))
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def separation_deg(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> NDArray[np.float64]:
    """Great-circle separation in degrees; see `separation_arcsec`."""
    ra1, dec1, ra2, dec2 = (np.asarray(x, np.float64) for x in (ra1, dec1, ra2, dec2))
    # Differences are taken in degrees, where they are exact for near positions (Sterbenz), and wrapped there: taking
    # away a whole turn is exact too, and the same in both directions.
    across = ra2 - ra1
    half_ra = np.radians(across - 360.0 * np.rint(across / 360.0)) / 2
    half_dec = np.radians(dec2 - dec1) / 2
    east2 = np.sin(half_ra) ** 2
    sin2 = np.sin(half_dec) ** 2 + np.cos(np.radians(dec1)) * np.cos(np.radians(dec2)) * east2
    # The haversine's complement is written out, since 1 - sin2 would cancel near the antipode.
    cos2 = np.cos(half_dec) ** 2 * np.cos(half_ra) ** 2 + np.sin(np.radians(dec1 + dec2) / 2) ** 2 * east2
    return np.degrees(2 * np.arctan2(np.sqrt(sin2), np.sqrt(cos2)))


def separation_arcsec(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> NDArray[np.float64]:
    """Great-circle separation by the haversine formula.

    Parameters
    ----------
    ra1, dec1, ra2, dec2 : array_like
        Degrees; they broadcast together. RA may be outside [0, 360).

    Returns
    -------
    ndarray
        Arcseconds. Haversine of Sinnott (1984, Sky and Telescope 68, 159): no cancellation at small angles, so
        what limits it is the spacing of doubles in the coordinates (6e-14 deg, or 0.2 microarcseconds, at RA 360).
    """
    return separation_deg(ra1, dec1, ra2, dec2) * ARCSEC_PER_DEGREE
