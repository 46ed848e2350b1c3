"""The match kernel against brute force over all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.sky.match import match, match_all
from stellar.sky.separation import separation_arcsec


@st.composite
def crowd(draw):
    """Two small crowded sets at a chosen spot, with duplicates and exact ties, and a radius."""
    ra0, dec0 = draw(st.sampled_from([(0.0, 0.0), (359.9999, -35.0), (120.0, 90.0), (7.0, -90.0), (200.0, 60.0)]))
    spread = draw(st.sampled_from([1e-7, 1e-3, 1.0]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def positions(n):
        # A grid of few values gives many exact duplicates and ties.
        step = np.round(random.uniform(-4, 4, (2, n))) * spread
        dec = dec0 + step[1]
        return (ra0 + step[0]) % 360, np.where(np.abs(dec) > 90, np.sign(dec) * 180 - dec, dec)

    left, right = positions(draw(st.integers(0, 25))), positions(draw(st.integers(0, 25)))
    return left, right, draw(st.floats(0, 6)) * spread * 3600


def brute(left, right, radius):
    separation = separation_arcsec(left[0][:, None], left[1][:, None], right[0][None], right[1][None])
    pairs = [(i, separation[i, j], j) for i, j in zip(*np.nonzero(separation <= radius), strict=True)]
    return sorted((int(i), float(s), int(j)) for i, s, j in pairs)


@settings(max_examples=300, deadline=None)
@given(crowd())
def test_all_pairs_are_those_of_brute_force(case):
    left, right, radius = case
    found = match_all(*left, *right, radius)
    expected = brute(left, right, radius)
    assert list(zip(found.left_index, found.separation_arcsec, found.right_index, strict=True)) == expected
    counts = np.bincount([i for i, _, _ in expected], minlength=len(left[0]))
    assert (found.n_candidates == counts[found.left_index]).all()


@settings(max_examples=300, deadline=None)
@given(crowd())
def test_nearest_and_mutual_are_those_of_brute_force(case):
    left, right, radius = case
    pairs = brute(left, right, radius)
    best: dict[int, tuple[float, int]] = {}
    back: dict[int, tuple[float, int]] = {}
    for i, s, j in pairs:
        best[i] = min(best.get(i, (np.inf, -1)), (s, j))
        back[j] = min(back.get(j, (np.inf, -1)), (s, i))
    found = match(*left, *right, radius)
    assert found.left_index.tolist() == sorted(best)
    assert [(s, j) for s, j in zip(found.separation_arcsec, found.right_index, strict=True)] == [
        best[i] for i in sorted(best)
    ]
    mutual = match(*left, *right, radius, mutual=True)
    expected = [(i, best[i][1]) for i in sorted(best) if back[best[i][1]][1] == i]
    assert list(zip(mutual.left_index, mutual.right_index, strict=True)) == expected
    assert len(set(mutual.right_index)) == len(mutual.right_index)


def test_radius_is_inclusive_at_any_scale():
    for step in (1e-9, 1e-6, 1e-3, 1.0, 60.0, 179.0):
        radius = float(separation_arcsec(0.0, 0.0, 0.0, step / 2))
        assert len(match([0.0], [0.0], [0.0], [step / 2], radius).left_index) == 1
        assert len(match([0.0], [0.0], [0.0], [step / 2], radius * (1 - 1e-9)).left_index) == 0


def test_positions_that_are_not_known_match_nothing():
    found = match([np.nan, 5.0], [0.0, 0.0], [np.nan, 5.0], [0.0, np.nan], 1.0)
    assert len(found.left_index) == 0
    assert match([np.nan, 5.0], [0.0, 0.0], [9.0, 5.0], [0.0, 0.0], 1.0).left_index.tolist() == [1]


def test_types_and_empty_sides():
    found = match([], [], [1.0], [1.0], 1.0)
    assert [column.dtype for column in found] == [np.int64, np.int64, np.float64, np.int32]
    assert len(match([1.0], [1.0], [], [], 1.0).left_index) == 0


@pytest.mark.parametrize("radius", [-1.0, np.nan, 700_000.0])
def test_a_radius_that_is_none_is_refused(radius):
    with pytest.raises(ValueError, match="radius_arcsec"):
        match([0.0], [0.0], [0.0], [0.0], radius)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="length"):
        match([0.0, 1.0], [0.0], [0.0], [0.0], 1.0)


def test_true_pairs_of_linear(real_data):
    """LINEAR's own cross-match to SDSS is found again, nearly all of it as the nearest (real data)."""
    # Two header columns have spaces or signs in their names, so columns go by number.
    left_ra, left_dec, right_ra, right_dec = np.loadtxt(real_data / "linear_targets.dat.gz", usecols=(1, 2, 3, 4)).T
    found = match(left_ra, left_dec, right_ra, right_dec, 5.0)
    true = found.left_index == found.right_index
    assert len(found.left_index) == len(left_ra) and true.mean() > 0.998
