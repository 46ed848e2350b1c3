"""Folded light curves: scatter, whether the cycles are alike, and the two minima."""

from __future__ import annotations

import numpy as np

from stellar.kernels import kernel

_TENTH_FROM_ABOVE = 0.9
_LEAST_POINTS = 10  # of a bin of phase whose mean is compared
_LEAST_TURNS = 3


@kernel
def phases(time: np.ndarray, frequency: float, phase: np.ndarray) -> None:
    """Phase in [0, 1) from the first time."""
    for i in range(len(time)):
        x = (time[i] - time[0]) * frequency
        x -= np.floor(x)
        phase[i] = x if x < 1 else 0.0


@kernel
def folded_scatter(phase: np.ndarray, value: np.ndarray, weight: np.ndarray, bins: int) -> float:
    """Weighted variance about the means of phase bins, per degree of freedom (Stellingwerf 1978)."""
    total, mean = np.zeros(bins), np.zeros(bins)
    for i in range(len(value)):
        cell = min(int(phase[i] * bins), bins - 1)
        total[cell] += weight[i]
        mean[cell] += weight[i] * value[i]
    used = 0
    for cell in range(bins):
        if total[cell] > 0:
            mean[cell] /= total[cell]
            used += 1
    left = 0.0
    for i in range(len(value)):
        cell = min(int(phase[i] * bins), bins - 1)
        left += weight[i] * (value[i] - mean[cell]) ** 2
    return left / max(len(value) - used, 1)


