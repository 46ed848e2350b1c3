import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.models.keras_curves import WRAP, Curve, clean, folded, read_curves, resampled, scaled, tokens

FLUX = {
    "columns": {"time": "t", "value": "f", "error": "e", "quality": "q"},
    "value_kind": "flux",
    "quality_bits": 4,
    "detrend_degree": 0,
}
MAG = {**FLUX, "columns": {"time": "t", "value": "f", "error": "e"}, "value_kind": "mag"}


def wave(n=400, period=2.0, seed=0, noise=0.001):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 30, n))
    value = 0.05 * np.sin(2 * np.pi * time / period) + noise * rng.normal(size=n)
    return Curve(time - time[0], value, np.full(n, noise))


def test_cleaning_orders_drops_and_scales():
    nan = float("nan")
    table = pa.table(
        {
            "t": [[3.0, 1.0, 2.0, 4.0, 5.0, 6.0, None], None],
            "f": [[220.0, 200.0, nan, 180.0, 9e9, 200.0, 200.0], None],
            "e": [[2.0, 2.0, 2.0, 4.0, 1.0, 2.0, 2.0], None],
            "q": [[0, 3, 0, 0, 4, 0, 0], None],
        }
    )
    first, empty = read_curves(table, FLUX)
    assert first.time.tolist() == [0, 2, 3, 5]
    assert first.value == pytest.approx([0, 0.1, -0.1, 0])
    assert first.error == pytest.approx([0.01, 0.01, 0.02, 0.01])
    assert len(empty.time) == 0
    sliced = read_curves(pa.concat_tables([table, table]).slice(1, 2), FLUX)
    assert len(sliced[0].time) == 0
    assert sliced[1].time.tolist() == [0, 2, 3, 5]


def test_a_brighter_magnitude_is_more_flux():
    curve = clean(np.arange(5.0), np.array([10, 9, 10, 11, 10.0]), np.full(5, 0.01), MAG)
    assert curve.value == pytest.approx([0, 10**0.4 - 1, 0, 10**-0.4 - 1, 0])
    assert curve.error[0] == pytest.approx(0.4 * np.log(10) * 0.01)
    assert (clean(np.arange(5.0), np.array([10, 9, 10, 11, 10.0]), None, MAG).error > 0).all()


def test_a_trend_is_taken_out():
    time = np.linspace(0, 27, 500)
    curve = clean(time, 100 + 3 * time - 0.1 * time**2, np.ones(500), {**FLUX, "detrend_degree": 2})
    assert np.abs(curve.value).max() < 1e-9


def test_lists_of_other_length_name_the_row():
    table = pa.table({"t": [[1.0], [1.0, 2.0]], "f": [[1.0], [1.0]], "e": [[1.0], [1.0, 1.0]]})
    with pytest.raises(InputError, match=r"row 1: .*t 2, f 1"):
        read_curves(table, MAG)
    with pytest.raises(InputError, match="lacks list column f"):
        read_curves(table.drop_columns("f"), MAG)
    with pytest.raises(InputError, match="column t is double"):
        read_curves(table.set_column(0, "t", pa.array([1.0, 2.0])), MAG)


def test_folded_curve_starts_at_its_minimum_and_wraps():
    curve = scaled(wave())
    found = folded(curve, 2.0, 32)
    inner = found[WRAP:-WRAP]
    expected = -np.cos(2 * np.pi * np.arange(32) / 32)
    assert np.corrcoef(inner[:, 0], expected)[0, 1] > 0.98
    assert (found[:WRAP] == inner[-WRAP:]).all()
    assert (found[-WRAP:] == inner[:WRAP]).all()
    assert (folded(curve, float("nan"), 32) == 0).all()


def test_noise_lowers_the_weight():
    quiet, loud = scaled(wave(noise=0.001)), scaled(wave(noise=0.2))
    assert quiet.weight.mean() > 0.95
    assert loud.weight.mean() < 0.75
    assert (resampled(loud, 64)[:, 1] <= 1).all()


@given(st.integers(0, 700), st.integers(1, 20), st.integers(1, 12))
def test_a_curve_of_any_length_fills_its_tokens(n, count, patch):
    curve = scaled(wave(n)) if n > 3 else scaled(Curve(*[np.zeros(0)] * 3))
    found, seen = tokens(curve, 2.0, count, patch)
    assert found.shape[0] == len(seen) == count
    assert np.isfinite(found).all()
    run = max(1, math.ceil(n / (count * patch)))  # neighbours that are averaged
    assert seen.sum() == (0 if n <= 3 else math.ceil(math.ceil(n / run) / patch))
    assert (found[seen == 0] == 0).all()
    assert np.isfinite(resampled(curve, 16)).all()
    assert np.isfinite(folded(curve, 2.0, 16)).all()
