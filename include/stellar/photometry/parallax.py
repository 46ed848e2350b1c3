"""The zero point of Gaia DR3's parallaxes: Lindegren et al. (2021), A&A 649, A4, by their package."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Median parallax of quasars, mas (Lindegren et al. 2021, A&A 649, A4): for stars of which no more is known.
GLOBAL_MAS = -0.017
FIVE, SIX = 31, 95
LINDEGREN, GLOBAL = "lindegren2021", "global"
# Obliquity of the ecliptic of Gaia's ecliptic coordinates, arcsec (Gaia DR3 documentation, ecl_lat).
_OBLIQUITY = np.radians(84381.41100 / 3600.0)
# Where the corrections were determined: G, effective wavenumber and pseudocolour in 1/um.
_MAGNITUDES, _WAVENUMBERS, _PSEUDOCOLOURS = (6.0, 21.0), (1.1, 1.9), (1.24, 1.72)


def ecliptic_latitude(ra: npt.ArrayLike, dec: npt.ArrayLike) -> Floats:
    """Ecliptic latitude of ICRS positions, degrees, shape (n,)."""
    a, d = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    sine = np.sin(d) * np.cos(_OBLIQUITY) - np.cos(d) * np.sin(_OBLIQUITY) * np.sin(a)
    return np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))


def zero_point(
    g_mag: npt.ArrayLike,
    solved: npt.ArrayLike,
    nu_eff: npt.ArrayLike,
    pseudocolour: npt.ArrayLike,
    latitude: npt.ArrayLike,
) -> tuple[Floats, npt.NDArray[np.str_]]:
    """Zero point of each parallax in mas, to be subtracted from it, and whence it is; shape (n,) each.

    Parameters
    ----------
    g_mag : float64[n]
    solved : float64[n]
        `astrometric_params_solved`: 31 or 95; NaN, where a table does not say, counts as 31, the common case of stars
        bright enough for a good parallax.
    nu_eff, pseudocolour : float64[n]
        `nu_eff_used_in_astrometry` and `pseudocolour`, 1/um; the first is that of five-parameter solutions, the second
        of six-parameter ones. NaN where unknown. The colour BP - RP is no substitute: the relation of Lindegren et al.
        (2018), A&A 616, A2, eq. 2, is off by up to 0.09/um for stars of DR3.
    latitude : float64[n]
        Ecliptic, degrees.

    Returns
    -------
    zero_point, source
        `lindegren2021`, or `global`: the median of the quasars, where magnitude or wavenumber are missing or beyond
        what the correction was determined for.
    """
    g, known, beta = np.asarray(g_mag, float), np.asarray(solved, float), np.asarray(latitude, float)
    six = known == SIX
    nu = np.where(six, np.asarray(pseudocolour, float), np.asarray(nu_eff, float))
    low = np.where(six, _PSEUDOCOLOURS[0], _WAVENUMBERS[0])
    high = np.where(six, _PSEUDOCOLOURS[1], _WAVENUMBERS[1])
    usable = (np.isnan(known) | (known == FIVE) | six) & np.isfinite(beta)
    usable &= (g > _MAGNITUDES[0]) & (g < _MAGNITUDES[1]) & (nu > low) & (nu < high)
    found = np.full(len(g), GLOBAL_MAS)
    if usable.any():
        kind = np.where(six, SIX, FIVE)[usable]
        found[usable] = _package().get_zpt(g[usable], nu[usable], nu[usable], beta[usable], kind)
    return found, np.where(usable, LINDEGREN, GLOBAL)


@cache
def _package() -> Any:
    """The authors' package with its tables loaded."""
    from zero_point import zpt

    zpt.load_tables()
    return zpt
