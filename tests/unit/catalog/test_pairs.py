"""Matches of two catalogues against brute force, however the sky is cut: poles, RA 0, clumps, duplicates, epochs."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cut_sky import mixed_cells
from stellar.catalog import nearest
from stellar.catalog.nearest import in_sky_order
from stellar.catalog.pairing import Pairing, Side
from stellar.catalog.pairs import match_tables, pair_rows, pairs_step, run
from stellar.engine.step import Accounting, Input, Partition, PartitionInput
from stellar.errors import InputError
from stellar.sky.healpix import INDEX_COLUMN, in_margin, spatial_index
from stellar.sky.motion import propagate
from stellar.sky.separation import separation_arcsec

ARCSEC = 1 / 3600
CENTRES = [(0.0, 0.0), (359.99999, 41.8), (123.0, 90.0), (10.0, -90.0), (45.0, 41.8103), (200.0, -30.0)]


def catalogue(ra, dec, text_ids=False, **columns) -> pa.Table:
    """Rows with ids that do not follow positions, in the order in which the lake stores them."""
    ra, dec = np.asarray(ra, float) % 360, np.asarray(dec, float)
    ids = np.random.default_rng(len(ra)).permutation(len(ra)) + 100
    table = pa.table(
        {
            "id": pa.array([f"s{i}" for i in ids], pa.string()) if text_ids else pa.array(ids, pa.int64()),
            "ra": ra,
            "dec": dec,
            "mag": pa.array(ids % 7 + 0.5),
            **{name: pa.array(values, from_pandas=True) for name, values in columns.items()},
            INDEX_COLUMN: spatial_index(ra, dec) if len(ra) else np.empty(0, np.int64),
        }
    )
    return table.sort_by([(INDEX_COLUMN, "ascending"), ("id", "ascending")])


def scattered(seed: int, n: int, ra0: float, dec0: float, size_arcsec: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions around a point, over RA 0 or a pole if it lies there; some of them doubled, some in a clump."""
    random = np.random.default_rng(seed)
    east, north = random.normal(0, size_arcsec, (2, n)) * 1000
    east[: n // 3], north[: n // 3] = random.normal(0, 700, (2, n // 3))
    ra, dec = propagate(np.full(n, ra0), np.full(n, dec0), east, north, 0, 1)
    same = random.integers(0, max(n, 1), n // 5)
    ra[: n // 5], dec[: n // 5] = ra[same], dec[same]
    return ra, dec


def brute_force(left: pa.Table, right: pa.Table, pairing: Pairing, separation=None) -> set[tuple]:
    """(left id, right id, separation, candidates, runner-up) by the definition: every pair is looked at."""
    a, b = (table.to_pydict() for table in (left, right))
    if separation is None:
        separation = separation_arcsec(
            np.array(a["ra"])[:, None], np.array(a["dec"])[:, None], np.array(b["ra"]), np.array(b["dec"])
        ).reshape(len(left), len(right))
    near = (separation <= pairing.radius_arcsec) & (separation >= pairing.min_arcsec)
    of_left = [sorted((separation[i, j], j) for j in np.flatnonzero(near[i])) for i in range(len(left))]
    of_right = [sorted((separation[i, j], i) for i in np.flatnonzero(near[:, j])) for j in range(len(right))]
    found, taken = set(), set()
    for i, candidates in enumerate(of_left):
        partners = [(s, j) for s, j in candidates[: pairing.k] if not pairing.mutual or of_right[j][0][1] == i]
        second = candidates[1][0] if len(candidates) > 1 else None
        found |= {(a["id"][i], b["id"][j], s, len(candidates), second) for s, j in partners}
        taken |= {j for _, j in partners}
        if not partners and pairing.how != "inner":
            found.add((a["id"][i], None, None, len(candidates), None))
    if pairing.how == "outer":
        found |= {(None, b["id"][j], None, None, None) for j in range(len(right)) if j not in taken}
    return found


def lines(table: pa.Table) -> list[tuple]:
    names = ["id_left", "id_right", "separation_arcsec", "n_candidates", "runner_up_arcsec"]
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def cut(left: pa.Table, right: pa.Table, pairing: Pairing, seed: int, motion: float = 0.0):
    """The result of each cell of the step, the sky being cut into cells of mixed orders."""
    reaches = pairing.reaches(motion)
    index = [table[INDEX_COLUMN].to_numpy() for table in (left, right)]
    where = np.concatenate(index) if pairing.how == "outer" else index[0]
    step = pairs_step("own.pairs", Input("own.a", reaches[0]), Input("own.b", reaches[1]), pairing)
    for cell in mixed_cells(where, seed):
        inputs = {
            role: PartitionInput(
                table.filter(pa.array(cell.contains(at))).select(step.inputs[role].columns),
                table.filter(pa.array(in_margin(at, cell, step.inputs[role].margin_arcsec))).select(
                    step.inputs[role].columns
                ),
            )
            for role, table, at in zip(("left", "right"), (left, right), index, strict=True)
        }
        result = run(Partition.of_cell(cell), inputs, step.params)
        assert result.accounting.gap == 0 and result.accounting.rows_out == len(result.table)
        assert cell.contains(result.table[INDEX_COLUMN].to_numpy()).all()
        yield result


def pairing_of(left: pa.Table, right: pa.Table, radius: float, **options) -> Pairing:
    sides = options.pop("sides", {})
    both = [
        Side(id="id", columns=tuple(n for n in t.column_names if n != INDEX_COLUMN), **sides.get(who, {}))
        for who, t in (("left", left), ("right", right))
    ]
    return Pairing(*both, radius, **options)


def check(left: pa.Table, right: pa.Table, pairing: Pairing, seed: int, motion: float = 0.0, separation=None) -> set:
    """Cut in any way the rows are the same, and they are those of brute force."""
    expected = brute_force(left, right, pairing, separation)
    whole, accounting = pair_rows(in_sky_order(pairing.left, left), in_sky_order(pairing.right, right), pairing)
    assert sorted(lines(whole), key=repr) == sorted(expected, key=repr)
    parts = list(cut(left, right, pairing, seed, motion))
    together = pa.concat_tables([whole.slice(0, 0), *(part.table for part in parts)])
    order = [("_healpix_29", "ascending"), ("id_left", "ascending"), ("id_right", "ascending")]
    assert together.sort_by(order).equals(whole.sort_by(order)), "to the last bit"
    assert sum((part.accounting for part in parts), Accounting(0, 0)) == accounting
    return expected


options = st.fixed_dictionaries(
    {
        "k": st.sampled_from([1, 1, 2, 5]),
        "how": st.sampled_from(["inner", "left", "outer"]),
        "mutual": st.booleans(),
        "min_arcsec": st.sampled_from([0.0, 0.0, 0.3]),
    }
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(CENTRES),
    st.sampled_from([1.0, 30.0, 3000.0]),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 10_000),
    options,
)
def test_as_brute_force_however_the_sky_is_cut(centre, size, n, m, seed, asked) -> None:
    left = catalogue(*scattered(seed, n, *centre, size))
    right = catalogue(*scattered(seed + 1, m, *centre, size), text_ids=True)
    check(
        left, right, pairing_of(left, right, size / 3, **(asked | {"min_arcsec": asked["min_arcsec"] * size / 3})), seed
    )


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=12),
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=12),
    st.sampled_from([0.0, 45.0, 359.99995]),
    st.integers(0, 10_000),
    options,
)
def test_on_a_lattice_full_of_ties(left, right, ra0, seed, asked) -> None:
    def lattice(places: list) -> pa.Table:
        return catalogue([ra0 + x * ARCSEC for x, _ in places], [y * ARCSEC for _, y in places])

    a, b = lattice(left), lattice(right)
    check(a, b, pairing_of(a, b, 1.5, **asked), seed)


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("asked", [{}, {"how": "outer"}, {"mutual": True, "how": "left"}, {"k": 3}])
def test_a_radius_of_degrees(centre, asked) -> None:
    left, right = (catalogue(*scattered(seed, 80, *centre, 20_000.0)) for seed in (1, 2))
    expected = check(left, right, pairing_of(left, right, 7200.0, **asked), 3)
    assert len(expected) > 20


