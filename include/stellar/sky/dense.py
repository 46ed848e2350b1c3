"""Trees over the rows of crowded bins: a k-d tree of each bin's distinct positions.

A tree needs no nodes: its points are ordered so that the middle one of any range divides it, by right ascension and by
declination in turns. Rows at one and the same position are one point, so that a heap of them costs no more than a row.
"""

from __future__ import annotations

import numpy as np
from numba import float64, int32, int64

from .compiled import compiled

# Ranges of this many points are not divided further.
LEAF = 12


@compiled()
def wrapped(ra, ra_origin):
    """Degrees east of an origin, in [0, 360], but for rounding."""
    x = ra - ra_origin
    return x - 360.0 * np.floor(x / 360.0)


@compiled()
def _sort_rows(position, row, low, high):
    """Heap sort of rows by (ra, dec, row)."""
    n = high - low
    for k in range(n // 2 - 1, -1, -1):
        _sift(position, row, low, k, n)
    for end in range(n - 1, 0, -1):
        _swap_rows(position, row, low, low + end)
        _sift(position, row, low, 0, end)


@compiled()
def _swap_rows(position, row, i, j):
    position[i, 0], position[j, 0] = position[j, 0], position[i, 0]
    position[i, 1], position[j, 1] = position[j, 1], position[i, 1]
    row[i], row[j] = row[j], row[i]


@compiled()
def _before(position, row, i, j):
    if position[i, 0] != position[j, 0]:
        return position[i, 0] < position[j, 0]
    if position[i, 1] != position[j, 1]:
        return position[i, 1] < position[j, 1]
    return row[i] < row[j]


@compiled()
def _sift(position, row, low, k, n):
    while 2 * k + 1 < n:
        child = 2 * k + 1
        if child + 1 < n and _before(position, row, low + child, low + child + 1):
            child += 1
        if not _before(position, row, low + k, low + child):
            return
        _swap_rows(position, row, low + k, low + child)
        k = child


@compiled()
def _swap_points(x, dec, first, count, i, j):
    x[i], x[j] = x[j], x[i]
    dec[i], dec[j] = dec[j], dec[i]
    first[i], first[j] = first[j], first[i]
    count[i], count[j] = count[j], count[i]


@compiled()
def _divide(key, x, dec, first, count, low, high):
    """Put the middle point by `key` in the middle, none greater before it and none smaller after it (Hoare's find)."""
    middle = (low + high) // 2
    left, right = low, high - 1
    while left < right:
        centre = (left + right) // 2
        a, b, c = key[left], key[centre], key[right]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = left, right
        while i <= j:
            while key[i] < pivot:
                i += 1
            while key[j] > pivot:
                j -= 1
            if i <= j:
                _swap_points(x, dec, first, count, i, j)
                i += 1
                j -= 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            return


@compiled()
def _order(x, dec, first, count, low, high, stack):
    stack[0, 0], stack[0, 1], stack[0, 2] = low, high, 0
    depth = 1
    while depth:
        depth -= 1
        low, high, turn = stack[depth, 0], stack[depth, 1], stack[depth, 2]
        if high - low <= LEAF:
            continue
        _divide(dec if turn else x, x, dec, first, count, low, high)
        middle = (low + high) // 2
        stack[depth, 0], stack[depth, 1], stack[depth, 2] = low, middle, 1 - turn
        stack[depth + 1, 0], stack[depth + 1, 1], stack[depth + 1, 2] = middle + 1, high, 1 - turn
        depth += 2


@compiled(
    int64(
        float64[:, ::1], int32[::1], int32[::1], int64, float64,
        int32[::1], int32[::1], float64[::1], float64[::1], int32[::1], int32[::1], int64[:, ::1],
    )
)  # fmt: skip
def grow_trees(position, row, start, limit, ra_origin, tree_bin, tree_start, x, dec, first, count, stack):
    """Make the trees of all bins with more rows than `limit`; returns how many points they have.

    Sorts those bins' rows by (ra, dec, row), so that the rows of a point are together and ascend.
    """
    trees, points = 0, 0
    for b in range(len(start) - 1):
        low, high = start[b], start[b + 1]
        if high - low <= limit:
            continue
        _sort_rows(position, row, low, high)
        tree_bin[trees], tree_start[trees] = b, points
        before = points
        for j in range(low, high):
            if j > low and position[j, 0] == position[j - 1, 0] and position[j, 1] == position[j - 1, 1]:
                count[points - 1] += 1
                continue
            x[points], dec[points] = wrapped(position[j, 0], ra_origin), position[j, 1]
            first[points], count[points] = j, 1
            points += 1
        _order(x, dec, first, count, before, points, stack)
        trees += 1
    tree_start[trees] = points
    return points


@compiled()
def in_window(grid, tree, west, east, south, north, stack, found):
    """Points of a tree of the grid in a window of x and dec; their numbers go to `found`, their number is returned."""
    x, dec = grid.point_x, grid.point_dec
    n = 0
    stack[0, 0], stack[0, 1], stack[0, 2] = grid.tree_start[tree], grid.tree_start[tree + 1], 0
    depth = 1
    while depth:
        depth -= 1
        low, high, turn = stack[depth, 0], stack[depth, 1], stack[depth, 2]
        divided = high - low > LEAF
        middle = (low + high) // 2
        # of a range that is divided only the middle point is looked at here
        for p in range(middle if divided else low, middle + 1 if divided else high):
            if west <= x[p] <= east and south <= dec[p] <= north:
                found[n] = p
                n += 1
        if divided:
            key = dec[middle] if turn else x[middle]
            if (south if turn else west) <= key:
                stack[depth, 0], stack[depth, 1], stack[depth, 2] = low, middle, 1 - turn
                depth += 1
            if (north if turn else east) >= key:
                stack[depth, 0], stack[depth, 1], stack[depth, 2] = middle + 1, high, 1 - turn
                depth += 1
    return n
