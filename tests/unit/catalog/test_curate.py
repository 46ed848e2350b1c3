"""Curation: types, sentinels, rules, duplicates; every row in exactly one place."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cut_sky import partitions
from stellar.catalog.curate import curate, curate_each, curate_step, run
from stellar.engine.step import Partition, PartitionInput
from stellar.errors import InputError
from stellar.profile import Column, Curated, Dedup, Rule

ARCSEC = 1 / 3600


def config(**changes: object) -> Curated:
    base = {
        "dataset": "things",
        "source": "things",
        "id": "number",
        "object_key": "'thing-' || number",
        "columns": [
            Column(name="number", type="int64", minimum=1),
            Column(name="ra", type="float64"),
            Column(name="dec", type="float64"),
            Column(name="epoch_yr", type="float64", expr="2016.0"),
            Column(name="mag", type="float64", source="mag_r", missing=[-9999, 99, 0], minimum=-5, maximum=35),
            Column(name="kind", type="string", missing=["", "none"]),
            Column(name="flags", type="int64", keep=False),
            Column(name="is_saturated", type="bool", expr="coalesce(flags & 4 != 0, false)"),
        ],
        "filters": [Rule(rule="sky_fibre", where="kind = 'sky'")],
        "reject": [Rule(rule="a ghost", where="kind = 'ghost'")],
        "dedup": Dedup(prefer=["mag asc nulls last"], within_arcsec=2.0, count="n_rows"),
    }
    return Curated(**(base | changes))


def rows(**columns: list) -> pa.Table:
    n = len(next(iter(columns.values())))
    base = {
        "number": list(range(1, n + 1)),
        "ra": [10.0 + i for i in range(n)],
        "dec": [0.0] * n,
        "mag_r": [15.0] * n,
        "kind": ["star"] * n,
        "flags": [0] * n,
        "batch_id": ["b1"] * n,
    } | columns
    types = {"number": pa.int64(), "ra": pa.float64(), "dec": pa.float64(), "flags": pa.int64()}
    return pa.table({name: pa.array(values, types.get(name)) for name, values in base.items()})


def curated(table: pa.Table, **changes: object):
    return curate(table, table.slice(0, 0), config(**changes))


def test_sentinels_and_nan_become_null_and_nothing_else() -> None:
    result = curated(rows(mag_r=[-9999.0, 99.0, 0.0, float("nan"), 15.0, -1.0], kind=["", "none", "a", "b", "c", "d"]))
    assert result.table["mag"].to_pylist() == [None, None, None, None, 15.0, -1.0]
    assert result.table["kind"].to_pylist() == [None, None, "a", "b", "c", "d"]


def test_flags_are_carried_and_helpers_are_not_written() -> None:
    table = curated(rows(flags=[4, 3, None])).table
    assert table["is_saturated"].to_pylist() == [True, False, False]
    assert "flags" not in table.column_names
    assert table["object_key"].to_pylist() == ["thing-1", "thing-2", "thing-3"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"number": [None]}, "number: is missing"),
        ({"number": [-3]}, "number: outside 1.."),
        ({"ra": [None]}, "ra, dec: position is missing"),
        ({"ra": [361.0]}, "ra, dec: position out of range"),
        ({"dec": [-90.5]}, "ra, dec: position out of range"),
        ({"dec": [float("nan")]}, "ra, dec: position is missing"),
        ({"mag_r": [40.0]}, "mag: outside -5..35 ('40.0')"),
        ({"kind": ["ghost"]}, "a ghost"),
        ({"mag_r": ["twelve"]}, "mag_r: cannot be read as float64 ('twelve')"),
        ({"fault": ["row 7: 3 fields instead of 5"]}, "row 7: 3 fields instead of 5"),
    ],
)
def test_impossible_rows_go_to_quarantine_with_the_reason_and_as_they_came(change: dict, reason: str) -> None:
    table = rows(**change)
    result = curated(table)
    assert result.accounting.quarantined == 1 and result.accounting.rows_out == 0
    assert result.quarantine is not None
    (refused,) = result.quarantine.to_pylist()
    assert refused["reason"].startswith(reason)
    assert refused["batch_id"] == "b1"
    (raw,) = table.to_pylist()
    for name, value in raw.items():
        assert refused[name] == value or (value != value and refused[name] != refused[name])


def test_ra_of_360_is_0() -> None:
    assert curated(rows(ra=[360.0])).table["ra"].to_pylist() == [0.0]


def test_a_sky_fibre_is_filtered_even_where_its_id_is_missing() -> None:
    accounting = curated(rows(number=[None, 2], kind=["sky", "star"])).accounting
    assert accounting.filtered == {"sky_fibre": 1}
    assert (accounting.rows_out, accounting.quarantined) == (1, 0)


def test_the_declared_rule_says_which_duplicate_stays() -> None:
    result = curated(rows(number=[7, 7, 7], ra=[10.0] * 3, mag_r=[16.0, 14.0, 99.0]))
    assert result.table["mag"].to_pylist() == [14.0]
    assert result.table["n_rows"].to_pylist() == [3]
    assert result.accounting.merged == 2


def test_one_id_in_two_places_is_a_contradiction() -> None:
    result = curated(rows(number=[7, 7], ra=[10.0, 11.0], mag_r=[16.0, 14.0]))
    assert result.table["mag"].to_pylist() == [14.0]
    assert result.quarantine is not None
    assert "another row of this id lies 3600.0 arcsec away" in result.quarantine["reason"][0].as_py()


def test_sources_marked_as_listed_twice_are_one() -> None:
    twice = Dedup(prefer=["mag"], doubles="kind = 'twice'", doubles_arcsec=0.4)
    table = rows(
        number=[1, 2, 3, 4],
        ra=[10.0, 10.0 + 0.1 * ARCSEC, 10.0 + 0.2 * ARCSEC, 10.0 + 5 * ARCSEC],
        mag_r=[16.0, 15.0, 14.0, 13.0],
        kind=["twice", "twice", "star", "twice"],
    )
    result = curated(table, dedup=twice)
    assert sorted(result.table["number"].to_pylist()) == [2, 3, 4]
    assert result.accounting.merged == 1


def test_ids_that_lost_their_digits_are_refused() -> None:
    table = rows(ra=[10.0]).set_column(0, "number", pa.array(["1.24E+18"]))
    assert curated(table).accounting.quarantined == 1
    table = table.set_column(0, "number", pa.array([1.24e18]))
    assert curated(table).accounting.quarantined == 1


def test_a_wrong_expression_names_its_file() -> None:
    with pytest.raises(InputError, match=r"config/catalog/things\.yaml: an expression is wrong"):
        curated(rows(ra=[1.0]), filters=[Rule(rule="x", where="nonsense > 3")])


def test_of_an_empty_table_comes_an_empty_table_of_the_schema() -> None:
    result = curated(rows(ra=[]))
    assert len(result.table) == 0 and "object_key" in result.table.column_names


def test_plain_datasets_are_dealt_out_by_id() -> None:
    plain = config(layout="plain", object_key=None, columns=[Column(name="number", type="int64")], id="number")
    plain = plain.model_copy(update={"filters": [], "reject": [], "dedup": Dedup()})
    table = pa.table({"number": pa.array(range(1, 50), pa.int64()), "batch_id": ["b"] * 49})
    step = curate_step(plain)
    given = {"raw": PartitionInput(table, table.slice(0, 0))}
    parts = [run(Partition.of_bucket(k, 4), given, step.params) for k in range(4)]
    assert sorted(n for p in parts for n in p.table["number"].to_pylist()) == list(range(1, 50))
    assert sum(p.accounting.rows_in for p in parts) == 49
    assert all(len(p.table) for p in parts)


row = st.tuples(
    st.one_of(st.none(), st.integers(-1, 6)),
    st.sampled_from([None, 0.0, 359.9999, 45.0, 45.0 + ARCSEC, 45.0 + 3 * ARCSEC, 400.0]),
    st.sampled_from([None, 89.9999, 0.0, ARCSEC, -91.0]),
    st.sampled_from([-9999.0, 12.0, 13.0, 50.0, None]),
    st.sampled_from(["sky", "ghost", "star", ""]),
    st.sampled_from(["b1", "b2"]),
)


@given(st.lists(row, max_size=25), st.randoms())
@settings(max_examples=25, deadline=None)
def test_every_row_ends_in_exactly_one_place_whatever_the_order(given_rows: list[tuple], random) -> None:
    names = ("number", "ra", "dec", "mag_r", "kind", "batch_id")

    def table(values: list[tuple]) -> pa.Table:
        columns = {name: [v[i] for v in values] for i, name in enumerate(names)} | {"flags": [0] * len(values)}
        return rows(**columns)

    result = curated(table(given_rows))
    a = result.accounting
    assert a.gap == 0 and a.rows_in == len(given_rows) and a.rows_out == len(result.table)
    assert a.quarantined == (len(result.quarantine) if result.quarantine is not None else 0)
    ids = result.table["number"].to_pylist()
    assert len(ids) == len(set(ids)), "an id is written once"
    shuffled = list(given_rows)
    random.shuffle(shuffled)
    again = curated(table(shuffled))
    assert again.accounting == a
    keys = [("number", "ascending")]
    assert again.table.sort_by(keys).equals(result.table.sort_by(keys))


def test_cut_into_cells_it_keeps_the_same_rows() -> None:
    rng = np.random.default_rng(3)
    n = 80
    # pairs of one id, 0.5 arcsec apart, strewn over the edges of many cells, RA 0 and the pole
    ra = np.concatenate([rng.normal(0, 0.01, n // 2), rng.uniform(0, 360, n // 2)]) % 360
    dec = np.concatenate([rng.normal(0, 0.01, n // 2), 90 - np.abs(rng.normal(0, 0.01, n // 2))])
    other_dec = np.clip(dec + rng.normal(0, 0.4, n) * ARCSEC, -90, 90)
    table = rows(
        number=[*range(1, n + 1)] * 2,
        ra=[*ra, *ra],
        dec=[*dec, *other_dec],
        mag_r=rng.choice([12.0, 13.0, 99.0], 2 * n).tolist(),
        batch_id=rng.choice(["b1", "b2"], 2 * n).tolist(),
    )
    assert_cut_as_whole(table)


def test_contradictions_are_found_wherever_the_sky_is_cut() -> None:
    rng = np.random.default_rng(4)
    n = 60
    ra, dec = rng.uniform(0, 0.2, n), rng.uniform(-0.1, 0.1, n)
    table = rows(number=[*range(1, n + 1)] * 2, ra=[*ra, *ra], dec=[*dec, *(dec + rng.uniform(5, 55, n) * ARCSEC)])
    assert curated(table).accounting.quarantined == n
    assert_cut_as_whole(table)


def test_a_default_is_in_the_key_too() -> None:
    assert curate_step(config()).params["config"]["dedup"]["doubles_arcsec"] == Dedup(prefer=["mag"]).doubles_arcsec


def assert_cut_as_whole(table: pa.Table) -> None:
    """Curated cell by cell, rows and accounting are those of the whole."""
    step = curate_step(config())
    expected = curated(table)
    parts = [step.run(p, i, step.params) for p, i in partitions(12, step.inputs, {"raw": table})]
    assert len(parts) > 10
    together = pa.concat_tables([p.table for p in parts]).sort_by("number")
    assert together.equals(expected.table.sort_by("number"))
    total = sum((p.accounting for p in parts[1:]), parts[0].accounting)
    assert total == expected.accounting


@given(st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_each_row_keeps_its_place_whatever_is_wrong_with_it(order: list[int]) -> None:
    raw = rows(
        number=[1, 1, None, 4, 5, 6],
        ra=[10.0, 10.0, 12.0, None, 14.0, 15.0],
        mag_r=[15.0, 15.5, 99.0, 14.0, 13.0, 12.0],
        kind=["star", "star", "star", "star", "sky", "ghost"],
    ).take(pa.array(order, pa.int64()))
    table, filtered, fault = curate_each(raw, config())
    assert table.schema.equals(curated(raw).table.schema)
    back = np.argsort(order)
    assert [table["number"].to_pylist()[k] for k in back] == [1, 1, None, 4, 5, 6]
    assert [table["mag"].to_pylist()[k] for k in back] == [15.0, 15.5, None, 14.0, 13.0, 12.0]
    assert [filtered[k] for k in back] == [None, None, None, None, "sky_fibre", None]
    said = [fault[k] for k in back]
    assert said == [None, None, "number: is missing", "ra, dec: position is missing", None, "a ghost"]
