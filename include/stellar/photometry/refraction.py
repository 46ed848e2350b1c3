"""Wavelengths in air and in vacuum."""

from __future__ import annotations

import numpy as np

from stellar.errors import InputError


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
