"""Cross-match: our kernel beside astropy's `match_to_catalog_sky` and scipy's k-d tree, on the same sky in one run."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stellar.sky.healpix import spatial_index
from stellar.sky.match import match
from stellar.sky.separation import separation_arcsec, unit_vectors

ROWS, SEED, RADIUS = (2_000_000, 1_000_000), 20260101, 1.0


@pytest.fixture(scope="module")
def sky() -> tuple[np.ndarray, ...]:
    """60 x 40 degrees; 60% of the right rows are a left row scattered by 0.2 arcsec."""
    rng = np.random.default_rng(SEED)
    ra1, dec1 = rng.uniform(150, 210, ROWS[0]), rng.uniform(-10, 30, ROWS[0])
    ra2, dec2 = rng.uniform(150, 210, ROWS[1]), rng.uniform(-10, 30, ROWS[1])
    true = int(0.6 * ROWS[1])
    scatter = rng.normal(0, 0.2 / 3600, (2, true))
    dec2[:true] = dec1[:true] + scatter[1]
    ra2[:true] = ra1[:true] + scatter[0] / np.cos(np.radians(dec2[:true]))
    return ra1, dec1, ra2, dec2


def timed(call: Callable[[], Any], times: int = 1) -> tuple[Any, float]:
    """The result, and the least seconds of some runs."""
    least = np.inf
    for _ in range(times):
        started = time.perf_counter()
        result = call()
        least = min(least, time.perf_counter() - started)
    return result, least


def test_nearest_within_one_arcsecond(sky, capsys) -> None:
    import astropy.units as u
    from astropy.coordinates import SkyCoord, match_coordinates_sky
    from scipy.spatial import cKDTree

    ra1, dec1, ra2, dec2 = sky
    cores = os.cpu_count() or 1
    match(*(x[:10] for x in sky), RADIUS)  # loads the compiled code
    found, ours = timed(lambda: match(*sky, RADIUS), 3)
    _, threads = timed(lambda: match(*sky, RADIUS, n_threads=cores), 3)
    order1, order2 = (np.argsort(spatial_index(*side)) for side in ((ra1, dec1), (ra2, dec2)))
    in_order = (ra1[order1], dec1[order1], ra2[order2], dec2[order2])
    again, ordered = timed(lambda: match(*in_order, RADIUS), 3)
    assert np.array_equal(np.sort(order1[again.left_index]), found.left_index)

    (nearest, *_), astropy = timed(
        lambda: match_coordinates_sky(SkyCoord(ra1 * u.deg, dec1 * u.deg), SkyCoord(ra2 * u.deg, dec2 * u.deg))
    )
    within = separation_arcsec(ra1, dec1, ra2[nearest], dec2[nearest]) <= RADIUS
    assert np.array_equal(found.left_index, np.flatnonzero(within))
    assert np.array_equal(found.right_index, nearest[within])

    chord = 2 * np.sin(np.radians(RADIUS / 3600) / 2)
    (_, near), scipy = timed(
        lambda: cKDTree(unit_vectors(ra2, dec2)).query(
            unit_vectors(ra1, dec1), distance_upper_bound=chord * (1 + 1e-9), workers=cores
        )
    )
    assert np.array_equal(np.flatnonzero(near < len(ra2)), found.left_index)

    load = "import time; t = time.perf_counter(); from stellar.sky import native; native.load()"
    load += "; print(time.perf_counter() - t)"
    started = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True, check=True)
    with capsys.disabled():
        print(
            f"\nmatch {ROWS[0]:,} x {ROWS[1]:,} within {RADIUS} arcsec, {len(found.left_index):,} pairs, {cores} cores"
        )
        print(f"  ours, rows in random order   {ours:6.3f} s")
        print(f"  ours, {cores} threads              {threads:6.3f} s")
        print(f"  ours, rows sorted along sky  {ordered:6.3f} s")
        print(f"  scipy cKDTree, {cores} threads     {scipy:6.3f} s; ratio {scipy / threads:.1f}")
        print(f"  astropy match_to_catalog_sky {astropy:6.3f} s; ratio {astropy / ours:.1f}")
        print(f"  import and load of the compiled code {float(started.stdout):.2f} s")
