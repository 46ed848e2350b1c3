"""Rows let out of quarantine: known by their values, one reason at a time, in the partitions that they touch."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.catalog.curate import curate, curate_step, places
from stellar.catalog.released import RELEASED, of_partition, row_ids, why_kept
from stellar.engine.step import Partition
from stellar.profile import Column
from stellar.sky.healpix import Cell, spatial_index
from unit.catalog.test_curate import config, rows


def let_out(table: pa.Table, **changes: object) -> list[dict]:
    """What is in quarantine of a table, as the step takes it once it is released."""
    refused = curate(table, table.slice(0, 0), config(**changes)).quarantine
    ids, found = places(refused.drop_columns(["reason"]), config(**changes))
    reasons = refused["reason"].to_pylist()
    named = zip(row_ids(refused), reasons, ids, found, strict=True)
    return [{"row": row, "reason": reason, "id": id_, "place": place} for row, reason, id_, place in named]


def again(table: pa.Table, released: list[dict], **changes: object):
    return curate(table, table.slice(0, 0), config(**changes), released=released)


def test_a_released_row_comes_out_and_the_rows_still_add_up() -> None:
    table = rows(number=[1, 2, 3], kind=["star", "ghost", "ghost"])
    released = let_out(table)[:1]
    result = again(table, released)
    assert result.table["number"].to_pylist() == [1, 2]
    assert result.quarantine["number"].to_pylist() == [3]
    assert (result.accounting.gap, result.accounting.quarantined) == (0, 1)


def test_a_value_whose_range_was_overruled_stays_as_published() -> None:
    table = rows(number=[1, 2], mag_r=[15.0, 44.0])
    assert curate(table, table.slice(0, 0), config()).quarantine["reason"].to_pylist() == [
        "mag: outside -5..35 ('44.0')"
    ]
    result = again(table, let_out(table))
    assert result.table["mag"].to_pylist() == [15.0, 44.0]
    assert result.quarantine is None


def test_another_fault_of_the_row_keeps_it_until_it_is_overruled_too() -> None:
    table = rows(number=[1], mag_r=[44.0], kind=["ghost"])
    first = let_out(table)
    result = again(table, first)
    assert result.quarantine["reason"].to_pylist() == ["a ghost"]
    second = [{**first[0], "reason": "a ghost"}]
    assert again(table, second).quarantine["reason"].to_pylist() == [first[0]["reason"]]
    assert again(table, first + second).table["mag"].to_pylist() == [44.0]


def test_a_row_that_changed_is_judged_anew() -> None:
    released = let_out(rows(number=[1], kind=["ghost"]))
    assert again(rows(number=[1], kind=["ghost"], flags=[4]), released).quarantine.num_rows == 1
    assert again(rows(number=[1], kind=["ghost"], batch_id=["b2"]), released).quarantine is None


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (rows(number=[None]), "number"),
        (rows(number=[0]), "id"),
        (rows(ra=[None]), "place on the sky"),
        (rows(dec=[95.0]), "place on the sky"),
        (rows(mag_r=pa.array(["bright"])), "cannot be read"),
        (rows(number=[1, 1], ra=[10.0, 10.01]), "another row"),
    ],
)
def test_what_a_decision_cannot_mend_is_not_let_out(table: pa.Table, what: str) -> None:
    released = let_out(table)
    for one in released:
        assert what in str(why_kept(config(), one["reason"]))
    refused = curate(table, table.slice(0, 0), config()).quarantine["reason"].to_pylist()
    assert again(table, released).quarantine["reason"].to_pylist() == refused


def test_judgements_can_be_overruled() -> None:
    assert why_kept(config(), "a ghost") is None
    assert why_kept(config(), "mag: outside -5..35 ('44.0')") is None
    assert why_kept(config(), "sky_fibre") is not None


def test_a_column_that_others_bring_changes_no_row() -> None:
    alone = pa.table({"a": [1, 2], "batch_id": ["x", "y"], "reason": ["r", "r"]})
    wider = alone.append_column("b", pa.array([None, np.nan], pa.float64()))
    assert row_ids(alone) == row_ids(wider) == row_ids(alone.drop_columns(["batch_id", "reason"]))
    assert row_ids(alone)[0] != row_ids(alone)[1]


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=True), st.none()), min_size=1, max_size=5))
def test_a_rows_name_depends_on_its_values_alone(values: list) -> None:
    table = pa.table({"a": pa.array([values], pa.list_(pa.float64())), "b": ["x"]})
    assert row_ids(table) == row_ids(table.select(["b", "a"]))


def test_only_the_partitions_that_a_row_touches_are_built_again() -> None:
    cells = [Cell(1, pixel) for pixel in range(48)]
    inside = int(spatial_index(np.array([10.0]), np.array([0.5]))[0])
    step = curate_step(config(), [{"row": "a" * 64, "reason": "a ghost", "id": "1", "place": inside}])
    touched = [cell for cell in cells if RELEASED in step.params_of(Partition.of_cell(cell))]
    assert touched == [cell for cell in cells if cell.contains(inside)]
    plain_step = curate_step(config())
    for cell in set(cells) - set(touched):
        assert step.params_of(Partition.of_cell(cell)) == plain_step.params_of(Partition.of_cell(cell))


def test_a_row_at_the_edge_touches_its_neighbours_margin() -> None:
    low, _ = Cell(1, 20).range29()
    one = {"row": "a" * 64, "reason": "r", "id": "1", "place": low}
    found = [RELEASED in of_partition(Partition.of_cell(Cell(1, p)), {RELEASED: [one]}, 60.0) for p in range(48)]
    assert found[20]
    assert 2 <= sum(found) <= 4


def test_rows_without_a_place_go_by_the_bucket_of_their_id() -> None:
    one = {"row": "a" * 64, "reason": "r", "id": "77", "place": None}
    found = [RELEASED in of_partition(Partition.of_bucket(n, 8), {RELEASED: [one]}, 0.0) for n in range(8)]
    assert sum(found) == 1
    plain = config(
        layout="plain", object_key=None, id="number", filters=[], dedup={},
        columns=[Column(name="number", type="int64"), Column(name="mag", type="float64", source="mag_r", maximum=35)],
        reject=[],
    )  # fmt: skip
    table = rows(number=[77, 78], mag_r=[44.0, 15.0])
    refused = curate(table, table.slice(0, 0), plain).quarantine
    assert places(refused.drop_columns(["reason"]), plain) == (["77"], [None])
