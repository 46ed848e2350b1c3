"""Box least squares: the period, depth and length of eclipses and transits.

Kovacs, Zucker & Mazeh (2002): at each frequency the curve is folded, and the share of the weighted variance that one
low box takes away is the power; `power` here is that share of the chi-square about the mean (their SR^2 over the
variance), so that it compares with a Lomb-Scargle power. The frequencies are spaced so that the shortest box moves by
half its length over the span; boxes are whole numbers of phase bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stellar.features.kernels import ROUNDING
from stellar.kernels import kernel

LENGTHS = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.18)  # of a box, in cycles
BINS = 200
MOST_FREQUENCIES = 100_000
LEAST_INSIDE = 5  # points in a box
MULTIPLES = (1, 2, 3, 4, 5, 6)  # of a peak's period
LONGEST_SHARE = 0.4  # of the span: two cycles and a half
_WIDTHS = np.unique(np.maximum(np.rint(np.array(LENGTHS) * BINS), 1).astype(np.int64))


@dataclass(frozen=True)
class Box:
    """The best box: period and length in days, depth in the unit of the values, share of the chi-square.

    `phase` is the middle of the box in cycles from the first time; `turns` counts the cycles that have points in it.
    """

    period_d: float
    duration_d: float
    depth: float
    depth_err: float
    power: float
    phase: float
    turns: int


@kernel
def _best_box(
    phase_step: float, time: np.ndarray, value: np.ndarray, weight: np.ndarray, widths: np.ndarray, found: np.ndarray
) -> None:
    """Power, first bin and width of the best low box at one frequency; `value` of weighted mean 0, weights of sum 1."""
    bins = BINS
    count, w, s = np.zeros(bins + 1), np.zeros(bins + 1), np.zeros(bins + 1)
    for i in range(len(time)):
        x = time[i] * phase_step
        cell = min(int((x - np.floor(x)) * bins), bins - 1) + 1
        count[cell] += 1
        w[cell] += weight[i]
        s[cell] += weight[i] * value[i]
    for cell in range(bins):
        count[cell + 1] += count[cell]
        w[cell + 1] += w[cell]
        s[cell + 1] += s[cell]
    found[0] = 0.0
    for number in range(len(widths)):
        width = widths[number]
        for first in range(bins):
            last = first + width
            if last <= bins:
                points, mass, total = count[last] - count[first], w[last] - w[first], s[last] - s[first]
            else:  # over the end of the cycle
                last -= bins
                points = count[bins] - count[first] + count[last]
                mass = w[bins] - w[first] + w[last]
                total = s[bins] - s[first] + s[last]
            if total < 0 and points >= LEAST_INSIDE and mass < 1 - 1e-9:
                power = total * total / (mass * (1 - mass))
                if power > found[0]:
                    found[0], found[1], found[2] = power, first, width


@kernel
def _search(
    time: np.ndarray,
    value: np.ndarray,
    weight: np.ndarray,
    first: float,
    step: float,
    widths: np.ndarray,
    powers: np.ndarray,
) -> None:
    found = np.zeros(3)
    for k in range(len(powers)):
        _best_box(first + k * step, time, value, weight, widths, found)
        powers[k] = found[0]


@kernel
def _best_of(
    time: np.ndarray,
    value: np.ndarray,
    weight: np.ndarray,
    frequencies: np.ndarray,
    widths: np.ndarray,
    best: np.ndarray,
) -> None:
    """Power, first bin, width and frequency of the best box at any of the frequencies."""
    found = np.zeros(3)
    for frequency in frequencies:
        _best_box(frequency, time, value, weight, widths, found)
        if found[0] > best[0]:
            best[:3] = found
            best[3] = frequency


def _centred(value: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    weight = 1 / error**2
    weight = weight / weight.sum()
    centred = value - weight @ value
    variance = float(weight @ centred**2)
    return centred, weight, variance if variance > (ROUNDING * np.abs(value).max()) ** 2 else 0.0


def strongest_box(
    time: np.ndarray, value: np.ndarray, error: np.ndarray, *, shortest_d: float, longest_d: float | None = None
) -> Box | None:
    """Best box of one curve at any period in a range.

    Parameters
    ----------
    time, value, error : float64[n]
        Sorted by time.
    shortest_d, longest_d : float
        Range of periods; a half of the span unless given, so that two eclipses are seen.

    Returns
    -------
    Box or None
        None where no box is lower than the rest, or the span is too short for the range.
    """
    time = np.ascontiguousarray(time - time[0], np.float64)
    span = float(time[-1])
    longest = span / 2 if longest_d is None else longest_d
    if not (span > 0 and shortest_d < longest):
        return None
    centred, weight, variance = _centred(value, error)
    if not variance > 0:
        return None
    step = max(LENGTHS[0] / span, (1 / shortest_d - 1 / longest) / MOST_FREQUENCIES)
    powers = np.zeros(int((1 / shortest_d - 1 / longest) / step) + 1)
    _search(time, centred, weight, 1 / longest, step, _WIDTHS, powers)
    frequency = 1 / longest + int(powers.argmax()) * step
    return box_at(time, value, error, frequency + step * np.linspace(-1, 1, 41))


def box_at(time: np.ndarray, value: np.ndarray, error: np.ndarray, frequencies: np.ndarray) -> Box | None:
    """Best box at any of some frequencies (per day); None where no box is lower than the rest."""
    time = np.ascontiguousarray(time - time[0], np.float64)
    value, weight, variance = _centred(value, error)
    if not variance > 0:
        return None
    best = np.zeros(4)
    _best_of(time, value, weight, frequencies, _WIDTHS, best)
    if not best[0] > 0:
        return None
    begin, length, frequency = best[1] / BINS, best[2] / BINS, best[3]
    cycles = time * frequency - begin
    inside = np.mod(cycles, 1.0) < length
    low, rest = weight[inside].sum(), weight[~inside].sum()
    if not (low > 0 and rest > 0):
        return None
    depth = (weight[~inside] @ value[~inside]) / rest - (weight[inside] @ value[inside]) / low
    scatter = np.sqrt(max(variance - best[0], 0.0))
    return Box(
        period_d=float(1 / frequency),
        duration_d=float(length / frequency),
        depth=float(depth),
        depth_err=float(scatter * np.sqrt(1 / inside.sum() + 1 / (~inside).sum())),
        power=float(best[0] / variance),
        phase=float(np.mod(begin + length / 2, 1.0)),
        turns=len(np.unique(np.floor(cycles[inside]))),
    )


def box_near(
    time: np.ndarray, value: np.ndarray, error: np.ndarray, frequencies: Sequence[float], step: float
) -> Box | None:
    """Best box at the periods of some peaks of a periodogram, or at small multiples of them.

    A narrow eclipse has power in many harmonics, so the highest peaks of a sinusoid are often a small part of its
    period. At most `LONGEST_SHARE` of the span is tried.

    Parameters
    ----------
    time, value, error : float64[n]
    frequencies : sequence of float
        Of the peaks, per day, good to a third of `step`.
    step : float
        Of the periodogram, per day.
    """
    shortest = 1 / (LONGEST_SHARE * (time[-1] - time[0]))
    around = step * np.linspace(-0.3, 0.3, 13)
    tried = [(f + around) / multiple for f in frequencies for multiple in MULTIPLES if f / multiple >= shortest]
    return box_at(time, value, error, np.concatenate(tried)) if tried else None
