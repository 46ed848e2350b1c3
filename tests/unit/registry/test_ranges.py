import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.registry.ranges import Columns, InputRanges, Novelty

RANGES = InputRanges({"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 0.5})
cells = st.one_of(st.none(), st.floats(-2, 3))


@given(st.lists(st.tuples(cells, cells), max_size=20))
@settings(deadline=None)
def test_flags_say_of_each_row_what_a_loop_would(rows):
    table = pa.table({name: pa.array([row[k] for row in rows], pa.float64()) for k, name in enumerate("ab")})
    unlike, notes = RANGES.flags(Columns(table))
    expected = []
    for a, b in rows:
        said = []
        for name, value, is_expected in (("a", a, True), ("b", b, False)):
            if value is None:
                said += [f"missing:{name}"] if is_expected else []
            elif value < 0 or value > 1:
                said.append(f"{name}<min" if value < 0 else f"{name}>max")
        expected.append(";".join(said))
    assert notes.to_pylist() == expected
    assert unlike.tolist() == [bool(said) for said in expected]


def test_more_inputs_than_bits_of_a_word():
    names = [f"x{k}" for k in range(90)]
    ranges = InputRanges(dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.0))
    table = pa.table({name: [0.5, 2.0 if name == "x89" else 0.5] for name in names})
    assert ranges.flags(Columns(table))[1].to_pylist() == ["", "x89>max"]


def stars(n, seed):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=n)
    return pa.table({"mag": 15 + first, "flux": 10 ** (-0.4 * first) + 0.01 * rng.normal(size=n)})


def test_novelty_is_even_on_rows_like_those_of_training_and_one_far_away():
    novelty = Novelty.of(stars(5000, 1), ["mag", "flux"])
    shares = novelty.shares(Columns(stars(5000, 2)))
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.std() == pytest.approx(0.289, abs=0.02)
    # each value alone is an ordinary one, and the two together are not
    apart = pa.table({"mag": [15.0, 16.0, 300.0], "flux": [1.0, 2.5, 1.0]})
    ordinary, unlikely, far = novelty.shares(Columns(apart))
    assert ordinary < 0.5
    assert unlikely > 0.99
    assert far == 1.0
    again = Novelty.from_dict(novelty.to_dict())
    assert (again.shares(Columns(apart)) == novelty.shares(Columns(apart))).all()


def test_novelty_of_missing_values_and_of_no_numbers():
    novelty = Novelty.of(stars(500, 1), ["mag", "flux"])
    assert np.isfinite(
        novelty.shares(Columns(pa.table({"mag": [None, 15.0], "flux": pa.array([None, None], pa.float64())})))
    ).all()
    assert Novelty.of(pa.table({"name": ["a"]}), ["name"]) is None
    with pytest.raises(InputError, match="no numeric column flux"):
        novelty.shares(Columns(pa.table({"mag": [1.0]})))
