"""Wavelengths in air and in vacuum, and the parts of an observed spectrum that the Earth's atmosphere spoils."""

from __future__ import annotations

import numpy as np

from stellar.errors import InputError

# Absorption bands of O2 and H2O, vacuum Angstrom in the observer's frame (Kirkpatrick, Henry & McCarthy 1991, ApJS 77,
# 417, table 5, with their wings).
TELLURIC_BANDS = ((6860.0, 6970.0), (7160.0, 7340.0), (7580.0, 7720.0), (8120.0, 8360.0), (8920.0, 9900.0))
# Airglow lines that sky subtraction leaves residuals of: [O I] and Na I, air wavelengths of Osterbrock et al. 1996
# (PASP 108, 277), moved to vacuum.
AIRGLOW_LINES = (5578.9, 5891.6, 5897.6, 6302.0, 6365.5)
AIRGLOW_HALF_WIDTH = 6.0  # Angstrom: two resolution elements at R = 1,800


def refractive_index(vacuum_angstrom: np.ndarray) -> np.ndarray:
    """Refractive index of standard air (15 C, 101,325 Pa, 450 ppm CO2) at vacuum wavelengths from 2,000 Angstrom.

    Ciddor 1996 (Applied Optics 35, 1566), equation 1; what SDSS, idlutils (`airtovac`) and specutils (`Ciddor1996`)
    use. Morton 2000 (ApJS 130, 403) differs by less than 1e-8.
    """
    wave = np.asarray(vacuum_angstrom, dtype=np.float64)
    if wave.size and not (np.nanmin(wave) >= 2000.0):
        raise InputError(f"wavelength {np.nanmin(wave):g} Angstrom: air wavelengths are defined from 2,000 Angstrom on")
    wavenumber2 = (1e4 / wave) ** 2  # per square micron
    return 1 + 5.792105e-2 / (238.0185 - wavenumber2) + 1.67917e-3 / (57.362 - wavenumber2)


def vacuum_to_air(vacuum_angstrom: np.ndarray) -> np.ndarray:
    """Wavelengths in standard air, Angstrom."""
    return np.asarray(vacuum_angstrom, dtype=np.float64) / refractive_index(vacuum_angstrom)


def air_to_vacuum(air_angstrom: np.ndarray) -> np.ndarray:
    """Wavelengths in vacuum, Angstrom: the inverse of `vacuum_to_air`, by fixed-point steps.

    The index changes so slowly that each step gains four digits; after three the error is below 1e-9 Angstrom.
    """
    air = np.asarray(air_angstrom, dtype=np.float64)
    vacuum = air
    for _ in range(3):
        vacuum = air * refractive_index(vacuum)
    return vacuum


def spoilt_by_sky(observed_angstrom: np.ndarray) -> np.ndarray:
    """Bool of the input's shape: within a telluric band or next to an airglow line. Vacuum, observer's frame."""
    wave = np.asarray(observed_angstrom, dtype=np.float64)
    spoilt = np.zeros(wave.shape, dtype=bool)
    for low, high in TELLURIC_BANDS:
        spoilt |= (wave >= low) & (wave <= high)
    for line in AIRGLOW_LINES:
        spoilt |= np.abs(wave - line) <= AIRGLOW_HALF_WIDTH
    return spoilt