def seen(seed: int, n: int, centre, epochs, known: float = 0.7) -> tuple[dict, dict]:
    """Fast stars, where they are at 2016 with their motions (some unknown), and where they were at other epochs."""
    random = np.random.default_rng(seed)
    ra, dec = scattered(seed, n, *centre, 60.0)
    pm = random.normal(0, 800, (2, n))
    then = propagate(ra, dec, *pm, 2016.0, epochs)
    pm[:, random.random(n) > known] = np.nan
    return {"ra": ra, "dec": dec, "pmra": pm[0], "pmdec": pm[1]}, {"ra": then[0], "dec": then[1]}


def by_definition(left: pa.Table, right: pa.Table, epochs: tuple) -> np.ndarray:
    """Separation of every pair, with the row that moves at the epoch of the other."""
    a, b = (
        {name: table[name].to_numpy() for name in ("ra", "dec", "pmra", "pmdec")}
        | {"epoch": table[epoch].to_numpy() if isinstance(epoch, str) else np.full(len(table), epoch)}
        for table, epoch in zip((left, right), epochs, strict=True)
    )
    moves = [np.isfinite(side["pmra"] + side["pmdec"]) for side in (a, b)]
    found = np.empty((len(left), len(right)))
    for i in range(len(left)):
        first, second = (a["ra"][i], a["dec"][i]), (b["ra"], b["dec"])
        if moves[0][i]:
            first = propagate(*first, a["pmra"][i], a["pmdec"][i], a["epoch"][i], b["epoch"])
        else:
            moved = propagate(*second, b["pmra"], b["pmdec"], b["epoch"], a["epoch"][i])
            second = tuple(np.where(moves[1], new, old) for new, old in zip(moved, second, strict=True))
        found[i] = separation_arcsec(*first, *second)
    return found


