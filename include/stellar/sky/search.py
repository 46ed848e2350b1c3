"""The search of the cross-match, left row by left row, over the grid of the right side.

Left rows are taken in blocks, each in steps over the whole block: where in the grid to look; which right rows lie in
the box around the left row; the separations of those; the nearest. The memory accesses of many rows then overlap, and
the separations are computed several at a time. What is found for a row does not depend on its block.
"""

from __future__ import annotations

import numpy as np
from numba import float64, int32, int64, types
from numba.extending import overload, register_jitable

from . import separation as formula
from .bins import COLUMN, bin_at, on_sky, zone_at
from .compiled import compiled
from .dense import in_window, wrapped
from .grid import BLOCK, DENSE, GATHER, RA_ROUNDING, Grid, Scratch

_ARCSEC = formula.ARCSEC_PER_DEGREE

# Taken into the loop that calls them, or it would not become vector code.
for _function in (formula.sin_cos_deg, formula.atan_deg, formula.haversine_deg):
    register_jitable(forceinline=True)(_function)


@overload(formula.pick)
def _pick(condition, yes, no):
    return lambda condition, yes, no: yes if condition else no


@compiled()
def _locate(ra, dec, row, end, grid, line, low, high, reach):
    """Take left rows, from `row` on, that may have partners; returns how many (a block at most) and the next row.

    Fills in their number (`line`), how far to look in RA (`reach`), and which rows of the grid to look at
    (`low`, `high`); `low` is -1 where that is more than one run: several zones, both sides of RA 0, bins with trees.
    """
    zones, trees = len(grid.bins_per_degree), len(grid.tree_bin)
    south, north = grid.dec_origin - grid.dec_reach, grid.dec_last + grid.dec_reach
    rows = 0
    while row < end and rows < BLOCK:
        a, d = ra[row], dec[row]
        row += 1
        # not NaN, and as near as it must be
        if not (south <= d <= north and on_sky(a, d)):
            continue
        w = grid.ra_reach[int((d - grid.dec_origin) * grid.zones_per_degree + grid.reach_origin)]
        w += RA_ROUNDING * abs(a)
        x = wrapped(a, grid.ra_origin)
        z = zone_at(d - grid.dec_reach, grid.dec_origin, grid.zones_per_degree, zones)
        line[rows], reach[rows] = row - 1, w
        if z == zone_at(d + grid.dec_reach, grid.dec_origin, grid.zones_per_degree, zones) and w <= x <= 360.0 - w:
            base = grid.zone_bin[z]
            bins, per_degree = grid.zone_bin[z + 1] - base, grid.bins_per_degree[z]
            j = grid.start[base + bin_at(x - w, per_degree, bins)]
            j2 = grid.start[base + bin_at(x + w, per_degree, bins) + 1]
            low[rows], high[rows] = -1 if trees > 0 and j2 - j > DENSE else j, j2
            rows += x - w <= grid.ra_span and j < j2
        else:
            low[rows] = -1
            rows += 1
    return rows, row


@compiled()
def _zone_bins(x, reach, span, per_degree, bins):
    """Bins of a zone that hold all rows within `reach` of `x` (both degrees of RA), as two ranges, ends included.

    The second is that beyond RA 0, and `turn` what to add to `x` there. A range that ends before it begins is empty.
    The last is whether the first range is the whole zone.
    """
    west, east, last = x - reach, x + reach, bins - 1
    first, final, first2, final2, turn = 0, -1, 0, -1, 0.0
    if west <= span:
        first, final = bin_at(west, per_degree, bins), bin_at(east, per_degree, bins)
    if west < 0.0 and west + 360.0 <= span:
        first2, final2, turn = bin_at(west + 360.0, per_degree, bins), last, 360.0
    elif east > 360.0:
        first2, final2, turn = 0, bin_at(east - 360.0, per_degree, bins), -360.0
    # the ranges may meet on the far side: no bin must be looked at twice
    if reach >= 180.0 or max(first, first2) <= min(final, final2):
        return 0, last, 0, -1, 0.0, True
    return first, final, first2, final2, turn, False


@compiled()
def _runs(grid, first, final, west, east, run, window, n):
    """Add the runs of the grid's rows in a range of bins to `run`, from number `n` on; returns how many there are now.

    A tree is a run too: its number and -1, with the `window` of x to look at in it.
    """
    tree = np.searchsorted(grid.tree_bin, first)
    while first <= final:
        until = final + 1
        if tree < len(grid.tree_bin):
            until = min(until, int64(grid.tree_bin[tree]))
        run[n, 0], run[n, 1] = grid.start[first], grid.start[until]
        n += 1
        if until <= final:
            run[n, 0], run[n, 1], window[n, 0], window[n, 1] = tree, -1, west, east
            n += 1
            tree += 1
        first = until + 1
    return n


