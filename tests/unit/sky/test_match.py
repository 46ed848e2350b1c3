"""The cross-match against a search through all pairs, on skies made to be hard."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.sky.match import Match, match, match_all, nearest
from stellar.sky.separation import separation_arcsec

CENTRES = st.sampled_from(
    [(0.0, 0.0), (359.9999, -35.0), (120.0, 90.0), (7.0, -90.0), (200.0, 60.0), (0.0, 89.9999), (180.0, -89.0)]
)


def cloud(random, kind, n, ra0, dec0, spread):
    """`n` positions near a centre: spread evenly, on a grid of few values (many ties), on a line, or all over."""
    if kind == "sky":
        return random.uniform(0, 360, n), np.degrees(np.arcsin(random.uniform(-1, 1, n)))
    if kind == "grid":
        step = np.round(random.uniform(-4, 4, (2, n))) * spread
    else:
        step = random.uniform(-4, 4, (2, n)) * spread
    if kind in ("meridian", "parallel"):
        step[kind == "parallel"] = 0
    dec = dec0 + step[1]
    return (ra0 + step[0]) % 360, np.clip(np.where(np.abs(dec) > 90, np.sign(dec) * 180 - dec, dec), -90, 90)


@st.composite
def positions(draw, random):
    """Several clouds on one side, with rows given twice, RA beyond the circle and rows without a position."""
    parts = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["sky", "grid", "even", "meridian", "parallel"]))
        n = draw(st.sampled_from([1, 5, 40, 150]))
        parts.append(cloud(random, kind, n, *draw(CENTRES), draw(st.sampled_from([1e-9, 1e-7, 1e-3, 1.0, 20.0]))))
    ra, dec = (np.concatenate([np.empty(0), *(p[axis] for p in parts)]) for axis in (0, 1))
    if len(ra) and draw(st.booleans()):
        again = random.integers(0, len(ra), random.integers(1, 200))
        ra, dec = np.append(ra, ra[again]), np.append(dec, dec[again])
    if draw(st.booleans()):
        ra = ra + 360.0 * random.integers(-2, 3, len(ra))
    if draw(st.booleans()):
        for column, value in ((ra, np.nan), (dec, np.nan), (ra, np.inf), (dec, 91.0), (ra, 1e17), (dec, -np.inf)):
            column[random.random(len(ra)) < 0.02] = value
    order = random.permutation(len(ra))
    return ra[order], dec[order]


@st.composite
def skies(draw):
    """Two sides, a radius that may be exactly a separation, and a least separation."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    left = draw(positions(random))
    right = left if draw(st.booleans()) else draw(positions(random))
    radius = draw(st.sampled_from([0.0, 1e-7, 1e-3, 1.0, 3600.0, 36_000.0, 400_000.0, 648_000.0]))
    with np.errstate(invalid="ignore"):
        separations = separation_arcsec(*(x[:50, None] for x in left), *(x[None, :50] for x in right))
    known = separations[np.isfinite(separations)]
    if len(known) and draw(st.booleans()):
        radius = float(random.choice(known))
    least = draw(st.sampled_from([0.0, 0.0, 0.5])) * radius
    return left, right, radius, least


def brute(left, right, radius, least=0.0):
    """Every pair, by looking at every pair."""
    with np.errstate(invalid="ignore"):
        separation = separation_arcsec(left[0][:, None], left[1][:, None], right[0][None], right[1][None])
        inside = (separation <= radius) & (separation >= least) & (np.abs(left[1]) <= 90)[:, None]
        inside &= (np.abs(right[1]) <= 90)[None] & (np.abs(left[0]) <= 1e6)[:, None] & (np.abs(right[0]) <= 1e6)
    i, j = np.nonzero(inside)
    s = separation[i, j]
    order = np.lexsort((j, s, i))
    i, j, s = i[order], j[order], s[order]
    counts = np.bincount(i, minlength=len(left[0]))
    second = np.full(len(left[0]), np.nan)
    rank = np.arange(len(i)) - np.searchsorted(i, i)
    second[i[rank == 1]] = s[rank == 1]
    return Match(i, j, s, counts[i].astype(np.int32), second[i]), rank


def assert_same(found, expected):
    for name, got, want in zip(Match._fields, found, expected, strict=True):
        assert np.array_equal(got, want, equal_nan=name == "runner_up_arcsec"), name


@settings(max_examples=250, deadline=None)
@given(skies())
def test_all_pairs_are_those_of_brute_force(case):
    left, right, radius, least = case
    assert_same(match_all(*left, *right, radius, min_arcsec=least), brute(left, right, radius, least)[0])