EPOCHS = {
    "both constant, all known": ({"epoch_yr": 2016.0}, {"epoch_yr": 1999.5}, 1.1, 0.0),
    "both constant, some known": ({"epoch_yr": 2016.0}, {"epoch_yr": 1999.5}, 0.6, 0.0),
    "both know motions": ({"epoch_yr": 2016.0}, {"epoch_yr": 1999.5}, 0.5, 0.5),
    "right alone": ({"epoch_yr": 2016.0}, {"epoch_yr": 1999.5}, -1.0, 0.8),
    "a column on the right": ({"epoch_yr": 2016.0}, {"epoch_column": "at"}, 0.7, 0.0),
    "columns on both sides": ({"epoch_column": "at"}, {"epoch_column": "at"}, 0.7, 0.7),
}


@pytest.mark.parametrize("case", EPOCHS)
@pytest.mark.parametrize("centre", CENTRES[:4])
@pytest.mark.parametrize("asked", [{}, {"how": "outer", "k": 2}, {"mutual": True, "how": "left"}])
def test_each_pair_is_met_at_its_own_epoch(case, centre, asked) -> None:
    first, second, known_left, known_right = EPOCHS[case]
    random = np.random.default_rng(7)
    n = 60
    at = random.uniform(1999, 2009, n)
    ra, dec = scattered(4, n, *centre, 60.0)
    pm = random.normal(0, 800, (2, n))
    tables = []
    for side, known in ((first, known_left), (second, known_right)):
        epoch = at if "epoch_column" in side else side["epoch_yr"]
        unknown = random.random(n) > known
        columns = {"pmra": np.where(unknown, np.nan, pm[0]), "pmdec": np.where(unknown & (at > 2001), np.nan, pm[1])}
        if "epoch_column" in side:
            columns["at"] = np.where(np.arange(n) % 9 == 0, np.nan, at)
        tables.append(catalogue(*propagate(ra, dec, *pm, 2016.0, epoch), **columns))
    sides = {who: side | {"motion": ("pmra", "pmdec")} for who, side in (("left", first), ("right", second))}
    pairing = pairing_of(*tables, 1.0, sides=sides, **asked)
    epochs = tuple(side.get("epoch_column", side.get("epoch_yr")) for side in (first, second))
    motion = 17 * np.hypot(*pm).max() / 1000 * 1.01
    expected = check(*tables, pairing, 5, motion, by_definition(*tables, epochs))
    if known_left > 1:
        assert sum(one[2] is not None for one in expected) > 40, "most stars find themselves again"