@compiled()
def _all_runs(ra, dec, reach, grid, run, window):
    """The runs of the grid's rows around a left row: of all zones that it reaches, and across RA 0."""
    zones = len(grid.bins_per_degree)
    x = wrapped(ra, grid.ra_origin)
    low = zone_at(dec - grid.dec_reach, grid.dec_origin, grid.zones_per_degree, zones)
    high = zone_at(dec + grid.dec_reach, grid.dec_origin, grid.zones_per_degree, zones)
    n = 0
    for z in range(low, high + 1):
        base, bins = grid.zone_bin[z], grid.zone_bin[z + 1] - grid.zone_bin[z]
        first, final, first2, final2, turn, whole = _zone_bins(x, reach, grid.ra_span, grid.bins_per_degree[z], bins)
        beyond = np.inf if whole else reach
        n = _runs(grid, base + first, base + final, x - beyond, x + beyond, run, window, n)
        n = _runs(grid, base + first2, base + final2, x + turn - reach, x + turn + reach, run, window, n)
    return n


@compiled()
def _gather(ra, dec, grid, line, low, high, reach, begin, rows, run, window, stack, found, near, where, last):
    """Right rows in the boxes around left rows of a block, from number `begin` on.

    Fills in their positions (`near`: left ra, dec, right ra, dec), place in the grid and number of rows there
    (`where`), and where each left row's end (`last`). Returns the number of the next left row, how many candidates
    there are, and how much room the next left row needs if there was too little.
    """
    room, used, b = near.shape[1], 0, begin
    while b < rows and used < GATHER:
        a, d, w, before = ra[line[b]], dec[line[b]], reach[b], used
        runs = 1
        if low[b] >= 0:
            run[0, 0], run[0, 1] = low[b], high[b]
        else:
            runs = _all_runs(a, d, w, grid, run, window)
        for n in range(runs):
            j, until = run[n, 0], run[n, 1]
            if until >= 0:
                if used + until - j > room:
                    return b, before, used + until - j
                while j < until:
                    a2, d2 = grid.position[j, 0], grid.position[j, 1]
                    if abs(d2 - d) <= grid.dec_reach and (
                        abs(a2 - a) <= w or abs(a2 - a - 360.0 * np.floor((a2 - a) / 360.0 + 0.5)) <= w
                    ):
                        near[0, used], near[1, used], near[2, used], near[3, used] = a, d, a2, d2
                        where[0, used], where[1, used] = j, 1
                        used += 1
                    j += 1
            else:
                west, east = window[n, 0], window[n, 1]
                points = in_window(grid, j, west, east, d - grid.dec_reach, d + grid.dec_reach, stack, found)
                if used + points > room:
                    return b, before, used + points
                for p in range(points):
                    j = grid.point_first[found[p]]
                    near[0, used], near[1, used] = a, d
                    near[2, used], near[3, used] = grid.position[j, 0], grid.position[j, 1]
                    where[0, used], where[1, used] = j, grid.point_count[found[p]]
                    used += 1
        last[b] = used
        b += 1
    return b, used, 0


@compiled()
def _separations(near, n):
    """Separations (arcsec) of gathered candidates; a loop that the compiler turns into vector code."""
    ra1, dec1, ra2, dec2, out = near[0], near[1], near[2], near[3], near[4]
    for c in range(n):
        out[c] = formula.haversine_deg(ra1[c], dec1[c], ra2[c], dec2[c]) * _ARCSEC


@compiled()
def _less(separation, right, i, j):
    return separation[i] < separation[j] or (separation[i] == separation[j] and right[i] < right[j])


@compiled()
def _swap(separation, right, i, j):
    separation[i], separation[j] = separation[j], separation[i]
    right[i], right[j] = right[j], right[i]


