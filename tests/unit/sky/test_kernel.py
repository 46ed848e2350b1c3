"""The compiled search: the same whatever the chunks, the threads and the room; its formula that of the arrays."""

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.sky import grid, kernel
from stellar.sky.match import Match, nearest
from stellar.sky.separation import separation_arcsec


def crowd(seed, n, spread=1.0):
    """Half of the rows near RA 0, a quarter in a clump, some twice, the rest near the pole."""
    random = np.random.default_rng(seed)
    ra, dec = random.normal(0, spread, n) % 360, random.normal(30, spread, n)
    ra[: n // 4], dec[: n // 4] = 5 + random.normal(0, 1e-5, n // 4), 30 + random.normal(0, 1e-5, n // 4)
    ra[-n // 8 :], dec[-n // 8 :] = (
        random.uniform(0, 360, len(ra[-n // 8 :])),
        90 - random.exponential(1e-3, len(ra[-n // 8 :])),
    )
    again = random.integers(0, n, n // 3)
    ra[again], dec[again] = ra[again[::-1]], dec[again[::-1]]
    return ra, dec


@pytest.mark.parametrize(("k", "mutual"), [(0, False), (1, False), (1, True), (3, True)])
@pytest.mark.parametrize("radius", [0.05, 60.0])
def test_neither_chunks_nor_threads_change_anything(monkeypatch, k, mutual, radius):
    left, right = crowd(1, 4000), crowd(2, 3000)
    whole = kernel.find_pairs(*left, *right, radius, k=k, mutual=mutual)
    assert len(whole[0]) > 400
    for chunk, n_threads in ((700, 1), (700, 3), (64, 8), (1, 2)):
        monkeypatch.setattr(kernel, "_CHUNK", chunk)
        monkeypatch.setattr(kernel, "_ROOM", 1)
        again = kernel.find_pairs(*left, *right, radius, k=k, mutual=mutual, n_threads=n_threads)
        for got, want in zip(again, whole, strict=True):
            assert got.dtype == want.dtype and np.array_equal(got, want, equal_nan=got.dtype == np.float64)


@pytest.mark.parametrize("k", [kernel._MANY, kernel._MANY + 1, 200, 10**9, 10**30])
@pytest.mark.parametrize("mutual", [False, True])
def test_many_partners_are_the_nearest_of_all(k, mutual):
    left, right = crowd(1, 1500), crowd(2, 1000)
    every = Match._make(kernel.find_pairs(*left, *right, 60.0))
    assert np.bincount(every.left_index).max() > 200
    expected = every.take(nearest(every, k=k, mutual=mutual))
    for n_threads in (1, 3):
        found = kernel.find_pairs(*left, *right, 60.0, k=k, mutual=mutual, n_threads=n_threads)
        for got, want in zip(found, expected, strict=True):
            assert np.array_equal(got, want, equal_nan=got.dtype == np.float64)


@pytest.mark.parametrize("k", [50_000, 10**9])
def test_memory_is_that_of_the_pairs_there_are(k):
    """Room for every right row as a partner of every left row would be 4 GB."""
    random = np.random.default_rng(3)
    right = random.uniform(0, 2, 100_000), random.uniform(-1, 1, 100_000)
    left = tuple(side[:1000].copy() for side in right)
    tracemalloc.start()
    try:
        pairs = len(kernel.find_pairs(*left, *right, 60.0, k=k)[0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pairs > 10_000
    assert peak < 50 << 20


def test_searches_in_several_threads_at_once():
    sides = [(crowd(2 * n, 2000), crowd(2 * n + 1, 2000)) for n in range(8)]
    alone = [kernel.find_pairs(*left, *right, 1.0, k=1) for left, right in sides]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda side: kernel.find_pairs(*side[0], *side[1], 1.0, k=1), sides))
    for a, b in zip(alone, together, strict=True):
        assert all(np.array_equal(x, y, equal_nan=x.dtype == np.float64) for x, y in zip(a, b, strict=True))


RA, DEC = st.floats(-720, 720), st.floats(-90, 90)


@settings(max_examples=300)
@given(st.lists(st.tuples(RA, DEC), min_size=1, max_size=9), st.lists(st.tuples(RA, DEC), min_size=1, max_size=9))
def test_its_separation_has_the_bits_of_the_arrays(left, right):
    (ra1, dec1), (ra2, dec2) = (np.array(side).T.copy() for side in (left, right))
    i, j, separation, _, _ = kernel.find_pairs(ra1, dec1, ra2, dec2, 648_000.0)
    expected = separation_arcsec(ra1[i], dec1[i], ra2[j], dec2[j])
    assert (separation == expected).all()
    assert len(i) == (separation_arcsec(ra1[:, None], dec1[:, None], ra2, dec2) <= 648_000.0).sum()


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 10.0, 179.0]), st.booleans())
def test_a_grid_holds_every_row_once_where_it_is_looked_for(seed, radius_deg, around_zero):
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 300))
    ra = random.normal(0 if around_zero else 200, 10 ** random.uniform(-8, 2), n)
    dec = np.clip(random.normal(random.uniform(-90, 90), 10 ** random.uniform(-8, 2), n), -90, 90)
    made = grid.build_grid(ra, dec, radius_deg)
    assert sorted(made.row) == list(range(n))
    assert (made.position == np.stack([ra, dec], axis=1)[made.row]).all()
    assert made.start[0] == 0 and made.start[-1] == n and (np.diff(made.start) >= 0).all()
    assert len(made.start) == made.zone_bin[-1] + 1 <= 3 * n + 3
    # all rows lie in the span of RA that is looked at, but for rounding
    x = (ra - made.ra_origin) % 360
    assert (np.minimum(x, 360 - x) <= 1e-9).all() or (x <= made.ra_span + 1e-9).all()
    # trees hold the rows of the crowded bins
    crowded = np.flatnonzero(np.diff(made.start) > grid.DENSE)
    if len(made.tree_bin):
        assert made.tree_bin.tolist() == crowded.tolist()
        held = made.point_count[: made.tree_start[-1]].sum()
        assert held == np.diff(made.start)[crowded].sum()


def test_no_grid_without_positions():
    nothing = np.array([np.nan, 1.0, 2.0]), np.array([1.0, np.nan, 95.0])
    assert grid.build_grid(*nothing, 1.0) is None
    assert all(len(column) == 0 for column in kernel.find_pairs(*nothing, *crowd(1, 10), 1.0))
    assert all(len(column) == 0 for column in kernel.find_pairs(*crowd(1, 10), *nothing, 1.0))


def test_compiling_ahead():
    """`python -m stellar.sky.kernel` leaves the code where a match finds it, without numba."""
    done = subprocess.run([sys.executable, "-m", "stellar.sky.kernel"], capture_output=True, text=True, check=True)
    assert "compiled" in done.stdout
    look = (
        "import sys; from stellar.sky import match, native; found = match.match([1.0], [2.0], [1.0], [2.0], 1.0);"
        "print(len(found.left_index), native.load().found, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True", "False"]


def test_a_left_row_with_more_candidates_than_there_is_room_for():
    """All rows of a dense clump are candidates of one left row; those before and after it keep their pairs."""
    ra2, dec2 = crowd(2, 3 * grid.GATHER)
    ra1, dec1 = (
        np.concatenate([ra2[:300], ra2[:1], ra2[300:600]]),
        np.concatenate([dec2[:300], dec2[:1], dec2[300:600]]),
    )
    pairs = kernel.find_pairs(ra1, dec1, ra2, dec2, 648_000.0, k=1)
    assert pairs[0].tolist() == list(range(601))
    assert (pairs[3] == len(ra2)).all()
