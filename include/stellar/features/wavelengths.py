"""The parts of an observed spectrum that the Earth's atmosphere spoils."""

from __future__ import annotations

import numpy as np

# Absorption bands of O2 and H2O, vacuum Angstrom in the observer's frame (Kirkpatrick, Henry & McCarthy 1991, ApJS 77,
# 417, table 5, with their wings).
TELLURIC_BANDS = ((6860.0, 6970.0), (7160.0, 7340.0), (7580.0, 7720.0), (8120.0, 8360.0), (8920.0, 9900.0))
# Airglow lines that sky subtraction leaves residuals of: [O I] and Na I, air wavelengths of Osterbrock et al. 1996
# (PASP 108, 277), moved to vacuum.
AIRGLOW_LINES = (5578.9, 5891.6, 5897.6, 6302.0, 6365.5)
AIRGLOW_HALF_WIDTH = 6.0  # Angstrom: two resolution elements at R = 1,800


def spoilt_by_sky(observed_angstrom: np.ndarray) -> np.ndarray:
    """Bool of the input's shape: within a telluric band or next to an airglow line. Vacuum, observer's frame."""
    wave = np.asarray(observed_angstrom, dtype=np.float64)
    spoilt = np.zeros(wave.shape, dtype=bool)
    for low, high in TELLURIC_BANDS:
        spoilt |= (wave >= low) & (wave <= high)
    for line in AIRGLOW_LINES:
        spoilt |= np.abs(wave - line) <= AIRGLOW_HALF_WIDTH
    return spoilt