@compiled()
def _sort_found(separation, right, low, high):
    """Sort one left row's pairs by (separation, right row): by insertion a few, a heap of many."""
    n = high - low
    if n <= 16:
        for i in range(low + 1, high):
            j = i
            while j > low and _less(separation, right, j, j - 1):
                _swap(separation, right, j, j - 1)
                j -= 1
        return
    for step in range(n + n // 2 - 1, 0, -1):
        k, size = step - n, n  # first the heap is made
        if step < n:
            _swap(separation, right, low, low + step)
            k, size = 0, step
        while 2 * k + 1 < size:
            child = low + 2 * k + 1
            if 2 * k + 2 < size and _less(separation, right, child, child + 1):
                child += 1
            if not _less(separation, right, low + k, child):
                break
            _swap(separation, right, low + k, child)
            k = child - low


@compiled()
def _keep(grid, near, where, line, last, begin, until, limits, back, out, pairs):
    """Write the pairs of left rows of a block; returns how many there are now, and the row that had no room, or -1."""
    radius, least, k = limits
    back_separation, back_left = back
    left, right, separation, candidates, runner_up = out
    candidate = 0
    for b in range(begin, until):
        i, at, kept, counted, first, second = line[b], pairs, 0, 0, np.inf, np.inf
        for c in range(candidate, last[b]):
            s, j, many = near[4, c], int64(where[0, c]), int64(where[1, c])
            if not (least <= s <= radius):
                continue
            counted += many
            second = min(second, max(s, first), s if many > 1 else np.inf)
            first = min(first, s)
            take = many if k == 0 else min(many, k)
            if k == 0 and at + kept + many > len(left):
                return at, i
            for m in range(j, j + take):
                if k > 0 and kept == k:
                    # in place of the farthest one, if it is nearer
                    if s > separation[at + k - 1] or (s == separation[at + k - 1] and grid.row[m] > right[at + k - 1]):
                        break
                    kept -= 1
                separation[at + kept], right[at + kept] = s, grid.row[m]
                kept += 1
                if k > 0:
                    p = at + kept - 1
                    while p > at and _less(separation, right, p, p - 1):
                        _swap(separation, right, p, p - 1)
                        p -= 1
            if len(back_left) > 0:
                for m in range(j, j + many):
                    r = grid.row[m]
                    if s < back_separation[r] or (s == back_separation[r] and i < back_left[r]):
                        back_separation[r], back_left[r] = s, i
        candidate = last[b]
        pairs = at + kept
        if k == 0 and kept > 1:
            _sort_found(separation, right, at, pairs)
        for m in range(at, pairs):
            left[m], candidates[m] = i, counted
            runner_up[m] = second if counted > 1 else np.nan
    return pairs, -1


_FLOATS, _INTS, _ROWS = float64[::1], int64[::1], int32[::1]
GRID = types.NamedTuple(
    (
        float64[:, ::1], _ROWS, _ROWS, _INTS, _FLOATS, _FLOATS,
        float64, float64, float64, float64, float64, float64, int64,
        _ROWS, _ROWS, _FLOATS, _FLOATS, _ROWS, _ROWS,
    ),
    Grid,
)  # fmt: skip
SCRATCH = types.NamedTuple(
    (
        _INTS, _INTS, _INTS, _INTS, _FLOATS, float64[:, ::1], int32[:, ::1],
        int64[:, ::1], float64[:, ::1], int64[:, ::1], _ROWS,
    ),
    Scratch,
)  # fmt: skip


@compiled(
    types.UniTuple(int64, 3)(
        COLUMN, COLUMN, int64, int64, GRID,
        types.Tuple((float64, float64, int64)),
        types.Tuple((_FLOATS, _INTS)),
        types.Tuple((_INTS, _INTS, _FLOATS, _ROWS, _FLOATS)),
        SCRATCH,
    )
)  # fmt: skip
def search(ra, dec, begin, end, grid, limits, back, out, scratch):
    """Pairs of the left rows begin:end, written to the arrays of `out` (the columns of a `Match`).

    Parameters
    ----------
    ra, dec : ndarray, shape (n,)
        Left positions.
    limits : (radius, least separation, k)
        Arcsec, ends included; how many pairs to keep of each left row, 0 for all.
    back : (separation, left row)
        Of each right row's nearest left row, updated; of length 0 where it is not asked for.
    scratch : Scratch

    Returns
    -------
    (pairs, row, need)
        How many pairs were written, and the left row to go on with: `end`, unless there was no room for the pairs of
        that row (never with ``k > 0`` and room for `k` pairs a row), or in `scratch` for its candidates, of which
        there are `need` then, and otherwise 0.
    """
    line, last, low, high, reach = scratch.line, scratch.last, scratch.low, scratch.high, scratch.reach
    near, where, run, window = scratch.near, scratch.where, scratch.run, scratch.window
    stack, found = scratch.stack, scratch.found
    pairs, row = 0, begin
    while row < end:
        rows, row = _locate(ra, dec, row, end, grid, line, low, high, reach)
        b = 0
        while b < rows:
            until, used, need = _gather(
                ra, dec, grid, line, low, high, reach, b, rows, run, window, stack, found, near, where, last
            )
            if until == b:
                return pairs, line[b], need
            _separations(near, used)
            pairs, full = _keep(grid, near, where, line, last, b, until, limits, back, out, pairs)
            if full >= 0:
                return pairs, full, 0
            b = until
    return pairs, end, 0
