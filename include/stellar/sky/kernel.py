"""The compiled cross-match: chunks of left rows searched over one grid, by threads where asked for.

``python -m stellar.sky.kernel`` compiles everything, which takes some seconds; `stellar.sky.native` says where the code
is kept and how it is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import native
from .grid import build_grid, scratch_for
from .match import Match, nearest

# Pairs that one call of the search has room for, about; and at least, whatever the number of left rows.
_CHUNK = 1 << 18
_ROOM = 1024
_ALL = 0
# Of a left row that may have more pairs than this all are found, and the nearest kept: most such rows have few.
_MANY = 64

Pairs = tuple[NDArray[Any], ...]
_TYPES = (np.int64, np.int64, np.float64, np.int32, np.float64)


def find_pairs(
    ra1: NDArray[np.float64],
    dec1: NDArray[np.float64],
    ra2: NDArray[np.float64],
    dec2: NDArray[np.float64],
    radius_arcsec: float,
    *,
    k: int = _ALL,
    mutual: bool = False,
    min_arcsec: float = 0.0,
    n_threads: int = 1,
) -> Pairs:
    """Columns of a `stellar.sky.match.Match`; `k` = 0 for all pairs. Arrays are of float64 and contiguous."""
    grid = build_grid(ra2, dec2, radius_arcsec / 3600.0) if len(ra1) and len(ra2) else None
    if grid is None:
        return _empty(0)
    k = _ALL if k >= len(ra2) else k
    rows = max(1, _CHUNK // max(_wanted(k), 1))
    chunks = [(begin, min(begin + rows, len(ra1))) for begin in range(0, len(ra1), rows)]
    workers = max(1, min(n_threads, len(chunks)))

    def work(first: int) -> tuple[list[list[Pairs]], tuple[NDArray[np.float64], NDArray[np.int64]]]:
        # every worker keeps its own nearest left rows: the lowest of all is the same however the chunks are dealt out
        back = _no_lefts(len(ra2) if mutual else 0)
        limits = grid, (float(radius_arcsec), float(min_arcsec), k), back
        return [list(_search(ra1, dec1, *chunk, limits)) for chunk in chunks[first::workers]], back

    if workers == 1:
        done = [work(0)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            done = list(pool.map(work, range(workers)))
    found = [piece for n in range(len(chunks)) for piece in done[n % workers][0][n // workers]]
    pairs = found[0] if len(found) == 1 else tuple(np.concatenate(columns) for columns in zip(*found, strict=True))
    return _mutual(pairs, [back for _, back in done]) if mutual else pairs


def _search(
    ra: NDArray[np.float64], dec: NDArray[np.float64], begin: int, end: int, limits: tuple[Any, ...]
) -> Iterator[Pairs]:
    """Pairs of a chunk, in as many pieces as it takes to have room for them; each has all pairs of its left rows."""
    grid, (radius, least, k), back = limits
    room = max((end - begin) * max(_wanted(k), 1), _ROOM)
    scratch, asked = scratch_for(grid), (radius, least, _wanted(k))
    while begin < end:
        out = _empty(room)
        n, reached, need = native.call("search", ra, dec, begin, end, grid, asked, back, out, scratch)
        if need:
            scratch = scratch_for(grid, need)
        elif reached == begin:  # not even one row's pairs had room
            room *= 4
        if reached == begin:
            continue
        begin = reached
        found = tuple(column[:n] for column in out)
        yield found if _wanted(k) == k else tuple(Match._make(found).take(nearest(Match._make(found), k=k)))


def _wanted(k: int) -> int:
    """How many pairs of a left row the search keeps by itself; room is made for so many of each."""
    return k if k <= _MANY else _ALL


def _empty(n: int) -> Pairs:
    return tuple(np.empty(n, t) for t in _TYPES)


def _no_lefts(n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return np.full(n, np.inf), np.full(n, np.iinfo(np.int64).max)


def _mutual(pairs: Pairs, backs: list[tuple[NDArray[np.float64], NDArray[np.int64]]]) -> Pairs:
    """Pairs whose left row is the nearest one of their right row."""
    separation, left = backs[0]
    for other_separation, other_left in backs[1:]:
        better = (other_separation < separation) | ((other_separation == separation) & (other_left < left))
        separation, left = np.where(better, other_separation, separation), np.where(better, other_left, left)
    keep = left[pairs[1]] == pairs[0]
    return tuple(column[keep] for column in pairs)


if __name__ == "__main__":
    print(f"the cross-match is compiled; the code is in {native.load().path}")
