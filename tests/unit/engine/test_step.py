import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.engine.step import Accounting, Input, Partition, Step
from stellar.errors import InputError
from stellar.sky.healpix import Cell

counts = st.builds(
    Accounting,
    *[st.integers(0, 1000)] * 3,
    st.dictionaries(st.sampled_from(["sky", "faint"]), st.integers(0, 9)),
    st.integers(0, 99),
)


@settings(deadline=None)
@given(counts, counts)
def test_accounting_adds_up_by_parts(one, other):
    total = one + other
    assert total.gap == one.gap + other.gap
    assert total.filtered_total == one.filtered_total + other.filtered_total
    assert Accounting(**total.to_dict()) == total


@settings(deadline=None)
@given(st.integers(0, 29).flatmap(lambda order: st.tuples(st.just(order), st.integers(0, 12 * 4**order - 1))))
def test_a_cell_keeps_its_name(cell):
    partition = Partition.of_cell(Cell(*cell))
    assert partition.cell == Cell(*cell)
    assert partition.bucket is None
    assert "/" not in partition.file_name


def test_a_bucket_keeps_its_number():
    assert Partition.of_bucket(7, 16).bucket == 7
    assert Partition.of_bucket(7, 16).cell is None
    assert Partition.of_bucket(1234, 2048).bucket == 1234


def make(**change):
    given_ = {
        "dataset": "curated.gaia",
        "name": "s",
        "version": 1,
        "inputs": {"raw": Input("raw.gaia")},
        "params": {},
        "run": print,
        "id_column": "id",
        "layout": "rows",
        "primary": "raw",
    }
    return Step(**{**given_, **change})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": "Curated.gaia"}, "lower case"),
        ({"dataset": "../gaia"}, "lower case"),
        ({"quarantine": "gaia"}, "lower case"),
        ({"primary": "left"}, "none of its inputs"),
        ({"primary": None}, "needs a primary"),
        ({"layout": "grid"}, "none of rows"),
    ],
)
def test_a_wrong_step_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        make(**change)
