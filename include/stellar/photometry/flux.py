"""Magnitudes to flux densities and back, errors propagated.

The error of a flux is that of its magnitude and that of the band's zero point, in quadrature: fluxes of one band share
the second one, so that it does not average out over stars. A magnitude without an error has a flux without one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stellar.photometry.bands import AB_ZERO_JY, Band

Floats = npt.NDArray[np.float64]
#: Speed of light in Angstrom/s times 1e-23 erg/s/cm2/Hz per Jy.
_LIGHT_JY = 2.99792458e18 * 1e-23
_POGSON = 0.4 * np.log(10.0)


def flux_jy(mag: npt.ArrayLike, mag_err: npt.ArrayLike, band: Band, *, asinh: bool = False) -> tuple[Floats, Floats]:
    """Flux density per frequency of magnitudes of a band, Jy, and its error.

    Parameters
    ----------
    mag, mag_err : float64[n]
        In the survey's own system; NaN where unknown.
    asinh : bool
        Magnitudes are inverse hyperbolic sines: F / F0 = 2 b sinh(-m ln 10 / 2.5 - ln b) (Lupton, Gunn & Szalay 1999,
        AJ 118, 1406), which a faint star's negative flux has as well. Otherwise F / F0 = 10**(-0.4 m).

    Raises
    ------
    ValueError
        When `asinh` is asked of a band without a softening.
    """
    m, error = np.asarray(mag, float), np.asarray(mag_err, float)
    if asinh:
        if band.asinh_softening is None:
            raise ValueError(f"band {band.id} has no asinh_softening in config/bands.yaml")
        angle = -_POGSON * m - np.log(band.asinh_softening)
        flux = band.zero_jy * 2.0 * band.asinh_softening * np.sinh(angle)
        slope = band.zero_jy * 2.0 * band.asinh_softening * np.cosh(angle) * _POGSON
    else:
        flux = band.zero_jy * 10.0 ** (-0.4 * m)
        slope = flux * _POGSON
    return flux, np.hypot(slope * error, flux * _POGSON * band.zero_point_error_mag)


def magnitude(flux: npt.ArrayLike, band: Band, *, asinh: bool = False) -> Floats:
    """Magnitude of a flux density in Jy, float64[n]: the inverse of `flux_jy`. NaN of fluxes that have none."""
    ratio = np.asarray(flux, float) / band.zero_jy
    if asinh:
        if band.asinh_softening is None:
            raise ValueError(f"band {band.id} has no asinh_softening in config/bands.yaml")
        return -(np.arcsinh(ratio / (2.0 * band.asinh_softening)) + np.log(band.asinh_softening)) / _POGSON
    return -2.5 * np.log10(np.where(ratio > 0, ratio, np.nan))


def per_angstrom(jy: npt.ArrayLike, band: Band) -> Floats:
    """Flux density per wavelength, erg/s/cm2/Angstrom, of one per frequency in Jy.

    F_lambda = F_nu c / pivot**2 holds of any spectrum, being what defines the pivot wavelength (Tokunaga & Vacca 2005,
    PASP 117, 421).
    """
    return np.asarray(jy, float) * _LIGHT_JY / band.pivot_angstrom**2


def ab_minus_vega(band: Band) -> float:
    """AB magnitude of a star in the band minus its Vega magnitude, by the SVO's spectrum of Vega."""
    return float(-2.5 * np.log10(band.vega_jy / AB_ZERO_JY))
