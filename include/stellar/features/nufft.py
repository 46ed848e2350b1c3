"""Sums of w exp(2 pi i k x) over unevenly spaced x for many k at once: spreading and a real FFT, curves in blocks.

The points are spread onto a fine even grid with a Kaiser-Bessel kernel, the grid is transformed, and the kernel's own
transform is divided out (Fessler & Sutton 2003; Barnett et al. 2019). What light curves give is real, which saves half
of what a general transform costs, and the FFT takes the rows of a block together in its vector registers. Single
precision, because what is found is measured again on the points: errors stay below 1e-4 of the sum of |w|, mostly 1e-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy.fft

from stellar.kernels import kernel

BLOCK = 4  # rows that the FFT transforms at once
OVERSAMPLING = 1.25
WIDTH = 8  # grid cells under the kernel: 1e-5 at this oversampling (Barnett et al. 2019, eq. 3.2)
_LONG = 1 << 21
_STEPS = 1024  # of the kernel's table within a cell; straight lines between them are good to 1e-7
_SHAPE = 0.98 * np.pi * WIDTH * (1 - 0.5 / OVERSAMPLING)
_MANTISSAS = (16, 18, 20, 24, 25, 27, 30)


def grid_size(count: int) -> int:
    """Length of the grid for the sums k = 0 .. count - 1: one of few that FFTs like, so that curves share it."""
    least = max(int(np.ceil(2 * OVERSAMPLING * count)), 64)
    power = max(int(np.floor(np.log2(least / 16))), 0)
    return next(m << p for p in (power, power + 1) for m in _MANTISSAS if m << p >= least)


def rows_of(size: int) -> int:
    """Curves in a block: one alone where the grid is long, for the sake of memory."""
    return BLOCK if size <= _LONG else 1


@lru_cache(maxsize=1)
def kernel_table() -> np.ndarray:
    """The spreading kernel in the cells around a point, by the point's place in its cell, float32[steps + 2, WIDTH]."""
    place = np.arange(_STEPS + 2)[:, None] / _STEPS
    x = (np.arange(WIDTH) - WIDTH // 2 + 1 - place) * 2 / WIDTH
    inside = np.sqrt(np.maximum(1 - x**2, 0))
    return (np.i0(_SHAPE * inside) / np.i0(_SHAPE) * (np.abs(x) <= 1)).astype(np.float32)


@lru_cache(maxsize=16)
def correction(size: int) -> np.ndarray:
    """What the sums of a grid are to be multiplied by, for each k that the grid is meant for, float32."""
    k = np.arange(int(size / (2 * OVERSAMPLING)) + 1)
    root = np.sqrt(_SHAPE**2 - (np.pi * WIDTH * k / size) ** 2)
    return (np.i0(_SHAPE) * root / (WIDTH * np.sinh(root))).astype(np.float32)


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Let glibc keep what is freed: it raises its threshold for fresh pages to the largest block freed so far.

    Otherwise each transform's arrays are handed back to the kernel and faulted in anew, twice the cost of the FFT.
    """
    np.ones(30 << 20, np.int8)


@kernel
def footprints(
    x: np.ndarray, stretch: float, size: int, table: np.ndarray, cells: np.ndarray, shares: np.ndarray
) -> None:
    """First cell and kernel values of each point `stretch * x` (turns) on a periodic grid."""
    width = table.shape[1]
    steps = table.shape[0] - 2
    for i in range(len(x)):
        at = x[i] * stretch
        at = (at - np.floor(at)) * size
        cell = int(at)
        place = (at - cell) * steps
        row = int(place)
        rest = np.float32(place - row)
        cells[i] = cell - width // 2 + 1
        for j in range(width):
            shares[i, j] = table[row, j] + rest * (table[row + 1, j] - table[row, j])


@kernel
def spread(weight: np.ndarray, cells: np.ndarray, shares: np.ndarray, grid: np.ndarray) -> None:
    """Add each weight to the cells of its footprint."""
    size = len(grid)
    width = shares.shape[1]
    for i in range(len(weight)):
        value = np.float32(weight[i])
        first = cells[i]
        if first >= 0 and first + width <= size:
            under = grid[first : first + width]
            for j in range(width):
                under[j] += value * shares[i, j]
        else:
            for j in range(width):
                grid[(first + j) % size] += value * shares[i, j]


class Footprints:
    """Where the points of a block of curves lie on the grid; made once for all that is spread from them.

    Parameters
    ----------
    x : sequence of float64[n]
        Of at most `rows_of(size)` curves, in turns.
    size : int
    stretch : float
    """

    def __init__(self, x: Sequence[np.ndarray], size: int, stretch: float = 1.0) -> None:
        _keep_freed_memory()
        self.size = size
        self._of = []
        for one in x:
            cells, shares = np.empty(len(one), np.int64), np.empty((len(one), WIDTH), np.float32)
            footprints(one, stretch, size, kernel_table(), cells, shares)
            self._of.append((cells, shares))

    def sums(self, weights: Sequence[np.ndarray], count: int) -> np.ndarray:
        """Sums of weight exp(-2 pi i k stretch x), each over `correction(size)[k]`, for k = 0 .. count - 1.

        Parameters
        ----------
        weights : sequence of float64[n]
            Of each curve.
        count : int
            `size` is the `grid_size` of at least this.

        Returns
        -------
        complex64[rows_of(size), count]
            Rows beyond the curves are 0. The block is always full, so that a curve's sums do not depend, in their last
            digits, on which others it was transformed with.
        """
        grid = np.zeros((rows_of(self.size), self.size), np.float32)
        for row, (weight, (cells, shares)) in enumerate(zip(weights, self._of, strict=True)):
            spread(weight, cells, shares, grid[row])
        return scipy.fft.rfft(grid, axis=1, workers=1)[:, :count]
