"""Angles between positions, right from 0 to 180 degrees and exact below a milliarcsecond.

The formula is written once, with nothing but operations that IEEE 754 rounds in one way (no sine of the machine's
library), for arrays and, compiled by `stellar.sky.kernel`, for the single pairs of a cross-match. So a separation has
the same bits here, there and on every machine, and a radius is decided in one way only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ARCSEC_PER_DEGREE = 3600.0
_RADIAN = 0.017453292519943295  # per degree
_DEGREE = 57.29577951308232  # per radian
_TAN_22_5, _TAN_67_5 = 0.41421356237309503, 2.414213562373095
# Rows taken at a time, so that the terms of the formula stay in the processor's cache.
_BLOCK = 4096


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
    columns = [np.asarray(x, np.float64) for x in (ra1, dec1, ra2, dec2)]
    shape = np.broadcast_shapes(*(x.shape for x in columns))
    if np.prod(shape, dtype=np.int64) <= _BLOCK:
        found: NDArray[np.float64] = haversine_deg(*columns)
        return found
    blocks: Any = np.nditer(
        [*columns, None],
        flags=["external_loop", "buffered"],
        op_flags=[["readonly"]] * 4 + [["writeonly", "allocate"]],
        op_dtypes=[np.float64] * 5,
        order="C",
        buffersize=_BLOCK,
    )
    with blocks:
        for *position, out in blocks:
            out[...] = haversine_deg(*position)
        return blocks.operands[4]


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


def haversine_deg(ra1: Any, dec1: Any, ra2: Any, dec2: Any) -> Any:
    """Separation in degrees of positions in degrees: arrays or floats, and what the compiled kernel calls."""
    # Differences are taken in degrees, where they are exact for near positions (Sterbenz), and wrapped there: taking
    # away a whole turn is exact too, and the same in both directions.
    across = ra2 - ra1
    across = across - 360.0 * np.floor(across / 360.0 + 0.5)
    sin_ra, cos_ra = sin_cos_deg(0.5 * across)
    sin_half, _ = sin_cos_deg(0.5 * (dec2 - dec1))
    sin_mean, _ = sin_cos_deg(0.5 * (dec1 + dec2))
    _, cos1 = sin_cos_deg(dec1)
    _, cos2 = sin_cos_deg(dec2)
    both = cos1 * cos2
    near = sin_half * sin_half + both * (sin_ra * sin_ra)
    # The same from one position's antipode: 1 - near would cancel there.
    far = sin_mean * sin_mean + both * (cos_ra * cos_ra)
    return 2.0 * atan_deg(np.sqrt(near), np.sqrt(far))


def sin_cos_deg(x: Any) -> tuple[Any, Any]:
    """Sine and cosine of -135 to 135 degrees, to 1 ulp of the angle in radians.

    Folded in degrees, where it is exact, so that cos(90) is 0. Polynomials of fdlibm (Sun Microsystems 1993,
    `k_sin.c` and `k_cos.c`), good to 45 degrees.
    """
    angle = np.abs(x)
    low = angle <= 45.0
    t = _RADIAN * pick(low, angle, 90.0 - angle)
    z = t * t
    s = 2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)
    s = 8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 + z * s)
    s = t + t * (z * (-1.66666666666666324348e-01 + z * s))
    c = -2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)
    c = -1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 + z * c)
    c = 1.0 - (0.5 * z - z * (z * (4.16666666666666019037e-02 + z * c)))
    sine = pick(low, s, c)
    return pick(x < 0.0, -sine, sine), pick(low, c, s)


def atan_deg(y: Any, x: Any) -> Any:
    """Angle in degrees of (x, y) in the first quadrant.

    Polynomial of fdlibm (`s_atan.c`), good to 23.6 degrees from 0; 45 and 90 degrees are reached by the tangent of a
    difference.
    """
    low, middle = y <= _TAN_22_5 * x, y <= _TAN_67_5 * x
    t = pick(low, y, pick(middle, y - x, -x)) / pick(low, x, pick(middle, y + x, y))
    z = t * t
    a = 4.97687799461593236017e-02 + z * (-3.65315727442169155270e-02 + z * 1.62858201153657823623e-02)
    a = 6.66107313738753120669e-02 + z * (-5.83357013379057348645e-02 + z * a)
    a = 9.09088713343650656196e-02 + z * (-7.69187620504482999495e-02 + z * a)
    a = 1.42857142725034663711e-01 + z * (-1.11111104054623557880e-01 + z * a)
    a = 3.33333333333329318027e-01 + z * (-1.99999999998764832476e-01 + z * a)
    return pick(low, 0.0, pick(middle, 45.0, 90.0)) + _DEGREE * (t - t * (z * a))


def pick(condition: Any, yes: Any, no: Any) -> Any:
    """One of two values; the kernel has its own for single numbers."""
    if isinstance(condition, np.bool_):
        return yes if condition else no  # many times faster than np.where
    return np.where(condition, yes, no)