@kernel
def common_course(phase: np.ndarray, value: np.ndarray, course: np.ndarray) -> None:
    """The folded curve as bin means joined by straight lines, at each phase, into `course`."""
    bins = min(max(len(phase) // 20, 6), 60)
    count, centre, mean = np.zeros(bins), np.zeros(bins), np.zeros(bins)
    for i in range(len(phase)):
        cell = min(int(phase[i] * bins), bins - 1)
        count[cell] += 1
        centre[cell] += phase[i]
        mean[cell] += value[i]
    seen = 0
    for cell in range(bins):  # those with points, moved to the front
        if count[cell] > 0:
            centre[seen], mean[seen] = centre[cell] / count[cell], mean[cell] / count[cell]
            count[cell] = seen
            seen += 1
    for i in range(len(phase)):
        after = int(count[min(int(phase[i] * bins), bins - 1)])
        if phase[i] > centre[after]:
            after += 1
        high, low = after % seen, (after - 1) % seen
        left, right = centre[low], centre[high]
        if after == 0:
            left -= 1
        if after == seen:
            right += 1
        share = (phase[i] - left) / (right - left) if right > left else 0.0
        course[i] = mean[low] + share * (mean[high] - mean[low])


@kernel
def cycles_differ(
    time: np.ndarray, value: np.ndarray, frequency: float, factor: int, sigmas: float, phase: np.ndarray
) -> bool:
    """Whether the curve folded at `factor` periods shows cycles that are not alike; `value` without what they share.

    The mean of each phase bin is compared between the `factor` cycles. The error of a mean is the larger of what the
    scatter of the points in the bin tells, so that one flare does not count, and of what the means of the single turns
    tell, at least `_LEAST_TURNS` of them: a star whose cycles all differ (a Mira's) has no longer period for that.
    """
    n = len(time)
    bins = min(max(n // (25 * factor), 6), 60)
    size = factor * bins
    count, mean, square = np.zeros(size), np.zeros(size), np.zeros(size)
    turns, turn_mean, turn_square = np.zeros(size), np.zeros(size), np.zeros(size)
    current, held, points = np.full(size, -1.0), np.zeros(size), np.zeros(size)
    phases(time, frequency / factor, phase)
    for i in range(n):
        cell = min(int(phase[i] * size), size - 1)
        count[cell] += 1
        mean[cell] += value[i]
        square[cell] += value[i] ** 2
        turn = np.floor((time[i] - time[0]) * frequency / factor)
        if turn != current[cell]:  # points come in order of time, so a turn is over once the next begins
            if points[cell] > 0:
                one = held[cell] / points[cell]
                turns[cell] += 1
                turn_mean[cell] += one
                turn_square[cell] += one * one
            current[cell], held[cell], points[cell] = turn, 0.0, 0.0
        held[cell] += value[i]
        points[cell] += 1
    for cell in range(size):
        if points[cell] > 0:
            one = held[cell] / points[cell]
            turns[cell] += 1
            turn_mean[cell] += one
            turn_square[cell] += one * one
        if count[cell] >= _LEAST_POINTS and turns[cell] >= _LEAST_TURNS:
            mean[cell] /= count[cell]
            within = max(square[cell] / count[cell] - mean[cell] ** 2, 0.0) / (count[cell] - 1)
            middle = turn_mean[cell] / turns[cell]
            between = max(turn_square[cell] / turns[cell] - middle**2, 0.0) / (turns[cell] - 1)
            square[cell] = max(within, between)  # of the mean's error
    for place in range(bins):
        top, bottom, seen = -1, -1, 0
        for cell in range(place, size, bins):
            if count[cell] >= _LEAST_POINTS and turns[cell] >= _LEAST_TURNS:
                seen += 1
                if top < 0 or mean[cell] > mean[top]:
                    top = cell
                if bottom < 0 or mean[cell] < mean[bottom]:
                    bottom = cell
        if seen >= 2 and mean[top] - mean[bottom] > sigmas * np.sqrt(square[top] + square[bottom]):
            return True
    return False


@kernel
def whole_cycle(
    time: np.ndarray, value: np.ndarray, weight: np.ndarray, frequency: float, longest: float, sigmas: float
) -> tuple:
    """Multiple of the period whose cycles are alike, and the folded variance there over that at the period.

    The period is multiplied by 2, 3 or 5 as long as the cycles folded so differ.
    """
    n = len(time)
    phase, course, left = np.empty(n), np.empty(n), np.empty(n)
    multiple = 1
    while True:
        at = frequency / multiple
        found = 1
        phases(time, at, phase)
        common_course(phase, value, course)
        for i in range(n):
            left[i] = value[i] - course[i]
        for factor in (2, 3, 5):
            if factor / at <= longest and cycles_differ(time, left, at, factor, sigmas, phase):
                found = factor
                break
        if found == 1:
            break
        multiple *= found
    if multiple == 1:
        return 1, 1.0
    bins = min(max(n // 10, 8), 60)
    phases(time, frequency, phase)
    base = folded_scatter(phase, value, weight, bins)
    phases(time, frequency / multiple, phase)
    return multiple, folded_scatter(phase, value, weight, bins) / base if base > 0 else 1.0


@kernel
def minima(time: np.ndarray, value: np.ndarray, frequency: float, found: np.ndarray) -> None:
    """Depth, error and width of the deepest minimum; depth, error, phase and ratio of the second; NaN where not seen.

    Depths are relative to the upper level of the folded curve (its 90th percentile) with errors from the scatter in
    the bins; the width is the part of the cycle below half the depth; the second minimum is looked for at least a
    tenth of a cycle from the edges of the first.
    """
    n = len(time)
    found[:] = np.nan
    bins = min(max(n // 12, 10), 100)
    count, mean, square = np.zeros(bins), np.zeros(bins), np.zeros(bins)
    for i in range(n):
        x = (time[i] - time[0]) * frequency
        cell = min(int((x - np.floor(x)) * bins), bins - 1)
        count[cell] += 1
        mean[cell] += value[i]
        square[cell] += value[i] ** 2
    seen = 0
    first = -1
    usable = np.empty(bins)
    for cell in range(bins):
        if count[cell] >= 3:
            mean[cell] /= count[cell]
            spread = max(square[cell] / count[cell] - mean[cell] ** 2, 0.0)
            square[cell] = np.sqrt(spread / count[cell])
            usable[seen] = mean[cell]
            seen += 1
            if first < 0 or mean[cell] < mean[first]:
                first = cell
    if seen < max(bins // 2, 5):
        return
    usable = np.sort(usable[:seen])
    at = _TENTH_FROM_ABOVE * (seen - 1)
    lower = int(at)
    level = usable[lower] + (at - lower) * (usable[min(lower + 1, seen - 1)] - usable[lower])
    depth = level - mean[first]
    ahead, behind = bins, 0
    for i in range(bins):
        cell = (first + i) % bins
        if count[cell] >= 3 and mean[cell] >= level - depth / 2:
            ahead = i
            break
    if ahead < bins:
        for i in range(bins):
            cell = (first - 1 - i) % bins
            if count[cell] >= 3 and mean[cell] >= level - depth / 2:
                behind = i
                break
    found[0], found[1], found[2] = depth, square[first], min((ahead + behind) / bins, 1.0)
    reach = max(ahead, behind) + bins // 10
    second = -1
    for i in range(reach, bins - reach):
        cell = (first + i) % bins
        if count[cell] >= 3 and (second < 0 or mean[cell] < mean[(first + second) % bins]):
            second = i
    if second >= 0:
        cell = (first + second) % bins
        found[3], found[4], found[5] = level - mean[cell], square[cell], second / bins
        found[6] = found[3] / depth if depth > 0 else np.nan
