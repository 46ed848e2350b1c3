import json

import numpy as np
import pytest

from stellar.errors import InputError
from stellar.models.correction import TemperatureCorrection


def hot_stars(n=4000, seed=3):
    """True temperatures, and a catalogue that falls behind above 10,000 K, with noise and 3% wild values."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(5000, 25000, n)
    over = np.clip(true - 9500, 0, None)
    catalogue = true - 0.25 * over - 4e-6 * over**2 + rng.normal(0, 150, n)
    reference = true + rng.normal(0, 200, n)
    wild = rng.random(n) < 0.03
    reference[wild] = rng.uniform(10_000, 40_000, wild.sum())
    return true, catalogue, reference


def test_the_bias_goes_on_stars_that_were_not_fitted():
    true, catalogue, reference = hot_stars()
    made = TemperatureCorrection.fit(catalogue[:2000], reference[:2000], threshold=10_000)
    held = np.flatnonzero((np.arange(len(true)) >= 2000) & (catalogue > 10_500) & (true < 24_000))
    before, after = (np.median(one[held] - true[held]) for one in (catalogue, made.apply(catalogue)))
    assert before < -800
    assert abs(after) < 60
    for low in (10_500, 13_000, 16_000):
        rows = held[(catalogue[held] > low) & (catalogue[held] < low + 2500)]
        assert abs(np.median(made.apply(catalogue[rows]) - true[rows])) < 150
    assert abs(made.after.median) < 50 < abs(made.before.median)


def test_cool_stars_keep_their_temperature_and_the_step_is_smooth():
    _, catalogue, reference = hot_stars()
    made = TemperatureCorrection.fit(catalogue, reference, threshold=10_000, blend=500)
    cool = np.linspace(3000, 9750, 200)
    assert (made.apply(cool) == cool).all()
    t = np.linspace(9000, 20_000, 20_001)
    assert np.abs(np.diff(made.apply(t), 2)).max() < 0.05
    assert made.weight(np.array([9750.0, 10_000, 10_250])).tolist() == [0, 0.5, 1]
    assert np.isnan(made.apply(np.array([np.nan]))).all()


def test_beyond_the_fitted_stars_the_shift_stays():
    _, catalogue, reference = hot_stars()
    made = TemperatureCorrection.fit(catalogue, reference, threshold=10_000)
    far = made.apply(np.array([made.highest, 60_000.0])) - np.array([made.highest, 60_000.0])
    assert far[0] == pytest.approx(far[1])


def test_wild_stars_do_not_decide():
    true, catalogue, _ = hot_stars()
    clean = TemperatureCorrection.fit(catalogue, true, threshold=10_000)
    dirty = true.copy()
    dirty[::12] += 15_000
    made = TemperatureCorrection.fit(catalogue, dirty, threshold=10_000)
    t = np.linspace(10_500, 18_000, 50)
    assert np.abs(made.apply(t) - clean.apply(t)).max() < 120


def test_it_comes_back_from_json_the_same():
    _, catalogue, reference = hot_stars(500)
    made = TemperatureCorrection.fit(catalogue, reference, threshold=10_000, degree=3)
    assert TemperatureCorrection.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_too_few_hot_stars_are_an_error_with_their_number():
    _, catalogue, reference = hot_stars(200)
    with pytest.raises(InputError, match=r"0 stars .* above 30000 K.* needs 15"):
        TemperatureCorrection.fit(catalogue, np.minimum(reference, 29_000), threshold=30_000)
