"""Which of a periodogram's peaks is the star's, and which only mirror it in the rhythm of the observing nights."""

from __future__ import annotations

import numpy as np

from stellar.features.harmonics import fit_series
from stellar.features.periodogram import refine
from stellar.kernels import kernel

CANDIDATES = 12
HARMONICS = 4
SIDEREAL = 1.00273791  # turns of the Earth in a day
FARTHEST = 3  # daily aliases up to f +- 3 per day
TOLERANCE = 0.012  # per day: the sidereal and the solar day, each with four aliases of the year on either side
LEAST_GAIN = 10.0  # in -2 ln likelihood: 3 sigma of the amplitudes and phases of three harmonics
LEAST_POWER = 0.4  # of the highest peak's


@kernel
def are_aliases(frequency: float, other: float) -> bool:
    """Whether two frequencies (per day) stand a whole number of daily turns apart, or together make one."""
    for turns in range(FARTHEST + 1):
        for day in (1.0, SIDEREAL):
            apart = turns * day
            if abs(abs(frequency - apart) - other) < TOLERANCE or abs(frequency + apart - other) < TOLERANCE:
                return True
    return False


@kernel
def harmonics_for(points: int) -> int:
    """Harmonics that as many points bear."""
    return min(HARMONICS, max((points - 1) // 8, 1))


@kernel
def true_peak(
    time: np.ndarray, value: np.ndarray, weight: np.ndarray, power: np.ndarray, at: np.ndarray, step: float
) -> tuple:
    """Of the highest peak and those of the others that may be its daily aliases, the one that fits best.

    Stars are seldom sines: with four harmonics the true period fits, and the aliases, which shuffle the cycles, do not.

    Parameters
    ----------
    time, value, weight : float64[n]
        Weights of sum 1.
    power : float32[m]
    at : int64[k]
        Indices of peaks, highest first.
    step : float
        Of the grid, per day.

    Returns
    -------
    index : int
    frequency, power : float
        Measured on the points.
    """
    n = len(time)
    model = np.empty(n)
    best, best_left = -1, 1.0
    best_frequency, best_power = at[0] * step, 0.0
    for number in range(len(at)):
        if number and (
            power[at[number]] < LEAST_POWER * power[at[0]] or not are_aliases(at[0] * step, at[number] * step)
        ):
            continue
        frequency, height = refine(time, value, weight, at[number] * step, step)
        left = max(1 - fit_series(time, value, weight, frequency, harmonics_for(n), model)[2], 1e-12)
        gain = n * np.log(best_left / left)
        if number == 0 or gain > (LEAST_GAIN if best == at[0] else 0.0):
            best, best_left, best_frequency, best_power = at[number], left, frequency, height
    return best, best_frequency, best_power
