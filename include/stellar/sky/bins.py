"""Bins of the grid of a cross-match: where a row lies, and the rows in their order (compiled; see `grid`)."""

from __future__ import annotations

from numba import float64, int8, int32, int64, types, void

from .compiled import compiled
from .dense import wrapped

_FARTHEST_RA = 1e6

COLUMN = types.Array(types.float64, 1, "C", readonly=True)  # takes writable arrays too


@compiled()
def on_sky(ra, dec):
    """Whether a position is one: declination in [-90, 90], RA a number of degrees that has a fraction left."""
    return abs(dec) <= 90.0 and abs(ra) <= _FARTHEST_RA


@compiled(types.UniTuple(types.float64, 4)(COLUMN, COLUMN, int8[::1]))
def survey(ra, dec, occupied):
    """Rows on the sky, their least and greatest declination, their greatest abs(ra); marks degrees of RA with rows."""
    n, low, high, farthest = 0, 90.0, -90.0, 0.0
    for i in range(len(ra)):
        if on_sky(ra[i], dec[i]):
            n += 1
            low, high = min(low, dec[i]), max(high, dec[i])
            farthest = max(farthest, abs(ra[i]))
            occupied[int(min(max(wrapped(ra[i], 0.0), 0.0), 359.0))] = 1
    return float(n), low, high, farthest


@compiled()
def bin_at(x, bins_per_degree, bins):
    """Number of the bin in its zone that holds `x` degrees east of the origin, the nearest where none does."""
    return int(min(max(x * bins_per_degree, 0.0), float(bins - 1)))


@compiled()
def zone_at(dec, dec_origin, zones_per_degree, zones):
    """Zone of a declination, the nearest where none holds it. Like `bin_at` it never falls where its argument rises."""
    return int(min(max((dec - dec_origin) * zones_per_degree, 0.0), float(zones - 1)))


@compiled(
    void(
        COLUMN, COLUMN, int64[::1], float64[::1], float64, float64, float64,
        int32[::1], float64[:, ::1], int32[::1], int32[::1],
    )
)  # fmt: skip
def fill(ra, dec, zone_bin, bins_per_degree, dec_origin, zones_per_degree, ra_origin, bins, position, row, start):
    """Counting sort. `bins` has room for each row's; `start` has one more element than it will have, and is zero."""
    zones = len(bins_per_degree)
    for i in range(len(ra)):
        bins[i] = -1
        if on_sky(ra[i], dec[i]):
            z = zone_at(dec[i], dec_origin, zones_per_degree, zones)
            first = zone_bin[z]
            x = wrapped(ra[i], ra_origin)
            bins[i] = first + bin_at(x, bins_per_degree[z], zone_bin[z + 1] - first)
            start[bins[i] + 2] += 1
    for b in range(2, len(start)):
        start[b] += start[b - 1]
    for i in range(len(ra)):
        if bins[i] >= 0:
            j = start[bins[i] + 1]
            start[bins[i] + 1] = j + 1
            position[j, 0], position[j, 1], row[j] = ra[i], dec[i], i


@compiled(types.UniTuple(types.int64, 2)(int32[::1], int64))
def crowded(start, limit):
    """How many bins have more rows than `limit`, and how many rows they hold."""
    bins, rows = 0, 0
    for b in range(len(start) - 1):
        n = start[b + 1] - start[b]
        if n > limit:
            bins += 1
            rows += n
    return bins, rows