@settings(max_examples=250, deadline=None)
@given(skies(), st.sampled_from([1, 1, 2, 7, 1000]), st.booleans())
def test_nearest_and_mutual_are_those_of_brute_force(case, k, mutual):
    left, right, radius, least = case
    pairs, rank = brute(left, right, radius, least)
    keep = rank < k
    if mutual:
        by_right = np.lexsort((pairs.left_index, pairs.separation_arcsec, pairs.right_index))
        _, first = np.unique(pairs.right_index[by_right], return_index=True)
        keep &= np.isin(np.arange(len(rank)), by_right[first])
    found = match(*left, *right, radius, k=k, mutual=mutual, min_arcsec=least)
    assert_same(found, pairs.take(keep))
    assert np.array_equal(nearest(pairs, k=k, mutual=mutual), np.flatnonzero(keep))
    if mutual:
        assert len(set(found.right_index)) == len(found.right_index)


@settings(max_examples=100, deadline=None)
@given(skies(), st.data())
def test_rows_found_do_not_depend_on_the_other_rows_or_their_order(case, data):
    """What is found for some left rows among right rows in another order is what was found for them among all."""
    left, right, radius, least = case
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    some = np.flatnonzero(random.random(len(left[0])) < 0.5)
    order = random.permutation(len(right[0]))
    everything = match_all(*left, *right, radius, min_arcsec=least)
    part = match_all(*(x[some] for x in left), *(x[order] for x in right), radius, min_arcsec=least)
    expected = everything.take(np.isin(everything.left_index, some))
    assert np.array_equal(some[part.left_index], expected.left_index)
    assert np.array_equal(part.separation_arcsec, expected.separation_arcsec)
    assert np.array_equal(part.n_candidates, expected.n_candidates)
    assert np.array_equal(part.runner_up_arcsec, expected.runner_up_arcsec, equal_nan=True)
    rows = np.lexsort((order[part.right_index], part.separation_arcsec, part.left_index))
    assert np.array_equal(order[part.right_index][rows], expected.right_index)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-1, 1.2), st.floats(-0.5, 1.5), st.sampled_from([30, 60, 120, 240]))
def test_around_ra_0_near_a_pole(seed, log_radius, log_distance, n):
    """A zone of one bin or two, in which both sides of RA 0 are the same bin, crowded or not."""
    random = np.random.default_rng(seed)

    def side():
        sky = cloud(random, "sky", n, 0, 0, 0)
        near = random.normal(0, 60, 150) % 360, 90 - np.minimum(random.exponential(10**log_distance, 150), 180)
        return tuple(np.concatenate(axis) for axis in zip(sky, near, strict=True))

    left, right = side(), side()
    assert_same(match_all(*left, *right, 3600 * 10**log_radius), brute(left, right, 3600 * 10**log_radius)[0])


def test_clumps_on_both_sides_of_where_ra_begins():
    """The grid's RA begins after the widest gap; without a gap, at a whole degree."""
    random = np.random.default_rng(3)
    ra = np.concatenate([np.arange(360) + 0.5, *(c + random.normal(0, 1e-6, 200) for c in (0, 1, 2, 359))])
    dec = np.concatenate([np.full(360, 10.0), 10 + random.normal(0, 1e-6, 800)])
    right, left = (ra % 360, dec), (ra[::3] % 360, dec[::3])
    assert_same(match_all(*left, *right, 1e-3), brute(left, right, 1e-3)[0])


@pytest.mark.parametrize("pole", [1, -1])
def test_a_crowded_zone_of_one_bin_at_a_pole(pole):
    """Its trees are searched on both sides of where RA begins; tried with the zone's edge anywhere near the pole."""
    random = np.random.default_rng(4)
    clump = 1 + random.normal(0, 5, 600), 89.05 + random.normal(0, 0.02, 600)
    left = 1 + random.normal(0, 5, 60), 88.95 + random.normal(0, 0.02, 60)
    for lowest in np.linspace(-80, -73, 36):
        right = np.append(np.arange(360) + 0.5, clump[0]) % 360, pole * np.append(np.full(360, lowest), clump[1])
        sides = (left[0], pole * left[1]), right
        assert_same(match_all(*sides[0], *right, 1080.0), brute(*sides, 1080.0)[0])


def crowded_sky(random):
    """A clump of 30,000 rows within 0.1 arcsec, 20,000 rows at one spot, and 50,000 all over the sky."""
    sparse = cloud(random, "sky", 50_000, 0, 0, 0)
    clump = (150 + random.normal(0, 1e-5, 30_000), -20 + random.normal(0, 1e-5, 30_000))
    heap = (np.zeros(20_000), np.zeros(20_000))
    order = random.permutation(100_000)
    return tuple(np.concatenate(axis)[order] for axis in zip(sparse, clump, heap, strict=True))


