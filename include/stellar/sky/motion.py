"""Positions moved between epochs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEG_PER_MAS = 1 / 3.6e6
# Astronomical unit per Julian year in km/s (IAU 2012 Resolution B2: 149,597,870.7 km), which turns a parallax and a
# radial velocity into a relative change of the distance per year.
_AU_PER_YEAR_KM_S = 149_597_870.7 / 31_557_600
# Rows moved at a time, so that the terms stay in the processor's cache.
_BLOCK = 8192

Floats = NDArray[np.float64]


def propagate(
    ra: ArrayLike,
    dec: ArrayLike,
    pmra: ArrayLike,
    pmdec: ArrayLike,
    epoch_from_yr: ArrayLike,
    epoch_to_yr: ArrayLike,
    parallax_mas: ArrayLike | None = None,
    rv_km_s: ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Move positions from one epoch to another.

    Uniform motion along a straight line in space: u(t) = normalise(u0 (1 + zeta t) + t (pmra p + pmdec q)), the
    standard model of ESA SP-1200 (Hipparcos) vol. 1, sec. 1.2.8 and 1.5.5, with zeta = rv parallax / A the relative
    change of the distance per year; light travel time is left out, as there (Butkevich & Lindegren 2014, A&A 570,
    A62: it matters below a milliarcsecond in decades, even for Barnard's star). Exact at the poles, since the triad
    (p, q, u0) is made from RA and Dec themselves.

    Parameters
    ----------
    ra, dec : array_like
        Degrees at `epoch_from_yr`.
    pmra, pmdec : array_like
        mas/yr; pmra includes cos(dec), as all surveys publish it. NaN means unknown and moves nothing.
    epoch_from_yr, epoch_to_yr : array_like
        Julian years. A NaN epoch moves nothing.
    parallax_mas, rv_km_s : array_like, optional
        Parallax (mas), and radial velocity (km/s, positive away). Where both are known they bend the path on the sky
        (perspective acceleration); where either is not given, NaN, or the parallax is not positive, zeta is 0.

    Returns
    -------
    ra, dec : ndarray
        Degrees at `epoch_to_yr`, RA in [0, 360). Rows that do not move are returned as they came, bit for bit.
    """
    given = (ra, dec, pmra, pmdec, epoch_from_yr, epoch_to_yr)
    radial = parallax_mas is not None and rv_km_s is not None
    columns = [np.asarray(x, np.float64) for x in (*given, *((parallax_mas, rv_km_s) if radial else ()))]
    shape = np.broadcast_shapes(*(x.shape for x in columns))
    ra, dec, pmra, pmdec, start, end, *rest = (np.broadcast_to(x, shape).reshape(-1) for x in columns)
    new_ra, new_dec = ra.copy(), dec.copy()
    for begin in range(0, len(ra), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        years = np.nan_to_num(end[part] - start[part], nan=0.0)
        shift_ra, shift_dec = (
            np.radians(np.nan_to_num(pm[part], nan=0.0) * years * DEG_PER_MAS) for pm in (pmra, pmdec)
        )
        moves = np.flatnonzero((shift_ra != 0) | (shift_dec != 0))
        if not len(moves):
            continue
        away = 1 + _radial_rate(*(x[part][moves] for x in rest)) * years[moves] if radial else None
        new_ra[begin + moves], new_dec[begin + moves] = _step(
            ra[part][moves], dec[part][moves], shift_ra[moves], shift_dec[moves], away
        )
    return new_ra.reshape(shape), new_dec.reshape(shape)


def _step(ra: Floats, dec: Floats, shift_ra: Floats, shift_dec: Floats, away: Floats | None) -> tuple[Floats, Floats]:
    """Positions after a step along the tangent (rad), with the distance grown by `away`."""
    a, d = np.radians(ra), np.radians(dec)
    sin_a, cos_a, sin_d, cos_d = np.sin(a), np.cos(a), np.sin(d), np.cos(d)
    x, y, z = cos_d * cos_a, cos_d * sin_a, sin_d
    if away is not None:
        x, y, z = x * away, y * away, z * away
    x = x + shift_ra * -sin_a + shift_dec * (-sin_d * cos_a)
    y = y + shift_ra * cos_a + shift_dec * (-sin_d * sin_a)
    z = z + shift_dec * cos_d
    new_ra = np.degrees(np.arctan2(y, x)) % 360.0
    # -1e-17 % 360 is 360.0 in floating point
    return np.where(new_ra >= 360.0, 0.0, new_ra), np.degrees(np.arctan2(z, np.hypot(x, y)))


def _radial_rate(parallax_mas: Floats, rv_km_s: Floats) -> Floats:
    """Relative change of the distance per year; 0 where it is not known."""
    rate = rv_km_s * np.radians(parallax_mas * DEG_PER_MAS) / _AU_PER_YEAR_KM_S
    return np.where((parallax_mas > 0) & np.isfinite(rate), rate, 0.0)


def largest_motion_arcsec(
    pmra: ArrayLike,
    pmdec: ArrayLike,
    years: ArrayLike,
    parallax_mas: ArrayLike | None = None,
    rv_km_s: ArrayLike | None = None,
) -> float:
    """A bound on how far `propagate` moves any of the rows.

    Parameters
    ----------
    pmra, pmdec : array_like
        mas/yr, NaN where unknown.
    years : array_like
        From one epoch to the other, either sign; NaN moves nothing.
    parallax_mas, rv_km_s : array_like, optional
        As for `propagate`.

    Returns
    -------
    float
        Arcseconds, 0 when nothing moves; what a margin must have beyond the radius of a match. Half a turn when a
        row would come closer than the Sun.
    """
    pmra, pmdec, years = (np.asarray(x, np.float64) for x in (pmra, pmdec, years))
    years = np.nan_to_num(years, nan=0.0)
    moved = np.hypot(np.nan_to_num(pmra, nan=0.0), np.nan_to_num(pmdec, nan=0.0)) * np.abs(years) / 1000
    if parallax_mas is not None and rv_km_s is not None:
        away = 1 + _radial_rate(np.asarray(parallax_mas, np.float64), np.asarray(rv_km_s, np.float64)) * years
        moved = np.where(moved > 0, np.where(away > 0, moved / np.where(away > 0, away, 1), np.inf), 0.0)
    # the step is a tangent, longer than its arc; the last factor is for rounding
    return min(float(np.max(moved, initial=0.0)) * (1 + 1e-9), 648_000.0)
