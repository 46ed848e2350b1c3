import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.evaluation.splits import grouped_split, hashed_folds, star_groups

FRACTIONS = {"train": 0.6, "validation": 0.1, "calibration": 0.15, "test": 0.15}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12 * 4**29 - 1)), min_size=1, max_size=200),
    st.integers(0, 12),
)
def test_star_has_one_group_and_it_is_the_cell_of_one_of_its_rows(rows, order):
    star, index = np.array([f"gaia-{s}" for s, _ in rows]), np.array([i for _, i in rows], dtype=np.int64)
    groups = star_groups(star, index, order)
    for name in set(star.tolist()):
        mine = star == name
        assert len(set(groups[mine].tolist())) == 1
        assert groups[mine][0] == index[mine].min() >> 2 * (29 - order)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=250, max_size=600), st.integers(0, 2**31), st.booleans())
def test_no_group_straddles(groups, seed, stratified):
    strata = [str(g % 3) for g in groups] if stratified else None
    try:
        parts = grouped_split(groups, {"train": 0.7, "test": 0.3}, seed, strata=strata)
    except InputError:
        return  # so few distinct groups that a part stayed empty
    assert all(len({p for g, p in zip(groups, parts, strict=True) if g == one}) == 1 for one in set(groups))


def test_fractions_come_out_and_seed_decides():
    groups = np.repeat(np.arange(4000), 3)
    parts = grouped_split(groups, FRACTIONS, 7)
    for name, share in FRACTIONS.items():
        assert (parts == name).mean() == pytest.approx(share, abs=0.025)
    assert (grouped_split(groups, FRACTIONS, 7) == parts).all()
    assert (grouped_split(groups, FRACTIONS, 8) != parts).mean() > 0.3


def test_more_rows_leave_the_former_ones_in_place():
    groups = np.arange(1000)
    before = grouped_split(groups[:700], FRACTIONS, 3)
    assert (grouped_split(groups, FRACTIONS, 3)[:700] == before).all()


def test_stratified_split_balances_rare_classes():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 300, 3000)
    strata = np.where(rng.random(3000) < 0.03, "rare", "common")
    parts = grouped_split(groups, FRACTIONS, 1, strata=strata)
    for name, share in FRACTIONS.items():
        for stratum in ("rare", "common"):
            assert (parts[strata == stratum] == name).mean() == pytest.approx(share, abs=0.03)


def test_refusals():
    with pytest.raises(InputError, match="add up to 1"):
        grouped_split([1, 2], {"train": 0.5, "test": 0.4}, 0)
    with pytest.raises(InputError, match="higher HEALPix order"):
        grouped_split([1, 1, 1], FRACTIONS, 0)
    with pytest.raises(InputError, match="order 30"):
        star_groups(["a"], np.array([1]), 30)


@given(st.integers(0, 2**31), st.lists(st.integers(0, 10**9), min_size=150, max_size=250, unique=True))
@settings(max_examples=20, deadline=None)
def test_a_stars_part_and_fold_by_hash_do_not_depend_on_other_stars(seed, stars):
    stars = np.array(stars).astype(str)
    parts, folds = grouped_split(stars, {"train": 0.5, "test": 0.5}, seed), hashed_folds(stars, 3, seed)
    some = np.random.default_rng(seed).permutation(len(stars))[:100]
    try:
        assert (grouped_split(stars[some], {"train": 0.5, "test": 0.5}, seed) == parts[some]).all()
        assert (hashed_folds(stars[some], 3, seed) == folds[some]).all()
    except InputError as fault:
        assert "got no" in str(fault) or "got none" in str(fault)


def test_single_stars_are_dealt_evenly_by_stratum():
    rng = np.random.default_rng(1)
    stars = np.arange(5000).astype(str)
    strata = np.where(rng.random(5000) < 0.01, "hot", "cool")
    parts = grouped_split(stars, FRACTIONS, 4, strata=strata)
    for name, share in FRACTIONS.items():
        for stratum in ("hot", "cool"):
            members = strata == stratum
            assert abs((parts[members] == name).sum() - share * members.sum()) <= 1.01
    again = rng.permutation(5000)
    assert (grouped_split(stars[again], FRACTIONS, 4, strata=strata[again]) == parts[again]).all()


def test_folds_by_hash_need_enough_stars():
    with pytest.raises(InputError, match="fewer folds"):
        hashed_folds(np.array(["a", "a"]), 3, 0)
