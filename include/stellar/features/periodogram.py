"""Generalised Lomb-Scargle periodograms of blocks of light curves, their peaks, and peaks measured on the points.

Zechmeister & Kuerster (2009): the power is the share of the weighted variance that a sinusoid with a mean of its own
takes away. All frequencies come from three transforms of a curve (`stellar.features.nufft`): of its weights, of its
weights at twice the frequency, and of its weighted values; a residual of the same curve needs only the last anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stellar.features.kernels import ROUNDING, waves
from stellar.features.nufft import Footprints, correction, grid_size
from stellar.kernels import kernel

LEAST_DETERMINANT = 1e-3  # of at most 1/4; below it the times cannot tell a sinusoid from its mean


@dataclass(frozen=True)
class Grid:
    """Frequencies `step * k` (per day), k = first .. last."""

    step: float
    first: int
    last: int

    @cached_property
    def size(self) -> int:
        """Length of the transforms' grid; curves of one size are transformed together."""
        return grid_size(self.last + 1)


def grid_of(span_d: float, fmin: float | None, fmax: float, samples_per_peak: int) -> Grid:
    """Frequencies from one cycle in the span (or `fmin`) to `fmax`, `samples_per_peak` of them in 1 / span."""
    step = 1 / (samples_per_peak * span_d)
    first = samples_per_peak if fmin is None else max(round(fmin / step), 1)
    return Grid(step, first, max(int(np.ceil(fmax / step - 1e-9)), first + 16))


def reach_of(grid: Grid, span_d: float) -> int:
    """Grid points in two resolution elements: what lies nearer to a peak is the peak."""
    return int(np.ceil(2 / (span_d * grid.step)))