def test_mjd_is_converted() -> None:
    left = catalogue([10.0], [0.0], pmra=[3.6e6], pmdec=[0.0])
    right = catalogue([10.5], [0.0], mjd=[51544.5 + 365.25 / 2])
    sides = {
        "left": {"epoch_yr": 2000.0, "motion": ("pmra", "pmdec")},
        "right": {"epoch_column": "mjd", "epoch_is_mjd": True},
    }
    pairing = pairing_of(left, right, 1.0, sides=sides)
    table, _ = pair_rows(in_sky_order(pairing.left, left), in_sky_order(pairing.right, right), pairing)
    assert table["separation_arcsec"].to_pylist() == pytest.approx([0.13], abs=0.2)


def probabilities(left: pa.Table, right: pa.Table, radius: float, sigma) -> dict[tuple, float]:
    """Of every pair within the radius, by the definition (even odds that a left row has a counterpart)."""
    found = {}
    pixels = right[INDEX_COLUMN].to_numpy() >> 36
    area = 4 * np.pi * (180 / np.pi * 3600) ** 2 / (12 * 4**11)
    for one in left.to_pylist():
        density = max(1, int((pixels == one[INDEX_COLUMN] >> 36).sum())) / area
        ratios = {}
        for other in right.to_pylist():
            s = separation_arcsec(one["ra"], one["dec"], other["ra"], other["dec"]).item()
            if s <= radius:
                e = sigma(one, other)
                ratios[other["id"]] = 0.5 * np.exp(-(s**2) / (2 * e**2)) / (2 * np.pi * e**2) / density
        found |= {(one["id"], key): ratio / (sum(ratios.values()) + 0.5) for key, ratio in ratios.items()}
    return found


@pytest.mark.parametrize("asked", [{}, {"k": 50}, {"mutual": True}, {"k": 3, "mutual": True, "how": "outer"}])
@pytest.mark.parametrize("errors", ["none", "left", "both"])
@pytest.mark.parametrize("most", [1, 1 << 20])
def test_probabilities_are_those_of_all_candidates(asked, errors, most, monkeypatch) -> None:
    monkeypatch.setattr(nearest, "_MOST_CANDIDATES", most)
    random = np.random.default_rng(2)
    error = random.uniform(5, 60, 50)
    error[::6] = np.nan
    left = catalogue(*scattered(1, 50, 45.0, 41.81, 60.0), err=error)
    right = catalogue(*scattered(2, 50, 45.0, 41.81, 60.0), text_ids=True)
    sides = {
        "left": {"sigma_column": "err", "sigma_unit": 0.05} if errors != "none" else {},
        "right": {"sigma_arcsec": 0.7} if errors == "both" else {},
    }

    def sigma(one: dict, other: dict) -> float:
        if errors == "none":
            return 10.0
        return np.hypot(10.0 if one["err"] is None else one["err"] * 0.05, 0.7 if errors == "both" else 0.0)

    pairing = pairing_of(left, right, 30.0, sides=sides, **asked)
    check(left, right, pairing, 9)
    table, _ = pair_rows(in_sky_order(pairing.left, left), in_sky_order(pairing.right, right), pairing)
    expected = probabilities(left, right, 30.0, sigma)
    rows = zip(*(table[name].to_pylist() for name in ("id_left", "id_right", "match_probability")), strict=True)
    found = {(a, b): p for a, b, p in rows if a is not None and b is not None}
    assert len(found) > 10 and found == pytest.approx({key: expected[key] for key in found}, rel=1e-9, abs=1e-300)
    if asked == {"k": 50}:
        assert set(found) == set(expected)


