"""The cross-match against brute force: epochs, RA 0, poles, ties, and independence of how the sky is cut."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cut_sky import partitions, whole
from stellar.catalog import crossmatch as cm
from stellar.catalog.crossmatch import Sources, match_epochs
from stellar.engine.step import Input
from stellar.profile import Column, Curated, Matches, Motion
from stellar.sky.motion import propagate
from stellar.sky.separation import separation_arcsec

ARCSEC = 1 / 3600


def sources(name: str, ra, dec, epoch=2000.0, pmra=np.nan, pmdec=np.nan) -> Sources:
    ra, dec, epoch, pmra, pmdec = np.broadcast_arrays(*(np.asarray(x, float) for x in (ra, dec, epoch, pmra, pmdec)))
    ids = np.array([f"{name}{i}" for i in range(len(ra))], dtype=str)
    return Sources(name, ids, ra, dec, epoch, pmra, pmdec, np.ones(len(ra), bool))


def brute_force(left: Sources, right: Sources, radius: float, cap: float) -> set[tuple[int, int]]:
    """Mutual nearest pairs by the definition: every pair, each at its own epoch."""
    best_right: dict[int, tuple] = {}
    best_left: dict[int, tuple] = {}
    for i in range(len(left.id)):
        if np.isfinite(left.pmra[i] + left.pmdec[i]):
            m, k, s, q = left, i, right, slice(None)
        else:
            m, k, s, q = right, slice(None), left, i
        ra, dec = propagate(m.ra[k], m.dec[k], m.pmra[k], m.pmdec[k], m.epoch_yr[k], s.epoch_yr[q])
        distances = separation_arcsec(ra, dec, s.ra[q], s.dec[q])
        years = np.nan_to_num(s.epoch_yr[q] - m.epoch_yr[k])
        travelled = np.abs(years * np.nan_to_num(np.hypot(m.pmra[k], m.pmdec[k]))) / 1000
        for j in np.flatnonzero((distances <= radius) & (travelled <= cap)):
            distance = float(distances[j])
            best_right[i] = min(best_right.get(i, (9e9, "")), (distance, right.id[j], int(j)))
            best_left[int(j)] = min(best_left.get(int(j), (9e9, "")), (distance, left.id[i], i))
    return {(i, b[2]) for i, b in best_right.items() if best_left[b[2]][2] == i}


def found(left: Sources, right: Sources, radius: float, cap: float = 180.0) -> set[tuple[int, int]]:
    pairs = match_epochs(left, right, radius, cap)
    return set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def field(rng: np.random.Generator, n: int, ra0: float, dec0: float, size_arcsec: float) -> tuple[np.ndarray, ...]:
    """Positions around a point, over RA 0 or a pole if it lies there."""
    east, north = rng.normal(0, size_arcsec, (2, n)) * 1000
    return propagate(np.full(n, ra0), np.full(n, dec0), east, north, 0, 1)


@pytest.mark.parametrize(("ra0", "dec0"), [(0.0, 0.0), (359.9999, 45.0), (123.0, 90.0), (10.0, -90.0), (200.0, -30.0)])
@pytest.mark.parametrize("which_moves", ["left", "right", "both", "some", "none"])
def test_as_brute_force_everywhere(ra0: float, dec0: float, which_moves: str) -> None:
    rng = np.random.default_rng(abs(hash((ra0, dec0))) % 1000)
    n = 60
    ra, dec = field(rng, n, ra0, dec0, 40.0)
    pm = rng.normal(0, 1500, (2, n)) * (rng.random(n) < 0.4)
    at = rng.uniform(1999, 2009, n)
    seen_ra, seen_dec = propagate(ra, dec, *pm, 2016.0, at)
    jitter = rng.normal(0, 0.2, (2, n)) * ARCSEC
    seen_dec = np.clip(seen_dec + jitter[0], -90, 90)
    moving = {"left": (1, 0), "right": (0, 1), "both": (1, 1), "some": (rng.random(n) < 0.5, 0), "none": (0, 0)}
    left_pm, right_pm = (np.where(m, pm, np.nan) for m in moving[which_moves])
    left = sources("l", ra, dec, 2016.0, *left_pm)
    right = sources("r", seen_ra, seen_dec, at, *right_pm)
    expected = brute_force(left, right, 1.0, 180.0)
    assert found(left, right, 1.0) == expected
    if which_moves in ("left", "both"):  # near a pole the right side's own motion has another direction
        assert sum(i == j for i, j in expected) > 40, "most stars find themselves again"


def test_a_star_of_ten_arcsec_a_year_is_found_at_each_rows_own_epoch() -> None:
    left = sources("l", [269.45], [4.69], 2016.0, [-801.6], [10362.4])
    epochs = np.array([1999.0, 2004.5, 2016.0])
    ra, dec = propagate(269.45, 4.69, -801.6, 10362.4, 2016.0, epochs)
    for k in range(3):
        assert found(left, sources("r", ra[k : k + 1], dec[k : k + 1], epochs[k]), 0.1, 200.0) == {(0, 0)}
    assert found(left, sources("r", ra[:1], dec[:1], epochs[0]), 0.1, 100.0) == set(), "beyond the motion followed"


def test_unknown_epochs_move_nothing() -> None:
    left = sources("l", [10.0], [0.0], 2016.0, [5000.0], [0.0])
    assert found(left, sources("r", [10.0], [0.0], np.nan), 0.5) == {(0, 0)}


def test_ties_go_to_the_lower_id_on_both_sides() -> None:
    left = sources("l", [10.0, 10.0], [0.0, 0.0])
    right = sources("r", [10.0, 10.0], [0.0, 0.0])
    assert found(left, right, 1.0) == {(0, 0)}


def test_candidates_are_counted_and_separations_kept() -> None:
    left = sources("l", [10.0], [0.0])
    right = sources("r", [10.0 + 0.5 * ARCSEC, 10.0 - 0.8 * ARCSEC, 10.1], [0.0, 0.0, 0.0])
    pairs = match_epochs(left, right, 1.0, 180.0)
    assert pairs.n_candidates.tolist() == [2]
    assert pairs.separation_arcsec == pytest.approx([0.5], abs=1e-6)


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), max_size=8),
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), max_size=8),
    st.sampled_from([0.0, 180.0, 359.99995]),
)
@settings(max_examples=60, deadline=None)
def test_on_a_lattice_full_of_ties_it_is_still_brute_force(left: list, right: list, ra0: float) -> None:
    def lattice(name: str, cells: list) -> Sources:
        return sources(name, [(ra0 + x * ARCSEC) % 360 for x, _ in cells], [y * ARCSEC for _, y in cells])

    a, b = lattice("l", left), lattice("r", right)
    # equal in the drawing, not in the last bit: ties are those of the computed separations
    assert found(a, b, 1.5) == brute_force(a, b, 1.5, 180.0)


def catalogue(name: str, moves: bool) -> Curated:
    columns = ["ra", "dec", "epoch_yr", *(["pmra", "pmdec"] if moves else [])]
    return Curated(
        dataset=name,
        source=name,
        id="n",
        object_key=f"'{name}-' || n",
        motion=Motion() if moves else None,
        columns=[Column(name="n", type="int64"), *(Column(name=c, type="float64") for c in columns)],
    )


@pytest.mark.parametrize(("ra0", "dec0"), [(0.0, 0.0), (45.0, 90.0), (45.0, 0.0)])
def test_cut_into_cells_it_finds_the_same_pairs(ra0: float, dec0: float) -> None:
    rng = np.random.default_rng(8)
    n = 500
    ra, dec = field(rng, n, ra0, dec0, 300.0)
    pm = rng.normal(0, 300, (2, n))
    at = rng.uniform(1999, 2009, n)
    ra2, dec2 = propagate(ra, dec, *pm, 2016.0, at)
    star = pa.array(range(n), pa.int64())
    tables = {
        "a": pa.table({"n": star, "ra": ra, "dec": dec, "epoch_yr": np.full(n, 2016.0), "pmra": pm[0], "pmdec": pm[1]}),
        "b": pa.table({"n": star, "ra": ra2, "dec": dec2, "epoch_yr": at}),
        "c": pa.table({"n": star, "ra": ra, "dec": dec, "epoch_yr": np.full(n, 2016.0)}).slice(0, 300),
    }
    configs, matches = (
        [catalogue("a", True), catalogue("b", False), catalogue("c", False)],
        Matches(max_motion_arcsec=30),
    )
    margin = 2 * matches.reach_arcsec + 1
    wanted = {name: Input(f"curated.{name}", margin) for name in tables}

    def pairs(given: dict) -> pa.Table:
        return cm.crossmatch([cm.sources(c, given[c.dataset].rows, given[c.dataset].margin) for c in configs], matches)

    table, accounting = pairs(whole(wanted, tables))
    parts = [pairs(given) for _, given in partitions(12, wanted, tables)]
    assert len(parts) > 10
    together = pa.concat_tables([t for t, _ in parts]).sort_by("pair_id")
    assert together.equals(table.sort_by("pair_id"))
    assert sum((a for _, a in parts[1:]), parts[0][1]) == accounting
    assert accounting.gap == 0 and accounting.rows_in == 500 + 500 + 500
    own = [a == b for a, b in zip(table["id_left"].to_pylist(), table["id_right"].to_pylist(), strict=True)]
    assert np.mean(own) > 0.9