class Window:
    """What the times and weights of a block of curves give to all their periodograms.

    Parameters
    ----------
    times, weights : sequence of float64[n]
        Of at most `nufft.rows_of(size)` curves; times from each curve's first, weights of any sum.
    grids : sequence of Grid
        All of one size.
    """

    def __init__(self, times: Sequence[np.ndarray], weights: Sequence[np.ndarray], grids: Sequence[Grid]) -> None:
        self.grids = list(grids)
        self.size = self.grids[0].size
        self.count = max(grid.last for grid in self.grids) + 1
        turns = [time * grid.step for time, grid in zip(times, self.grids, strict=True)]
        self.weights = [weight / weight.sum() for weight in weights]
        self._footprints = Footprints(turns, self.size)
        self._once = self._footprints.sums(self.weights, self.count)
        self._twice = Footprints(turns, self.size, stretch=2.0).sums(self.weights, self.count)

    def powers(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Power at each frequency of each curve's grid, float32[last + 1], 0 below `first`."""
        centred, variances = [], []
        for value, weight in zip(values, self.weights, strict=True):
            mean = weight @ value
            weighted = (value - mean) * weight
            centred.append(weighted)
            variance = float(weighted @ (value - mean))
            variances.append(variance if variance > (ROUNDING * np.abs(value).max()) ** 2 else 0.0)
        # single precision does not hold the square of what is very small
        scales = [np.sqrt(variance) if variance > 0 else 1.0 for variance in variances]
        scaled = [one / scale for one, scale in zip(centred, scales, strict=True)]
        found = self._footprints.sums(scaled, self.count)
        factor = correction(self.size)
        powers = []
        for row, grid in enumerate(self.grids):
            power = np.zeros(grid.last + 1, np.float32)
            if variances[row] > 0:
                rows = (_parts(sums, row, grid) for sums in (found, self._once, self._twice))
                _power(*rows, factor[grid.first :], power[grid.first :])
            powers.append(power)
        return powers


def _parts(sums: np.ndarray, row: int, grid: Grid) -> np.ndarray:
    """Real and imaginary parts of one row from the grid's first frequency on, in turn."""
    return sums[row, grid.first : grid.last + 1].view(np.float32)


@kernel
def _power(weighted: np.ndarray, once: np.ndarray, twice: np.ndarray, factor: np.ndarray, power: np.ndarray) -> None:
    """Zechmeister & Kuerster (2009), eqs. 5-15, for values of weighted mean 0 and variance 1."""
    half, least = np.float32(0.5), np.float32(LEAST_DETERMINANT)
    one, zero = np.float32(1.0), np.float32(0.0)
    for k in range(len(power)):
        f = factor[k]
        yc, ys = weighted[2 * k] * f, weighted[2 * k + 1] * f
        c, s = once[2 * k] * f, once[2 * k + 1] * f
        c2, s2 = twice[2 * k] * f, twice[2 * k + 1] * f
        cc = half * (one + c2) - c * c
        ss = half * (one - c2) - s * s
        cs = half * s2 - c * s
        determinant = cc * ss - cs * cs
        told = ss * yc * yc + cc * ys * ys - (cs + cs) * yc * ys
        power[k] = told / determinant if determinant > least else zero


def highest(power: np.ndarray, first: int, last: int) -> int:
    """Index of the largest of `power[first:last + 1]`."""
    return first + int(power[first : last + 1].argmax())


@kernel
def highest_elsewhere(power: np.ndarray, first: int, peak: float, reach: int) -> float:
    """Largest power outside `reach` around peak / 3, / 2, and its multiples by 2/3, 1, 3/2, 2, 3, 4, 5, 6."""
    size = len(power)
    taken = np.zeros(size, np.bool_)
    for factor in (1 / 3, 1 / 2, 2 / 3, 1.0, 3 / 2, 2.0, 3.0, 4.0, 5.0, 6.0):
        middle = int(np.rint(peak * factor))
        for k in range(max(middle - reach, 0), min(middle + reach + 1, size)):
            taken[k] = True
    best = np.float32(0.0)
    for k in range(first, size):
        if not taken[k] and power[k] > best:
            best = power[k]
    return best


@kernel
def refine(time: np.ndarray, value: np.ndarray, weight: np.ndarray, frequency: float, reach: float) -> tuple:
    """Frequency of the best sinusoid near `frequency`, and its power, by Gauss-Newton steps on the points.

    Parameters
    ----------
    time, value, weight : float64[n]
        Weights of sum 1.
    frequency, reach : float
        Per unit of time; a step leads at most `reach` away, else the start is kept.

    Returns
    -------
    frequency, power : float
    """
    n = len(time)
    cycles, cosine, sine = np.empty(n), np.empty(n), np.empty(n)
    normal, right = np.empty((4, 4)), np.empty(4)
    best_frequency, best_power = frequency, -1.0
    a, b, at = 0.0, 0.0, frequency
    middle = 0.5 * (time[0] + time[n - 1])
    mean, total = 0.0, 0.0
    for i in range(n):
        mean += weight[i] * value[i]
    for i in range(n):
        total += weight[i] * (value[i] - mean) ** 2
    if not total > 0:
        return frequency, 0.0
    for step in range(4):
        for i in range(n):
            cycles[i] = at * (time[i] - middle)
        waves(cycles, cosine, sine)
        c = s = cc = ss = cs = yc = ys = 0.0
        for i in range(n):
            w, y = weight[i], value[i] - mean
            wc, ws = w * cosine[i], w * sine[i]
            c += wc
            s += ws
            cc += wc * cosine[i]
            ss += ws * sine[i]
            cs += wc * sine[i]
            yc += wc * y
            ys += ws * y
        cc, ss, cs = cc - c * c, ss - s * s, cs - c * s
        determinant = cc * ss - cs * cs
        if not determinant > LEAST_DETERMINANT:
            break
        a, b = (yc * ss - ys * cs) / determinant, (ys * cc - yc * cs) / determinant
        power = (a * yc + b * ys) / total
        if power <= best_power:
            break
        gained = power - best_power
        best_frequency, best_power = at, power
        if step == 3 or (step > 0 and gained < 1e-9):
            break
        level = -(a * c + b * s)
        normal[:] = 0.0
        right[:] = 0.0
        # the slope of the model with frequency, by its own best mean and sinusoid: one variable is left (Frisch-Waugh)
        d0 = dc = ds = dd = dr = 0.0
        for i in range(n):
            slope = (b * cosine[i] - a * sine[i]) * 2 * np.pi * (time[i] - middle)
            left = value[i] - mean - level - a * cosine[i] - b * sine[i]
            w = weight[i] * slope
            d0 += w
            dc += w * cosine[i]
            ds += w * sine[i]
            dd += w * slope
            dr += w * left
        dc, ds = dc - d0 * c, ds - d0 * s
        u, v = (dc * ss - ds * cs) / determinant, (ds * cc - dc * cs) / determinant
        own = dd - d0 * d0 - u * dc - v * ds
        if not own > 0:
            break
        at += dr / own
        if abs(at - frequency) > reach or at <= 0:
            break
    return best_frequency, max(min(best_power, 1.0), 0.0)


@kernel
def power_at(time: np.ndarray, value: np.ndarray, weight: np.ndarray, frequency: float) -> float:
    """Generalised Lomb-Scargle power at one frequency, on the points; weights of any sum."""
    n = len(time)
    cycles, cosine, sine = np.empty(n), np.empty(n), np.empty(n)
    whole = mean = 0.0
    for i in range(n):
        cycles[i] = frequency * (time[i] - time[0])
        whole += weight[i]
        mean += weight[i] * value[i]
    mean /= whole
    waves(cycles, cosine, sine)
    c = s = cc = ss = cs = yc = ys = total = 0.0
    for i in range(n):
        w, y = weight[i] / whole, value[i] - mean
        c += w * cosine[i]
        s += w * sine[i]
        cc += w * cosine[i] ** 2
        ss += w * sine[i] ** 2
        cs += w * cosine[i] * sine[i]
        yc += w * y * cosine[i]
        ys += w * y * sine[i]
        total += w * y * y
    cc, ss, cs = cc - c * c, ss - s * s, cs - c * s
    determinant = cc * ss - cs * cs
    if not determinant > LEAST_DETERMINANT or not total > 0:
        return 0.0
    return (ss * yc * yc + cc * ys * ys - 2 * cs * yc * ys) / (determinant * total)


@kernel
def peaks(power: np.ndarray, first: int, reach: int, found: np.ndarray) -> int:
    """Highest local maxima that stand more than `reach` apart, highest first; how many there are goes back."""
    count = 0
    most = len(found)
    for k in range(first, len(power)):
        height = power[k]
        if count == most and height <= power[found[most - 1]]:
            continue
        if (k > first and power[k - 1] > height) or (k + 1 < len(power) and power[k + 1] >= height):
            continue
        place = count
        hidden = False
        for i in range(count):
            if abs(found[i] - k) <= reach:
                if power[found[i]] >= height:
                    hidden = True
                else:
                    place = i
                break
        if hidden:
            continue
        if place == count:
            if count < most:
                count += 1
            place = count - 1
        while place > 0 and power[found[place - 1]] < height:
            found[place] = found[place - 1]
            place -= 1
        found[place] = k
    return count
