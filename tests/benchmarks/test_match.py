"""Cross-match: our kernel beside astropy's `match_to_catalog_sky`, on the same sky in the same run."""

import time

import numpy as np
import pytest

from stellar.sky.match import match
from stellar.sky.separation import separation_arcsec

ROWS, SEED = (400_000, 200_000), 20260101


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


def test_nearest_within_one_arcsecond(sky, capsys) -> None:
    import astropy.units as u
    from astropy.coordinates import SkyCoord, match_coordinates_sky

    ra1, dec1, ra2, dec2 = sky
    started = time.perf_counter()
    found = match(ra1, dec1, ra2, dec2, 1.0)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    left, right = SkyCoord(ra1 * u.deg, dec1 * u.deg), SkyCoord(ra2 * u.deg, dec2 * u.deg)
    nearest, *_ = match_coordinates_sky(left, right)
    theirs = time.perf_counter() - started
    within = separation_arcsec(ra1, dec1, ra2[nearest], dec2[nearest]) <= 1.0
    assert np.array_equal(found.left_index, np.flatnonzero(within))
    assert np.array_equal(found.right_index, nearest[within])
    with capsys.disabled():
        print(
            f"\nmatch {ROWS[0]:,} x {ROWS[1]:,} within 1 arcsec: {ours:.2f} s; astropy {theirs:.2f} s; "
            f"ratio {theirs / ours:.1f}"
        )