def test_the_function_of_two_tables() -> None:
    """Any order of rows, names of one's own; its rows are those of the step."""
    ra, dec = scattered(3, 80, 0.0, 0.0, 30.0)
    left = pa.table({"n": np.arange(80), "lon": ra, "lat": dec, "id": ["x"] * 80})
    right = pa.table({"id": [f"r{i}" for i in range(80)], "ra": ra[::-1], "dec": dec[::-1], "mag": np.arange(80.0)})
    asked = {"id_left": "n", "ra_left": "lon", "dec_left": "lat", "id_right": "id"}
    with pytest.raises(InputError, match="column 'id' beside its id column 'n'"):
        match_tables(left, right, 5.0, **asked)
    found = match_tables(left, right, 5.0, columns_left=["lat"], columns_right=["mag"], **asked)
    assert found.column_names == [
        *("id_left", "id_right", "separation_arcsec", "match_probability", "n_candidates"),
        *("lat_left", "mag_right", "runner_up_arcsec", INDEX_COLUMN),
    ]
    assert len(found) == 80 and found["separation_arcsec"].to_numpy().max() == 0
    assert (np.diff(found[INDEX_COLUMN].to_numpy()) >= 0).all()
    mixed = np.random.default_rng(4).permutation(80)
    again = match_tables(left.take(pa.array(mixed)), right, 5.0, columns_left=["lat"], columns_right=["mag"], **asked)
    assert again.equals(found)
    nothing = match_tables(left.slice(0, 0), right, 5.0, columns_left=["lat"], columns_right=["mag"], **asked)
    assert nothing.schema == found.schema and len(nothing) == 0
    with pytest.raises(InputError, match="left has no column 'lot'"):
        match_tables(left, right, 5.0, **(asked | {"ra_left": "lot"}))
    with pytest.raises(InputError, match="positions are not on the sky"):
        match_tables(left, right.set_column(2, "dec", pa.array(dec + 100)), 5.0, columns_left=[], **asked)


@pytest.mark.parametrize("how", ["inner", "outer"])
@pytest.mark.parametrize(
    "epochs", [{}, {"motion_left": ("pm", "pm"), "epoch_yr_left": 2000.0, "epoch_yr_right": 2010.0}]
)
def test_more_partners_may_be_asked_for_than_there_are_rows(how, epochs) -> None:
    left, right = (catalogue(*scattered(seed, 30, 0.0, 41.8, 1.0)) for seed in (1, 2))
    left = left.append_column("pm", pa.array([None, 5.0, 50.0] * 10, pa.float64()))
    asked = {"id_left": "id", "id_right": "id", "how": how, **epochs}
    every = match_tables(left, right, 5.0, k=len(right), **asked)
    assert len(every) > len(left)
    for k in (len(right) + 1, 10**9, 10**30):
        assert match_tables(left, right, 5.0, k=k, **asked).equals(every)


def test_a_pairing_is_the_same_after_it_was_json() -> None:
    import json

    side = Side("id", ("a", "b"), epoch_column="at", epoch_is_mjd=True, motion=("pmra", "pmdec"), sigma_unit=0.001)
    pairing = Pairing(side, Side("n", ()), 2.5, 3, "left", True, 0.1)
    assert Pairing.from_params(json.loads(json.dumps(pairing.to_params()))) == pairing
