"""Match probabilities: the formula written plainly, and skies on which the truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.sky.healpix import Cell, spatial_index
from stellar.sky.match import match_all, nearest
from stellar.sky.probability import (
    combined_sigma,
    estimate_completeness,
    local_density,
    match_probability,
    pixel_area_arcsec2,
)

POSITIVE = st.floats(1e-3, 1e3)
CANDIDATE = st.tuples(st.floats(0, 20), POSITIVE)  # separation in sigma, sigma


@given(st.lists(st.lists(CANDIDATE, min_size=1, max_size=5), max_size=6), POSITIVE, st.floats(0.01, 1))
def test_the_formula(rows, density, completeness):
    """Sutherland & Saunders (1992), eq. 5, row by row, as it is written there."""
    pairs = [(i, s, sigma) for i, row in enumerate(rows) for s, sigma in row]
    left, far, sigma = np.array(pairs).reshape(-1, 3).T
    found = match_probability(left.astype(int), far * sigma, sigma, density, completeness)
    at = 0
    for row in rows:
        ratios = [completeness * np.exp(-(s**2) / 2) / (2 * np.pi * one**2) / density for s, one in row]
        total = sum(ratios) + (1 - completeness)
        assert found[at : at + len(row)] == pytest.approx([r / total for r in ratios], rel=1e-9)
        assert found[at : at + len(row)].sum() <= 1 + 1e-12
        at += len(row)


def test_a_row_does_not_depend_on_its_company():
    random = np.random.default_rng(5)
    left = np.sort(random.integers(0, 300, 2000))
    separation, sigma, density = (
        random.uniform(0, 2, 2000),
        random.uniform(0.05, 1, 2000),
        random.uniform(0.01, 1, 2000),
    )
    whole = match_probability(left, separation, sigma, density, 0.7)
    for part in (left < 100, left == 50, left % 7 == 0):
        alone = match_probability(left[part], separation[part], sigma[part], density[part], 0.7)
        assert np.array_equal(alone, whole[part])


def test_errors_of_microarcseconds_and_separations_of_degrees():
    found = match_probability([0, 0, 1, 2], [1e-6, 1.0, 3600.0, 0.0], [1e-6, 1e-6, 1e-3, 1e-160], 1e-5, 0.5)
    assert found.tolist() == [pytest.approx(1), 0, 0, 1]
    assert match_probability([0, 0], [1.0, 2.0], 1e-3, 1e-5, 1.0).tolist() == [1, 0]
    assert match_probability([], [], 1.0, 1.0).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([0], [1.0], 0.0, 1.0), "sigma"),
        (([0], [1.0], np.nan, 1.0), "sigma"),
        (([0], [1.0], 1.0, 0.0), "density"),
        (([0], [1.0], 1.0, 1.0, 0.0), "completeness"),
        (([0], [1.0], 1.0, 1.0, 1.1), "completeness"),
        (([0, 1, 0], [1.0] * 3, 1.0, 1.0), "together"),
    ],
)
def test_what_cannot_be_is_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        match_probability(*arguments)


def test_combined_sigma():
    assert combined_sigma([0.3, np.nan, 0.0, -1.0, np.inf], 0.4, default_left=0.3).tolist() == pytest.approx([0.5] * 5)
    assert combined_sigma(None, None, default_left=0.03, default_right=0.04) == pytest.approx(0.05)


def field(random, n, share, density, sigma):
    """Left rows on a patch, a share of them with a true counterpart (its row, or -1), and right rows by chance."""
    side = np.sqrt(n) * 10.0 / 3600
    ra, dec = random.uniform(150, 150 + side, n), random.uniform(-side / 2, side / 2, n)
    real = np.flatnonzero(random.random(n) < share)
    chance = random.poisson(density * (side * 3600) ** 2)
    offset = random.normal(0, sigma[real], (2, len(real))) / 3600
    ra2 = np.append(ra[real] + offset[0], random.uniform(150, 150 + side, chance))
    dec2 = np.append(dec[real] + offset[1], random.uniform(-side / 2, side / 2, chance))
    counterpart = np.full(n, -1)
    counterpart[real] = np.arange(len(real))
    return (ra, dec), (ra2, dec2), counterpart


def test_probabilities_are_how_often_it_is_true():
    """In a crowded field, of all pairs given a probability of p about a share of p is true; so too for the nearest."""
    random = np.random.default_rng(6)
    n, share, density = 60_000, 0.6, 0.02
    sigma = random.uniform(0.3, 1.5, n)
    left, right, counterpart = field(random, n, share, density, sigma)
    pairs = match_all(*left, *right, 8.0)
    everything = density + share / 10**2  # other rows' counterparts are found by chance too
    probability = match_probability(
        pairs.left_index, pairs.separation_arcsec, sigma[pairs.left_index], everything, share
    )
    true = counterpart[pairs.left_index] == pairs.right_index
    best = nearest(pairs)
    for p, truth in ((probability, true), (probability[best], true[best])):
        for low in np.arange(0, 1, 0.1):
            here = (p >= low) & (p < low + 0.1)
            assert here.sum() > 500
            assert truth[here].mean() == pytest.approx(p[here].mean(), abs=0.03)
    close = match_all(*left, *right, 3.0)
    has = np.zeros(n, bool)
    has[close.left_index] = True
    assert estimate_completeness(has, sigma, everything, 3.0) == pytest.approx(share, abs=0.02)


def test_completeness_of_nothing_is_not_known():
    assert np.isnan(estimate_completeness([], 1.0, 1.0, 1.0))
    assert np.isnan(estimate_completeness([True], 1.0, 1e3, 10.0))
    assert estimate_completeness([False, False], 0.1, 1e-6, 1.0) == 0
    assert estimate_completeness([True, True], 0.1, 1e-6, 1.0) == pytest.approx(1)


def test_local_density():
    random = np.random.default_rng(7)
    ra, dec = random.uniform(0, 360, 200_000), np.degrees(np.arcsin(random.uniform(-1, 1, 200_000)))
    left, right = spatial_index(ra[:1000], dec[:1000]), spatial_index(ra, dec)
    found = local_density(left, right, 3)
    per_sky = pixel_area_arcsec2(0) * 12 / (4 * np.pi * np.degrees(3600.0) ** 2)
    assert per_sky == pytest.approx(1)
    assert found == pytest.approx(200_000 / (12 * pixel_area_arcsec2(0)), rel=0.3)
    assert found.mean() == pytest.approx(200_000 / (12 * pixel_area_arcsec2(0)), rel=0.01)
    # a partition alone gives the same, its cell no finer than the pixels
    cell = Cell(2, int(left[0] >> 54))
    mine, theirs = cell.contains(left), cell.contains(right)
    assert np.array_equal(local_density(left[mine], right[theirs], 3), found[mine])
    assert local_density(left[:1], [], 3) == pytest.approx(1 / pixel_area_arcsec2(3))
    assert local_density([], right, 3).shape == (0,)


@pytest.mark.parametrize("order", [0, 5, 11, 14, 29])
@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (200, 300)])
def test_rows_are_counted_in_few_pixels_and_in_many(order: int, n: int, m: int) -> None:
    random = np.random.default_rng(order)
    left, right = (random.integers(7 << 48, 8 << 48, rows) for rows in (n, m))
    shift = 2 * (29 - order)
    expected = [max(1, int((right >> shift == one).sum())) / pixel_area_arcsec2(order) for one in left >> shift]
    assert local_density(left, right, order).tolist() == expected


def test_rows_of_one_candidate_each_have_the_same_probability_to_the_bit_beside_crowded_ones():
    rng = np.random.default_rng(5)
    left, separation, density = np.arange(1000), rng.uniform(0, 3, 1000), rng.uniform(1e-6, 1e-2, 1000)
    alone = match_probability(left, separation, 0.3, density)
    beside = match_probability(
        np.append(left, [1000, 1000]), np.append(separation, [0.1, 0.2]), 0.3, np.append(density, [1e-3, 1e-3])
    )
    np.testing.assert_array_equal(alone, beside[:1000])