def test_a_clump_beside_a_sparse_sky():
    """Quadratic in the clump or in the heap this would take minutes."""
    random = np.random.default_rng(1)
    left, right = crowded_sky(random), crowded_sky(random)
    found = match(*left, *right, 1e-3)
    heap = found.take((left[0] == 0)[found.left_index])
    assert len(heap.left_index) == 20_000
    assert (heap.n_candidates == 20_000).all() and (heap.runner_up_arcsec == 0).all()
    assert (heap.right_index == np.flatnonzero(right[0] == 0)[0]).all()
    # some rows of the clump against all rows
    some = random.choice(np.flatnonzero(np.abs(left[0] - 150) < 1e-3), 100)
    rows = tuple(x[some] for x in left)
    expected, rank = brute(rows, right, 1e-3)
    assert_same(match(*rows, *right, 1e-3), expected.take(rank == 0))
    assert expected.n_candidates.max() > 3


def test_many_pairs_of_few_rows_need_no_room_in_advance():
    random = np.random.default_rng(2)
    left, right = cloud(random, "even", 40, 10, 20, 1e-3), cloud(random, "even", 20_000, 10, 20, 1e-3)
    assert_same(match_all(*left, *right, 3600.0), brute(left, right, 3600.0)[0])


def test_a_catalogue_with_itself():
    """With a least separation a row does not find itself, nor its duplicates."""
    ra, dec = np.array([10.0, 10.0, 10.001, 50.0]), np.zeros(4)
    found = match(ra, dec, ra, dec, 10.0, min_arcsec=1e-9)
    assert found.left_index.tolist() == [0, 1, 2] and found.right_index.tolist() == [2, 2, 0]
    assert found.n_candidates.tolist() == [1, 1, 2]


def test_radius_is_inclusive_at_any_scale():
    for step in (1e-9, 1e-6, 1e-3, 1.0, 60.0, 179.0):
        radius = float(separation_arcsec(0.0, 0.0, 0.0, step / 2))
        assert len(match([0.0], [0.0], [0.0], [step / 2], radius).left_index) == 1
        assert len(match([0.0], [0.0], [0.0], [step / 2], radius * (1 - 1e-9)).left_index) == 0
        assert len(match([0.0], [0.0], [0.0], [step / 2], 2 * radius, min_arcsec=radius).left_index) == 1


def test_positions_that_are_not_known_match_nothing():
    found = match([np.nan, 5.0], [0.0, 0.0], [np.nan, 5.0], [0.0, np.nan], 1.0)
    assert len(found.left_index) == 0
    assert match([np.nan, 5.0], [0.0, 0.0], [9.0, 5.0], [0.0, 0.0], 1.0).left_index.tolist() == [1]


def test_types_and_empty_sides():
    for found in (match([], [], [1.0], [1.0], 1.0), match([1.0], [1.0], [], [], 1.0), match([1], [1], [1], [1], 1)):
        assert [column.dtype for column in found] == [np.int64, np.int64, np.float64, np.int32, np.float64]
    assert len(found.left_index) == 1 and np.isnan(found.runner_up_arcsec).all()


def test_columns_of_any_kind():
    """Read-only, strided, big-endian and single precision columns; the numbers in them are what counts."""
    ra, dec = np.linspace(10, 20, 50), np.linspace(-5, 5, 50)
    expected = match(ra, dec, ra, dec, 1.0)
    frozen = ra.copy()
    frozen.flags.writeable = False
    wide = np.zeros((50, 2))
    wide[:, 1] = dec
    assert_same(match(frozen, wide[:, 1], ra.astype(">f8"), list(dec), 1.0), expected)
    assert len(match(ra.astype(np.float32), dec, ra, dec, 1.0).left_index) == 50


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"radius_arcsec": -1.0}, "radius_arcsec"),
        ({"radius_arcsec": np.nan}, "radius_arcsec"),
        ({"radius_arcsec": 700_000.0}, "radius_arcsec"),
        ({"radius_arcsec": 1.0, "min_arcsec": 1.1}, "min_arcsec"),
        ({"radius_arcsec": 1.0, "min_arcsec": np.nan}, "min_arcsec"),
        ({"radius_arcsec": 1.0, "k": 0}, "k must"),
        ({"radius_arcsec": 1.0, "n_threads": 0}, "n_threads"),
    ],
)
def test_what_cannot_be_is_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        match([0.0], [0.0], [0.0], [0.0], **arguments)


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
